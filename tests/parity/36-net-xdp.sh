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
frames=$(small 200 60)

# start ARG...: xdp on net1, until its input ends. Fails when it does not start.
start()
{
	rm -f /run/parity-xdp /run/parity-xdp.in
	mkfifo /run/parity-xdp.in
	ip netns exec b "$TVQ_SRC/build/parity/xdp" "$net1" "$@" \
		</run/parity-xdp.in >/run/parity-xdp 2>&1 &
	program=$!
	exec 5>/run/parity-xdp.in
	wait_for 30 ready_or_gone
	cat /run/parity-xdp
	grep -x ready /run/parity-xdp >/dev/null
}

ready_or_gone()
{
	grep -x ready /run/parity-xdp || ! kill -0 "$program"
}

finish()
{
	local rc=0

	exec 5>&-
	wait "$program" || rc=$?
	cat /run/parity-xdp
	return $rc
}

mode()
{
	in_b ip -j link show "$net1" | jq -r '.[0].xdp.mode'
}

# try KEY WANTED VERB ARG...
try()
{
	want "$1" "$2" "$(python3 "$TVQ_SRC/tests/parity/frames.py" "$3" "a/$net0" "b/$net1" "${@:4}")"
}

# counted KEY DROPS TX REDIRECTS: what XDP did with the frames since it was asked last.
counted()
{
	local name value wanted=("${@:2}")

	for name in drops tx redirects; do
		value=$(in_b ethtool -S "$net1" | awk -v name="^rx[0-9]+_xdp_$name:$" '
			$1 ~ name { n += $2; found = 1 }
			END { if (!found) exit 1; print n }')
		want "$1.$name" "${wanted[0]}" "$((value - ${last[$name]:-0}))"
		wanted=("${wanted[@]:1}")
		last[$name]=$value
	done
}
declare -A last=()

try none 20 refused 20
start pass
fact pass.mode "$(mode)"
try pass 20 refused 20
pings pass.ping 3 a -c 3 -i 0.2 192.0.2.2
finish
counted pass 0 0 0

start drop
try drop 0 refused "$frames"
pings drop.ping 3 a -c 3 -i 0.2 192.0.2.2
finish
counted drop "$frames" 0 0

start tx
try tx "$frames" echo "$frames" 0
pings tx.ping 3 a -c 3 -i 0.2 192.0.2.2
finish
counted tx 0 "$frames" 0
fact end.mode "$(mode)"

# zeroes: does the device read zeroes where virtio_net says that the header is of
# all that an AF_XDP socket sends without a copy? Its variable xsk_hdr is mapped
# with virt_to_page(), which is wrong for a module: instead of the variable the
# device is told the address in memory that the kernel's image would have there.
# check-parity has that reserved, so that nobody writes to it.
zeroes()
{
	local at from to what

	at=$(awk '$3 == "xsk_hdr" { print $1 }' /proc/kallsyms)
	[ -n "$at" ] || fail "no xsk_hdr in virtio_net"
	at=$((0x$at - 0xffffffff80000000))
	while IFS=' -:' read -r from to what; do
		[ "$what" = Reserved ] && [ $((0x$from)) -le $at ] &&
			[ $at -le $((0x$to)) ] && return
	done </proc/iomem
	cat /proc/iomem
	fail "xsk_hdr is mapped as $(printf '%#x' $at), which is not reserved"
}

for kind in copy zerocopy; do
	if [ $kind = zerocopy ]; then
		if [ "$TVQ_KERNEL" = 6.12 ]; then
			# virtio_net of 6.12 can, and does not say so.
			! start $kind "$frames" || fail "6.12 has zero copy now"
			exec 5>&-
			grep -x "xdp: binding the socket: Operation not supported" /run/parity-xdp
			fact $kind refused
			continue
		fi
		zeroes
	fi
	start $kind "$frames"
	fact $kind.mode "$(mode)"
	try $kind "$frames" echo "$frames" 0xff
	succeeds $kind.status finish
	counted $kind 0 0 "$frames"
	pings $kind.ping 3 a -c 3 -i 0.2 192.0.2.2
	fact $kind.end.mode "$(mode)"
	net_reached
	pings $kind.after 100 a -f -c 100 192.0.2.2
done
