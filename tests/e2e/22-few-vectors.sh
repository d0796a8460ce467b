#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --smp 4
#
# A device with fewer vectors than queues shares them within itself: each of its queues
# works, and its configuration interrupt comes through all the same.
. "${BASH_SOURCE[0]%/*}/lib.sh"

declare -rA SHARED=([1]="all" [2]="config queues" [3]="config queues queues")

# shares NAME VECTORS: the device has so many, and uses them all, with no queue that has
# one for itself.
shares()
{
	local dev id names

	dev=$(tvq_device "$fn" "$1")
	id=$(cat "$dev/device_id")
	[ "$(cat "$dev/num_vectors")" = "$2" ] || fail "$1: num_vectors"
	names=$(sed -n "s/.* tvq0-$id-//p" /proc/interrupts | sort | tr '\n' ' ')
	[ "$names" = "${SHARED[$2]} " ] || fail "$1: vectors of $names"
}

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=net name=other'
other=$(tvq_netdev "$fn" other)
ip netns add b
trap 'ip -all netns del' EXIT
ip link set "$other" netns b
ip -n b addr add 192.0.2.2/24 dev "$other"
ip -n b link set "$other" up

for vectors in 1 2 3; do
	tvq_create "$fn" "type=blk name=disk vqs=4 vectors=$vectors capacity=32M"
	disk=$(tvq_disk "$fn" disk)
	shares disk $vectors
	[ "$(sort "/sys/block/${disk##*/}"/mq/*/cpu_list | tr '\n' ' ')" = "0 1 2 3 " ] ||
		fail "not a queue for each CPU"
	# From all CPUs at once, each by its queue, a MiB of its own
	writers=()
	for cpu in 0 1 2 3; do
		pattern "$vectors vectors, CPU $cpu" $((1 << 20)) /run/pattern.$cpu
		taskset -c $cpu dd if=/run/pattern.$cpu of="$disk" bs=64k \
			seek=$((cpu * 16)) oflag=direct status=none &
		writers+=($!)
	done
	for writer in "${writers[@]}"; do
		wait "$writer"
	done
	cat /run/pattern.[0-3] >/run/pattern
	disk_holds "$disk" /run/pattern || fail "$vectors vectors: what was written"
	host device 0 ctl resize disk 48M
	wait_for 10 grep -qx $((48 << 11)) "/sys/block/${disk##*/}/size"
	tvq_destroy "$fn" disk

	tvq_create "$fn" "type=net name=net vqs=2 vectors=$vectors"
	net=$(tvq_netdev "$fn" net)
	shares net $vectors
	ethtool -L "$net" combined 2
	ip addr add 192.0.2.1/24 dev "$net"
	ip link set "$net" up
	for cpu in 0 1 2 3; do
		taskset -c $cpu ping -q -c 1 -w 20 192.0.2.2 >/dev/null ||
			fail "$vectors vectors: no echo to CPU $cpu"
	done
	for state in down:0 up:1; do
		host device 0 ctl link net ${state%:*}
		wait_for 10 grep -q ${state#*:} "/sys/class/net/$net/carrier"
	done
	tvq_destroy "$fn" net
done

trap - EXIT
ip netns del b
tvq_destroy "$fn" other
tvq_unload
