#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# A disk is created, used, destroyed, and found again by its name.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk,name=disk0,capacity=64M,serial=SN-0123456789'
dev=$(tvq_device "$fn" disk0)
disk=$(tvq_disk "$fn" disk0)
id=$(cat "$dev/device_id")

[ "$(cat "$dev/type")" = blk ] || fail "type"
[ "$(cat "$dev/name")" = disk0 ] || fail "name"
[ "$(cat "$dev/num_vqs")" = 1 ] || fail "num_vqs"
[ "$(cat "$dev/num_vectors")" = 2 ] || fail "num_vectors"
[ "$(cat "$fn/tvq/devices_used")" = 1 ] || fail "devices_used"
[ "$(blockdev --getsize64 "$disk")" = $((64 << 20)) ] || fail "capacity"
[ "$(cat "/sys/block/${disk##*/}/serial")" = SN-0123456789 ] || fail "serial"
grep -q "tvq0-$id-req.0" /proc/interrupts || fail "no vector of its own for the queue"
grep -q "tvq0-$id-config" /proc/interrupts || fail "no vector of its own for the configuration"

mkfs.ext4 -q "$disk"
mount "$disk" /mnt
dd if=/dev/urandom of=/mnt/file bs=1M count=16 status=none
sum=$(sha256sum </mnt/file)
sync
echo 3 >/proc/sys/vm/drop_caches
[ "$(sha256sum </mnt/file)" = "$sum" ] || fail "what was read is not what was written"
rm /mnt/file
fstrim /mnt
umount /mnt
blkdiscard -z -o 0 -l 1M "$disk"
cmp -n $((1 << 20)) "$disk" /dev/zero || fail "zeroes were not written"
mkfs.ext4 -q "$disk"
mount "$disk" /mnt
echo "$sum" >/mnt/sum
umount /mnt

tvq_destroy "$fn" disk0
[ ! -e "$dev" ] || fail "the device is still there"
[ ! -e "$fn/tvq/by-name/disk0" ] || fail "the link is still there"
[ "$(cat "$fn/tvq/devices_used")" = 0 ] || fail "devices_used after destroy"

tvq_create "$fn" 'type=blk name=disk0 capacity=64M'
[ "$(cat "$(tvq_device "$fn" disk0)/device_id")" -gt "$id" ] || fail "an id was used again"
disk=$(tvq_disk "$fn" disk0)
mount "$disk" /mnt
[ "$(cat /mnt/sum)" = "$sum" ] || fail "the data are not there again"
umount /mnt
tvq_destroy "$fn" "$(cat "$(tvq_device "$fn" disk0)/device_id")"
tvq_unload
