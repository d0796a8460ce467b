#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# A device with fewer vectors than queues shares them within itself; its
# configuration interrupt comes through all the same.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
for vectors in 1 2 3; do
	tvq_create "$fn" "type=blk name=disk vqs=4 vectors=$vectors capacity=32M"
	dev=$(tvq_device "$fn" disk)
	disk=$(tvq_disk "$fn" disk)
	id=$(cat "$dev/device_id")
	[ "$(cat "$dev/num_vectors")" = $vectors ] || fail "num_vectors"
	[ "$(grep -c "tvq0-$id-" /proc/interrupts)" = $vectors ] || fail "interrupts in use"
	fio --name=x --filename="$disk" --rw=randrw --bs=4k --direct=1 --ioengine=libaio \
		--iodepth=8 --numjobs=2 --size=4M --offset_increment=8M --verify=crc32c \
		--group_reporting --minimal >/run/fio.log || fail "fio: $(cat /run/fio.log)"
	host device 0 ctl resize disk 48M
	wait_for 10 test "$(blockdev --getsize64 "$disk")" = $((48 << 20)) ||
		wait_for 10 sh -c "[ \$(blockdev --getsize64 $disk) = $((48 << 20)) ]"
	tvq_destroy "$fn" disk

	tvq_create "$fn" "type=net name=net vectors=$vectors"
	net=$(tvq_netdev "$fn" net)
	ip link set "$net" up
	wait_for 10 grep -q 1 "/sys/class/net/$net/carrier"
	host device 0 ctl link net down
	wait_for 10 grep -q 0 "/sys/class/net/$net/carrier"
	host device 0 ctl link net up
	wait_for 10 grep -q 1 "/sys/class/net/$net/carrier"
	tvq_destroy "$fn" net
done
tvq_unload
