#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: net0 net1
#
# A link that the other side takes down and up.
. "${BASH_SOURCE[0]%/*}/lib.sh"

trap 'control link net0 up; net_done' EXIT
net_pair
net_reached

carrier()
{
	[ "$(in_a cat "/sys/class/net/$net0/carrier")" = "$1" ]
}

state()
{
	fact "$1.state" "$(in_a ip -j link show "$net0" | jq -r '.[0] | .operstate, .flags[]' | tr '\n' ' ')"
	fact "$1.ethtool" "$(in_a ethtool "$net0" | grep 'Link detected')"
	fact "$1.changes" "$(in_a cat "/sys/class/net/$net0/carrier_changes")"
}

state first
for n in 1 2; do
	control link net0 down
	wait_for 20 carrier 0
	wait_for 20 in_a sh -c "ip link show $net0 | grep 'state DOWN'"
	state down.$n
	pings down.$n.ping 0 b -c 1 -W 1 192.0.2.1
	control link net0 up
	wait_for 20 carrier 1
	wait_for 20 in_a sh -c "ip link show $net0 | grep 'state UP'"
	state up.$n
	net_reached
done
in_a ip link set "$net0" down
control link net0 down
in_a ip link set "$net0" up
wait_for 20 carrier 0
state up-without-link
