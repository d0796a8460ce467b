#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# The device process is stopped and started again, and the function plugged
# again: what was provisioned is found, with its data.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=disk capacity=32M serial=KEEP vqs=2'
tvq_create "$fn" 'type=net name=net mac=02:bb:00:00:00:07'
tvq_create "$fn" 'type=blk name=gone'
id=$(cat "$(tvq_device "$fn" disk)/device_id")
last=$(cat "$(tvq_device "$fn" gone)/device_id")
tvq_destroy "$fn" gone
disk=$(tvq_disk "$fn" disk)
mkfs.ext4 -q "$disk"
mount "$disk" /mnt
echo kept >/mnt/file
umount /mnt

host device 0 unplug
wait_gone 20 test -e "$fn"
[ -z "$(tvq_left)" ] || fail "devices of a function that is not there"
host device 0 stop
host device 0 start
host device 0 plug
wait_for 20 test -e "$fn/tvq/by-name/net"
wait_for 20 test -e "$fn/tvq/by-name/disk"

[ "$(cat "$fn/tvq/devices_used")" = 2 ] || fail "devices_used"
dev=$(tvq_device "$fn" disk)
[ "$(cat "$dev/device_id")" = "$id" ] || fail "another id"
[ "$(cat "$dev/num_vqs")" = 2 ] || fail "num_vqs"
disk=$(tvq_disk "$fn" disk)
[ "$(cat "/sys/block/${disk##*/}/serial")" = KEEP ] || fail "serial"
[ "$(blockdev --getsize64 "$disk")" = $((32 << 20)) ] || fail "capacity"
mount "$disk" /mnt
[ "$(cat /mnt/file)" = kept ] || fail "the file"
umount /mnt
[ "$(cat "/sys/class/net/$(tvq_netdev "$fn" net)/address")" = 02:bb:00:00:00:07 ] || fail "mac"

# No id twice, not even one of before the restart.
tvq_create "$fn" type=net
new=$(cat "$TVQ_BUS"/*/device_id | sort -n | tail -n 1)
[ "$new" -gt "$last" ] || fail "id $new was used again"
tvq_destroy "$fn" "$new"
tvq_destroy "$fn" disk
tvq_destroy "$fn" net
tvq_unload
