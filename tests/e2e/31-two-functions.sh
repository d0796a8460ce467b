#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 2
#
# Two management devices: the same names and ids on both, and nothing shared.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
a=$(tvq_function 0)
b=$(tvq_function 1)
[ "$a" != "$b" ] || fail "one function"
for fn in "$a" "$b"; do
	tvq_create "$fn" 'type=blk name=disk capacity=16M'
	tvq_create "$fn" 'type=net name=net'
done
[ "$(tvq_device "$a" disk)" != "$(tvq_device "$b" disk)" ] || fail "one device"
da=$(tvq_disk "$a" disk)
db=$(tvq_disk "$b" disk)
yes a | dd of="$da" bs=1M count=4 iflag=fullblock oflag=direct status=none
yes b | dd of="$db" bs=1M count=4 iflag=fullblock oflag=direct status=none
[ "$(dd if="$da" bs=1M count=4 iflag=direct status=none | tr -d '\n' | tr -s a)" = a ] || fail "a"
[ "$(dd if="$db" bs=1M count=4 iflag=direct status=none | tr -d '\n' | tr -s b)" = b ] || fail "b"
tvq_destroy "$a" disk
tvq_destroy "$a" net

# The other one does not notice that the first is unbound and bound again.
echo "${a##*/}" >/sys/bus/pci/drivers/virtio_tvq/unbind
[ ! -e "$a/tvq" ] || fail "unbound, and the attributes are there"
[ "$(dd if="$db" bs=1M count=4 iflag=direct status=none | tr -d '\n' | tr -s b)" = b ] || fail "b alone"
echo "${a##*/}" >/sys/bus/pci/drivers/virtio_tvq/bind
tvq_create "$a" 'type=blk name=disk capacity=16M'
[ "$(dd if="$(tvq_disk "$a" disk)" bs=1M count=4 iflag=direct status=none | tr -d '\n' | tr -s a)" = a ] ||
	fail "a again"
tvq_destroy "$a" disk
tvq_destroy "$b" disk
tvq_destroy "$b" net
tvq_unload
