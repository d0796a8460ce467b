#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: net0 net1
#
# Addresses, filters, VLANs, bridges, MTU.
. "${BASH_SOURCE[0]%/*}/lib.sh"

trap net_done EXIT
modprobe -a 8021q bridge veth
net_pair
net_reached
# One queue each, so that frames stay in order.
in_a ethtool -L "$net0" combined 1
in_b ethtool -L "$net1" combined 1

group=239.1.2.3
coproc frames {
	python3 "$TVQ_SRC/tests/parity/frames.py" arrive "b/$net1" "a/$net0" \
		self= other=02:aa:00:00:00:99 changed=02:aa:00:00:00:77 \
		broadcast=ff:ff:ff:ff:ff:ff \
		joined=01:00:5e:01:02:03 group=01:00:5e:01:02:04 \
		added=33:33:00:00:12:34 many=33:33:00:01:00:50 tagged=@5 untold=@6
}
program=$!
# arrivals KEY PATTERN: what is to arrive, some time: the driver tells the device of
# filters by a worker, after the command has ended.
arrivals()
{
	local names='' limit=$((SECONDS + 30))

	# shellcheck disable=SC2053
	until [[ $names == $2 ]]; do
		[ $SECONDS -lt $limit ] || fail "arrive.$1: '$names' instead of '$2'"
		echo once >&"${frames[1]}"
		read -r -t 300 names <&"${frames[0]}" || fail "arrive.$1: no answer"
	done
	fact "arrive.$1" "$names"
}

arrivals first "self broadcast"
in_a ip maddr add 33:33:00:00:12:34 dev "$net0"
ip netns exec a python3 - "$group" <<'END' &
import signal, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                socket.inet_aton(sys.argv[1]) + socket.inet_aton("192.0.2.1"))
signal.pause()
END
member=$!
wait_for 20 in_a sh -c "ip maddr show dev $net0 | grep -w $group"
arrivals joined "self broadcast joined added"
kill "$member"
wait "$member" || true
wait_gone 20 in_a sh -c "ip maddr show dev $net0 | grep -w $group"
in_a ip maddr del 33:33:00:00:12:34 dev "$net0"
arrivals left "self broadcast"
in_a ip link set "$net0" allmulticast on
arrivals allmulticast "self broadcast joined group added many"
in_a ip link set "$net0" allmulticast off
in_a ip link set "$net0" promisc on
arrivals promiscuous "self other changed broadcast joined group added many tagged@5 untold@6"
in_a ip link set "$net0" promisc off
arrivals not-promiscuous "self broadcast"

# addresses REQUEST: SIOCADDMULTI or SIOCDELMULTI, more of them than a device's table may
# hold. Not by ip, which ends after the first "maddress" of a batch.
addresses()
{
	in_a python3 - "$1" "$net0" <<-'END'
		import fcntl, socket, struct, sys
		request, name = int(sys.argv[1], 0), sys.argv[2].encode()
		with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
		    for n in range(1, 81):
		        mac = bytes.fromhex("3333000100%02x" % n)
		        fcntl.ioctl(sock, request, struct.pack("16sH14s8x", name, socket.AF_UNSPEC, mac))
	END
}

addresses 0x8931
arrivals many "self broadcast*many"
addresses 0x8932
arrivals few "self broadcast"

fails mac.multicast in_a ip link set "$net0" address 01:00:00:00:00:01
succeeds mac.change in_a ip link set "$net0" address 02:aa:00:00:00:77
fact mac.now "$(in_a cat "/sys/class/net/$net0/address")"
arrivals changed "self changed broadcast"
in_b ip neigh flush dev "$net1"
pings mac.ping 3 b -c 3 -i 0.2 192.0.2.1
in_a ip link set "$net0" address 02:aa:00:00:00:10

for netns in a b; do
	dev=net0
	[ $netns = b ] && dev=net1
	"in_$netns" ip link add link "${!dev}" name vlan5 type vlan id 5
	"in_$netns" ip link set vlan5 up
done
in_a ip addr add 198.51.100.1/24 dev vlan5
in_b ip addr add 198.51.100.2/24 dev vlan5
pings vlan.ping 3 a -c 3 -i 0.2 198.51.100.2
pings vlan.large 2 a -c 2 -i 0.2 -M "do" -s 1472 198.51.100.2
arrivals vlan "self broadcast tagged@5"
in_b ip link del vlan5
in_b ip link add link "$net1" name vlan6 type vlan id 6
in_b ip addr add 198.51.100.2/24 dev vlan6
in_b ip link set vlan6 up
pings vlan.other 0 a -c 1 -W 1 198.51.100.2
in_b ip link del vlan6
in_a ip link del vlan5
arrivals no-vlan "self broadcast"
echo end >&"${frames[1]}"
wait "$program"

# Behind a bridge is another address.
in_b ip addr flush dev "$net1"
in_b ip link add bridge0 address 02:aa:00:00:00:11 type bridge
in_b ip link set "$net1" master bridge0
ip netns add c
in_b ip link add leg type veth peer name inner netns c
in_b ip link set leg master bridge0
in_b ip link set leg up
in_b ip link set bridge0 up
in_b ip addr add 192.0.2.2/24 dev bridge0
net_addresses c inner 3
wait_for 20 in_a ping -q -c 1 -W 1 192.0.2.3
pings bridge.itself 3 a -c 3 -i 0.2 192.0.2.2
pings bridge.behind 3 a -c 3 -i 0.2 192.0.2.3
pings bridge.flood 100 c -f -c 100 192.0.2.1
fact bridge.promiscuous "$(in_b ip -d -j link show "$net1" | jq '.[0].promiscuity')"
in_b ip link del bridge0
in_b ip addr add 192.0.2.2/24 dev "$net1"

for mtu in 68 1280 9000 65535 65536 60; do
	rc_fact "mtu.$mtu" in_a ip link set "$net0" mtu $mtu
	fact "mtu.$mtu.now" "$(in_a cat "/sys/class/net/$net0/mtu")"
done
in_a ip link set "$net0" mtu 9000
in_b ip link set "$net1" mtu 9000
pings mtu.ping 3 a -c 3 -i 0.2 -M "do" -s 8972 192.0.2.2
