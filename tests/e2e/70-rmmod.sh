#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 2
#
# Unloading detaches devices that are in use, leaves them provisioned, and
# touches no other disk; loading finds them again.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=used capacity=32M'
tvq_create "$fn" 'type=blk name=idle capacity=32M'
tvq_create "$fn" 'type=net name=net'
modprobe loop
truncate -s 32M /run/other.img
other=$(losetup -f --show /run/other.img)
mkdir -p /run/other /run/used
mkfs.ext4 -q "$other"
mount "$other" /run/other
mkfs.ext4 -q "$(tvq_disk "$fn" used)"
mkfs.ext4 -q "$(tvq_disk "$fn" idle)"
mount "$(tvq_disk "$fn" idle)" /mnt
echo idle >/mnt/file
umount /mnt
ip link set "$(tvq_netdev "$fn" net)" up

for round in 1 2; do
	mount "$(tvq_disk "$fn" used)" /run/used
	echo "$round" >/run/used/file
	sync
	(while echo x; do :; done >/run/other/growing) 2>/dev/null &
	writer=$!
	rmmod virtio_tvq
	[ -z "$(tvq_left)" ] || fail "unloaded, and devices are there"
	[ ! -e "$fn/tvq" ] || fail "unloaded, and the attributes are there"
	kill $writer
	wait $writer 2>/dev/null || true
	echo "$round" >/run/other/file
	sync -f /run/other
	# The filesystem whose disk went away does not hang nor come back by itself.
	umount /run/used
	tvq_insmod virtio_tvq
	[ "$(cat "$fn/tvq/devices_used")" = 3 ] || fail "round $round: devices_used"
	mount "$(tvq_disk "$fn" used)" /run/used
	[ "$(cat /run/used/file)" = $round ] || fail "round $round: what was synced is lost"
	umount /run/used
	mount "$(tvq_disk "$fn" idle)" /mnt
	[ "$(cat /mnt/file)" = idle ] || fail "round $round: the idle disk"
	umount /mnt
	tvq_netdev "$fn" net >/dev/null || fail "round $round: the interface"
done
[ "$(cat /run/other/file)" = 2 ] || fail "the other disk"
umount /run/other
losetup -d "$other"
tvq_destroy "$fn" used
tvq_destroy "$fn" idle
tvq_destroy "$fn" net
tvq_unload
