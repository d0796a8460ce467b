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
	# From each CPU, so that more than one queue is used.
	pattern "$vectors" $((1 << 20)) /run/pattern
	for cpu in 0 1; do
		taskset -c $cpu dd if=/run/pattern of="$disk" bs=64k seek=$((cpu * 16)) \
			oflag=direct status=none &
	done
	wait
	disk_holds "$disk" /run/pattern || fail "$vectors vectors: what was written"
	host device 0 ctl resize disk 48M
	wait_for 10 grep -qx $((48 << 11)) "/sys/block/${disk##*/}/size"
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
