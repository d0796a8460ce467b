#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: net0 net1
# differs: i\.bus-info: a managed device has a name on its bus, and no PCI address
#
# What ethtool and ip show of an interface, and what they may set.
. "${BASH_SOURCE[0]%/*}/lib.sh"

dev=$(netdev net0)

# show OPTION: with the section that a line is in, where there are some.
show()
{
	{ ethtool ${1:+"-$1"} "$dev" 2>&1 || true; } | awk '
		/^[^ \t].*:$/ { section = $0; gsub(/[: ]/, "", section); next }
		{ gsub(/^[ \t]+/, ""); print section (section == "" ? "" : ".") $0 }' |
		facts "${1:-ethtool}"
}

for option in "" i k l g c a S x n T; do
	show "$option"
done
ip -d -j link show "$dev" | jq -r '.[0] | del(.ifindex) |
	paths(type != "object" and type != "array") as $p |
	"\($p | map(tostring) | join("."))=\(getpath($p))"' | facts ip
cd "/sys/class/net/$dev"
{ grep -rsI '' addr_assign_type addr_len address broadcast dev_id dev_port dormant \
	flags gro_flush_timeout mtu name_assign_type netdev_group queues \
	statistics threaded tx_queue_len type || true; } |
	grep -v '/hold_time' | sed 's/:/=/' | sort | facts sysfs
cd /

# change KEY OPTION ARG...: what ethtool says to it, and shows then.
change()
{
	local key=$1 option=$2 rc=0 out
	shift 2

	out=$(ethtool "-$option" "$dev" "$@" 2>&1) || rc=$?
	fact "$key" "$rc ${out//$'\n'/ }"
}

state()
{
	fact "$1" "$({ ethtool "-$2" "$dev" 2>&1 || true; } | tr -s ' \t\n' ' ')"
}

ip link set "$dev" up
change L.1 L combined 1
state L.1.now l
change L.2 L combined 2
state L.2.now l
change L.3 L combined 3
change L.0 L combined 0
change L.rx L rx 1
state L.end l
change G.64 G rx 64 tx 64
state G.64.now g
change G.32 G rx 32
state G.32.now g
change G.odd G rx 100 tx 100
state G.odd.now g
change G.large G rx 65536
state G.end g
for feature in tx rx sg tso gso gro lro tx-udp-segmentation rx-gro-hw rxvlan \
		txvlan rx-vlan-filter ntuple rxhash hw-tc-offload highdma; do
	for value in off on; do
		change "K.$feature.$value" K $feature $value
	done
done
state K.end k
change C C rx-usecs 64
change C.frames C tx-frames 8
change C.adaptive C adaptive-rx on
state C.end c
change X.equal X equal 1
change X.weight X weight 1 1
state X.end x
change N N rx-flow-hash tcp4 sdfn
change s s speed 1000 duplex full autoneg off
fact s.end "$(ethtool "$dev" 2>&1 | tr -s " \t\n" " ")"
ip link set "$dev" down
