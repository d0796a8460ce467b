#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --parallel
#
# Drivers are unbound and bound: the virtio drivers, and the personality.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=disk capacity=16M vqs=2'
tvq_create "$fn" 'type=net name=net'
dev=$(tvq_device "$fn" disk)
pattern pattern $((1 << 20)) /run/pattern
dd if=/run/pattern of="$(tvq_disk "$fn" disk)" bs=64k oflag=direct status=none

works()
{
	disk_holds "$(tvq_disk "$fn" disk)" /run/pattern || fail "$1: the disk"
	ip link set "$(tvq_netdev "$fn" net)" up || fail "$1: the interface"
	wait_for 10 grep -q 1 "/sys/class/net/$(tvq_netdev "$fn" net)/carrier"
}

for ((i = 0; i < 3; i++)); do
	for pair in disk:virtio_blk net:virtio_net; do
		vdev=$(tvq_virtio "$fn" "${pair%:*}")
		driver=/sys/bus/virtio/drivers/${pair#*:}
		echo "${vdev##*/}" >"$driver/unbind"
		[ ! -e "$vdev/driver" ] || fail "$pair is bound"
		# What an unbound device reports.
		[ "$(cat "$vdev/status")" = 0x00000001 ] || fail "$pair: status $(cat "$vdev/status")"
		echo "${vdev##*/}" >"$driver/bind"
		[ "$(cat "$vdev/status")" = 0x0000000f ] || fail "$pair: status $(cat "$vdev/status")"
	done
	works "virtio driver, round $i"
done

bus=/sys/bus/virtio_tvq
for ((i = 0; i < 3; i++)); do
	for name in disk net; do
		tdev=$(tvq_device "$fn" $name)
		echo "${tdev##*/}" >$bus/drivers/virtio_tvq/unbind
		! compgen -G "$tdev/virtio*" >/dev/null || fail "$name: a virtio device without a personality"
		grep -q "${tdev##*/}-" /proc/interrupts && fail "$name: interrupts without a personality"
		echo "${tdev##*/}" >$bus/drivers/virtio_tvq/bind
	done
	works "personality, round $i"
done

# driver_override says who may bind.
echo "${dev##*/}" >$bus/drivers/virtio_tvq/unbind
echo nobody >"$dev/driver_override"
[ "$(cat "$dev/driver_override")" = nobody ] || fail "driver_override reads $(cat "$dev/driver_override")"
expect_errno ENODEV sysfs_write $bus/drivers/virtio_tvq/bind "${dev##*/}"
echo virtio_tvq >"$dev/driver_override"
echo "${dev##*/}" >$bus/drivers_probe
echo >"$dev/driver_override"
works "driver_override"

# A change while nobody is bound is not missed.
echo "${dev##*/}" >$bus/drivers/virtio_tvq/unbind
host device 0 ctl resize disk 24M
echo "${dev##*/}" >$bus/drivers/virtio_tvq/bind
[ "$(blockdev --getsize64 "$(tvq_disk "$fn" disk)")" = $((24 << 20)) ] ||
	wait_for 10 sh -c "[ \$(cat /sys/block/vd*/size) = $((24 << 11)) ]"

tvq_destroy "$fn" disk
tvq_destroy "$fn" net
tvq_unload
