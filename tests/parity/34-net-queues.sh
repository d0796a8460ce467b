#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: net0 net1
#
# Queues that come, go and change their size while frames flow.
. "${BASH_SOURCE[0]%/*}/lib.sh"

trap net_done EXIT
net_pair
net_reached
in_b iperf3 -s -D --pidfile /run/iperf3.pid
wait_for 20 test -s /run/iperf3.pid
touch /run/parity-flow
(
	trap - ERR EXIT
	while [ -e /run/parity-flow ]; do
		in_a iperf3 -c 192.0.2.2 -n 2M -P 2 >/run/iperf3.log 2>&1 && continue
		# The server may not be done with the one before.
		grep "server is busy" /run/iperf3.log && continue
		cat /run/iperf3.log
		exit 1
	done
) &
flow=$!

rounds=$(small 4 2)
for ((n = 0; n < rounds; n++)); do
	succeeds "pairs.$n.a" in_a ethtool -L "$net0" combined $((n % 2 + 1))
	succeeds "pairs.$n.b" in_b ethtool -L "$net1" combined $(((n + 1) % 2 + 1))
	net_reached
done
for size in 32 256 64; do
	succeeds "ring.$size.a" in_a ethtool -G "$net0" rx $size tx $size
	succeeds "ring.$size.b" in_b ethtool -G "$net1" rx $size
	in_a ethtool -g "$net0" | facts "ring.$size"
	net_reached
done
rm /run/parity-flow
succeeds flow wait "$flow"
kill "$(tr -d '\0' </run/iperf3.pid)"

# Not TCP: where an interface is down, there is no route for a new connection.
touch /run/parity-flow
(
	trap - ERR EXIT
	while [ -e /run/parity-flow ]; do
		in_a ping -q -f -c 20 -W 1 192.0.2.2 || true
	done
) >/run/ping.log 2>&1 &
flow=$!
for netns in a b; do
	dev=net0
	[ $netns = b ] && dev=net1
	for value in down up; do
		"in_$netns" ip link set "${!dev}" $value
	done
done
net_reached
rm /run/parity-flow
wait "$flow"
pings after 200 a -f -c 200 192.0.2.2
