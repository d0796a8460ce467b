#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# The device process dies while drivers are bound: everything lets go in
# bounded time, and what was provisioned is found when it is back.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=disk capacity=16M'
tvq_create "$fn" 'type=net name=left'
tvq_create "$fn" 'type=net name=right'
pattern death $((1 << 20)) /run/pattern
dd if=/run/pattern of="$(tvq_disk "$fn" disk)" bs=64k oflag=direct status=none
ip link set "$(tvq_netdev "$fn" left)" up
ip link set "$(tvq_netdev "$fn" right)" up

host device 0 kill
bounded 20 rmmod virtio_tvq
[ -z "$(tvq_left)" ] || fail "devices without a driver"
host device 0 unplug
host device 0 start
host device 0 plug
wait_for 20 test -e "$fn"
tvq_insmod virtio_tvq
[ "$(cat "$fn/tvq/devices_used")" = 3 ] || fail "devices_used"
disk_holds "$(tvq_disk "$fn" disk)" /run/pattern || fail "the data"

# The same, and the function is unbound while an interface waits for an answer.
ip link set "$(tvq_netdev "$fn" left)" up
host device 0 kill
echo "${fn##*/}" >/run/name
bounded 20 cp /run/name /sys/bus/pci/drivers/virtio_tvq/unbind
[ ! -e "$fn/tvq" ] || fail "bound"
host device 0 unplug
host device 0 start
host device 0 plug
wait_for 20 test -e "$fn/tvq/by-name/disk"
tvq_destroy "$fn" disk
tvq_destroy "$fn" left
tvq_destroy "$fn" right
tvq_unload
