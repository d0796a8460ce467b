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
want counted 1 "$(($(packets a "$net0" rx) >= $(small 1000 200)))"

in_b iperf3 -s -D --pidfile /run/iperf3.pid
wait_for 20 test -s /run/iperf3.pid

client()
{
	in_a iperf3 -c 192.0.2.2 -J "$@" >/run/iperf3.json
}

# stream KEY BYTES ARG...: all that one side sent is what the other received.
stream()
{
	local key=$1 bytes=$2 wanted="[true]"
	shift 2

	[ "${1:-}" = --bidir ] && wanted="[true,true]"
	# Until the server is done with the one before.
	wait_for 20 client -n "$bytes" "$@"
	jq -r '.error // .end | if type == "string" then . else
		[.sum_sent, .sum_received, .sum_sent_bidir_reverse, .sum_received_bidir_reverse] |
		map(.bytes // empty) | "\(.)" end' /run/iperf3.json
	want "$key" "$wanted" "$(jq -r --argjson n "$bytes" '.end |
		[.sum_received, .sum_received_bidir_reverse] |
		map(.bytes // empty | . >= $n * 0.9) | "\(.)"' /run/iperf3.json)"
}

stream tcp $((2 << 20))
stream tcp.parallel $((1 << 20)) -P 4
stream tcp.both $((2 << 20)) --bidir
stream tcp.small $((100 << 10)) -l 100 -N
stream tcp.segments $((1 << 20)) -M 500

kill "$(tr -d '\0' </run/iperf3.pid)"

# Datagrams: no more are sent before those have arrived, so that none is lost because
# the receiver does not get its turn on a busy machine.
python3 - >/run/datagrams <<'END'
import os, random, socket
rnd = random.Random(3)
def udp(netns, address):
    with open("/run/netns/" + netns) as f:
        os.setns(f.fileno(), os.CLONE_NEWNET)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(60)
    return sock
a, b = udp("a", "192.0.2.1"), udp("b", "192.0.2.2")
for key, source, sink, size in (("udp", a, b, 1400), ("udp.fragments", a, b, 8000),
                                ("udp.reverse", b, a, 1400)):
    same = 0
    for _ in range(25):
        sent = {rnd.randbytes(size) for _ in range(4)}
        for data in sent:
            source.sendto(data, sink.getsockname())
        same += len(sent & {sink.recv(65536) for _ in sent})
    print(key, same)
END
while read -r key same; do
	want "$key" 100 "$same"
done </run/datagrams

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
