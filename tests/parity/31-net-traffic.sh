#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck disable=SC2016 # for another shell to expand
# needs: net0 net1
# timeout: 180
#
# Traffic of all kinds: what was sent arrives, whole.
. "${BASH_SOURCE[0]%/*}/lib.sh"

trap net_done EXIT
net_pair
net_reached
pings ping 3 a -c 3 -i 0.2 192.0.2.2
pings ping6 3 b -c 3 -i 0.2 2001:db8::1
pings flood "$(small 1000 200)" a -f -c "$(small 1000 200)" 192.0.2.2
pings large 3 b -c 3 -i 0.2 -s 30000 192.0.2.1

# packets NETNS INTERFACE rx|tx: by the counters of its queues.
packets()
{
	"in_$1" ethtool -S "$2" | awk -v name="^$3(_queue_)?[0-9]+_packets:" '
		$1 ~ name { n += $2; queues++ }
		END { if (!queues) exit 1; print n }'
}

arrived()
{
	[ "$(packets a "$net0" tx)" = "$(packets b "$net1" rx)" ] &&
		[ "$(packets b "$net1" tx)" = "$(packets a "$net0" rx)" ]
}

# Whatever one side has sent, the other has received: by now nothing was lost.
wait_for 20 arrived
fact counted "$(($(packets a "$net0" rx) >= $(small 1000 200)))"

in_b iperf3 -s -D --pidfile /run/iperf3.pid
wait_for 20 test -s /run/iperf3.pid

client()
{
	in_a iperf3 -c 192.0.2.2 -J "$@" >/run/iperf3.json
}

# stream KEY BYTES ARG...: all that one side sent is what the other received.
stream()
{
	local key=$1 bytes=$2
	shift 2

	# Until the server is done with the one before.
	wait_for 20 client -n "$bytes" "$@"
	jq -r '.error // .end | if type == "string" then . else
		[.sum_sent, .sum_received, .sum_sent_bidir_reverse, .sum_received_bidir_reverse] |
		map(.bytes // empty) | "\(.)" end' /run/iperf3.json
	fact "$key" "$(jq -r --argjson n "$bytes" '.end |
		[.sum_received, .sum_received_bidir_reverse] |
		map(.bytes // empty | . >= $n * 0.9) | "\(.)"' /run/iperf3.json)"
}

stream tcp $((2 << 20))
stream tcp.parallel $((1 << 20)) -P 4
stream tcp.both $((2 << 20)) --bidir
stream tcp.small $((100 << 10)) -l 100 -N
stream tcp.segments $((1 << 20)) -M 500

# Datagrams get lost where the receiver does not get its turn on a busy machine.
# 32-net-offloads looks at what is in them.
datagrams()
{
	wait_for 20 client -u "${@:2}"
	jq -c '.end.sum | [.packets, .lost_packets]' /run/iperf3.json
	fact "$1" "$(jq '.end.sum | .packets > 0 and .lost_percent < 20' /run/iperf3.json)"
}

datagrams udp -b 4M -n 300K -l 1400
datagrams udp.fragments -b 4M -n 200K -l 8000
datagrams udp.reverse -b 4M -n 300K -l 1400 -R
kill "$(tr -d '\0' </run/iperf3.pid)"

# errors NETNS: no frame was damaged, nor thought to be.
errors()
{
	"in_$1" awk '$1 ~ /:$/ && $1 == last { for (i = 2; i <= NF; i++)
			if (name[i] ~ /InErrs|InCsumErrors|InHdrErrors/)
				print $1 name[i] "=" $i }
		{ last = $1; for (i = 2; i <= NF; i++) name[i] = $i }' /proc/net/snmp |
		sed 's/:/-/' | facts "$1"
}

errors a
errors b
for name in rx_errors tx_errors rx_crc_errors rx_frame_errors rx_length_errors tx_dropped; do
	fact "a.$name" "$(in_a cat "/sys/class/net/$net0/statistics/$name")"
	fact "b.$name" "$(in_b cat "/sys/class/net/$net1/statistics/$name")"
done
