#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: net0 net1
#
# XDP in the driver, and AF_XDP sockets that copy and that do not.
. "${BASH_SOURCE[0]%/*}/lib.sh"

trap net_done EXIT
net_pair
net_reached
# One queue each: frames stay in order, and the socket's is the one that they
# come to. XDP wants queues of its own for each CPU and goes without.
in_a ethtool -L "$net0" combined 1
in_b ethtool -L "$net1" combined 1
in_b ethtool -K "$net1" rx-gro-hw off || true
frames=$(small 1000 200)

# start ARG...: xdp on net1, until its input ends.
start()
{
	rm -f /run/parity-xdp /run/parity-xdp.in
	mkfifo /run/parity-xdp.in
	ip netns exec b "$TVQ_SRC/build/parity/xdp" "$net1" "$@" \
		</run/parity-xdp.in >/run/parity-xdp &
	program=$!
	exec 5>/run/parity-xdp.in
	wait_for 30 grep ready /run/parity-xdp
}

finish()
{
	exec 5>&-
	wait $program
}

mode()
{
	in_b ip -j link show "$net1" | jq -r '.[0].xdp.mode'
}

try()
{
	fact "$1" "$(python3 "$TVQ_SRC/tests/parity/frames.py" "$2" "a/$net0" "b/$net1" "${@:3}")"
}

try none refused 20
start pass
fact pass.mode "$(mode)"
try pass refused 20
pings pass.ping a -c 3 -i 0.2 192.0.2.2
finish

start drop
try drop refused "$frames"
pings drop.ping a -c 3 -i 0.2 192.0.2.2
finish

start tx
try tx echo "$frames" 0
pings tx.ping a -c 3 -i 0.2 192.0.2.2
finish
fact end.mode "$(mode)"

for kind in copy zerocopy; do
	start $kind "$frames"
	try $kind echo "$frames" 0xff
	pings $kind.ping a -c 3 -i 0.2 192.0.2.2
	rc_fact $kind.status finish
	fact $kind.end.mode "$(mode)"
	net_reached
	pings $kind.after a -f -c 100 192.0.2.2
done
