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
pattern a $((4 << 20)) /run/a
dd if=/run/a of="$da" bs=1M oflag=direct status=none
pattern b $((4 << 20)) /run/b
dd if=/run/b of="$db" bs=1M oflag=direct status=none
disk_holds "$da" /run/a || fail "a"
disk_holds "$db" /run/b || fail "b"
tvq_destroy "$a" disk
tvq_destroy "$a" net

# The other one does not notice that the first is unbound and bound again.
echo "${a##*/}" >/sys/bus/pci/drivers/virtio_tvq/unbind
[ ! -e "$a/tvq" ] || fail "unbound, and the attributes are there"
disk_holds "$db" /run/b || fail "b alone"
echo "${a##*/}" >/sys/bus/pci/drivers/virtio_tvq/bind
tvq_create "$a" 'type=blk name=disk capacity=16M'
disk_holds "$(tvq_disk "$a" disk)" /run/a ||
	fail "a again"
tvq_destroy "$a" disk
tvq_destroy "$b" disk
tvq_destroy "$b" net
tvq_unload
