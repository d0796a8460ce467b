#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --parallel
#
# A CPU goes offline and comes back while disks and an interface are in use.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=disk vqs=2 capacity=64M'
tvq_create "$fn" 'type=net name=left vqs=2'
tvq_create "$fn" 'type=net name=right'
disk=$(tvq_disk "$fn" disk)
left=$(tvq_netdev "$fn" left)
right=$(tvq_netdev "$fn" right)
cpu=/sys/devices/system/cpu/cpu1

ip netns add right
trap 'echo 1 >$cpu/online; ip netns del right; kill $ping 2>/dev/null; rm -f /run/io || true' EXIT
ip link set "$right" netns right
ip addr add 192.0.2.1/24 dev "$left"
ip link set "$left" up
ip -n right addr add 192.0.2.2/24 dev "$right"
ip -n right link set "$right" up

io_start "$disk"
ping -i 0.05 192.0.2.2 >/run/ping.log 2>&1 &
ping=$!

ios()
{
	awk '{ print $1 + $5 }' "/sys/block/${disk##*/}/stat"
}

going_on()
{
	local ios=$1 pings=$2

	[ "$(ios)" -gt $((ios + 40)) ] && [ "$(grep -c 'bytes from' /run/ping.log)" -gt $((pings + 3)) ]
}

for ((i = 0; i < 3; i++)); do
	for online in 0 1; do
		echo $online >$cpu/online
		ios=$(ios)
		pings=$(grep -c 'bytes from' /run/ping.log || true)
		wait_for 30 going_on "$ios" "$pings" ||
			fail "round $i: nothing moves with cpu1/online = $online"
	done
done
io_stop
kill -INT $ping
wait $ping || fail "ping"

trap - EXIT
ip netns del right
tvq_destroy "$fn" disk
tvq_destroy "$fn" left
tvq_destroy "$fn" right
tvq_unload
