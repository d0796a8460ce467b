#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck disable=SC2016 # for awk to expand
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

# All of the flood is in the counters.
for direction in rx tx; do
	want "a.$direction" 1 "$(($(in_a cat "/sys/class/net/$net0/statistics/${direction}_packets") >= $(small 1000 200)))"
	want "b.$direction" 1 "$(($(in_b cat "/sys/class/net/$net1/statistics/${direction}_packets") >= $(small 1000 200)))"
done

# Streams, and datagrams: of those no more are sent before the last have arrived, so that
# none is lost because the receiver does not get its turn on a busy machine.
python3 - >/run/traffic <<'END'
import hashlib, os, random, socket, threading
rnd = random.Random(3)

def enter(netns):
    with open("/run/netns/" + netns) as f:
        os.setns(f.fileno(), os.CLONE_NEWNET)

def stream(key, size, parallel=1, both=False, chunk=65536, nodelay=0, mss=0):
    """So many connections at once: which of their directions got what was sent."""
    def option(sock):
        sock.settimeout(60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        return sock

    def send(sock, data):
        for at in range(0, size, chunk):
            sock.sendall(data[at:at + chunk])
        sock.shutdown(socket.SHUT_WR)

    def receive(sock, data, results):
        got = hashlib.sha256()
        while part := sock.recv(65536):
            got.update(part)
        results.append(got.digest() == hashlib.sha256(data).digest())

    listener = socket.socket()
    if mss:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
    listener.bind(("192.0.2.2", 0))
    listener.listen()
    listener.settimeout(60)
    threads, results = [], []
    for _ in range(parallel):
        # Of the namespace that the listener is not in
        enter("a")
        client = option(socket.create_connection(listener.getsockname(), 60))
        server = option(listener.accept()[0])
        for source, sink in [(client, server), (server, client)][:1 + both]:
            data = rnd.randbytes(size)
            threads.append(threading.Thread(target=send, args=(source, data)))
            threads.append(threading.Thread(target=receive, args=(sink, data, results)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(key, results.count(True))

for key, how in (("tcp", {"size": 2 << 20}),
                 ("tcp.parallel", {"size": 256 << 10, "parallel": 4}),
                 ("tcp.both", {"size": 2 << 20, "both": True}),
                 ("tcp.small", {"size": 100 << 10, "chunk": 100, "nodelay": 1}),
                 ("tcp.segments", {"size": 1 << 20, "mss": 500})):
    enter("b")
    stream(key, **how)

def udp(netns, address):
    enter(netns)
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
declare -A traffic=([tcp]=1 [tcp.parallel]=4 [tcp.both]=2 [tcp.small]=1 [tcp.segments]=1
	[udp]=100 [udp.fragments]=100 [udp.reverse]=100)
while read -r key same; do
	want "$key" "${traffic[$key]}" "$same"
	unset "traffic[$key]"
done </run/traffic
[ ${#traffic[@]} = 0 ] || fail "nothing of ${!traffic[*]}"

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
