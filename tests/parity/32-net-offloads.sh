#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck disable=SC2016 # for another shell to expand
# needs: net0 net1
# timeout: 180
#
# The same bytes, with checksums and segmentation left to the device or not.
. "${BASH_SOURCE[0]%/*}/lib.sh"

trap net_done EXIT
net_pair
net_reached
bytes=$(small 1000000 300000)
cat >/run/parity-copy.py <<'END'
import hashlib, os, random, socket, sys, threading
size = int(sys.argv[1])
data = random.Random(5).randbytes(size)
def enter(name):
    with open("/run/netns/" + name, "rb") as f:
        os.setns(f.fileno(), os.CLONE_NEWNET)
enter("b")
listeners = [socket.create_server(("192.0.2.2", 5001)),
             socket.create_server(("2001:db8::2", 5001), family=socket.AF_INET6)]
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
datagrams.bind(("192.0.2.2", 5001))
datagrams.settimeout(20)
enter("a")
for line in sys.stdin:
    if line == "end\n":
        break
    sums = []
    for listener in listeners:
        listener.settimeout(60)
        client = socket.create_connection(listener.getsockname()[:2], 60)
        server, _ = listener.accept()
        server.settimeout(60)
        def send():
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        thread = threading.Thread(target=send)
        thread.start()
        got = hashlib.sha256()
        while chunk := server.recv(65536):
            got.update(chunk)
        thread.join()
        sums.append(got.hexdigest() == hashlib.sha256(data).hexdigest())
    # Datagrams, one by one and as one that is cut on the way (UDP_SEGMENT).
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(("192.0.2.2", 5001))
    client.send(data[:1200])
    sums.append(datagrams.recv(65536) == data[:1200])
    client.setsockopt(socket.IPPROTO_UDP, 103, 1000)
    client.send(data[:8500])
    got = b""
    while len(got) < 8500:
        got += datagrams.recv(65536)
    sums.append(got == data[:8500])
    print(*sums, flush=True)
END

# copy KEY: one process does them all, for it takes a second to start.
coproc copies { python3 /run/parity-copy.py "$bytes"; }
program=$!
copy()
{
	local sums

	echo once >&"${copies[1]}"
	read -r -t 300 sums <&"${copies[0]}" || fail "$1: no answer"
	want "$1" "True True True True" "$sums"
}

# offloads OPTION...: on both, the receiver's last.
offloads()
{
	in_a ethtool -K "$net0" "$@" || true
	in_b ethtool -K "$net1" "$@" || true
}

copy all
offloads tx-udp-segmentation off
copy no-uso
offloads tso off
copy no-tso
offloads gro off rx-gro-hw off
copy no-gro
offloads sg off gso off
copy no-sg
offloads tx off
copy no-tx-checksum
offloads rx off
copy none
offloads tx on
copy only-tx-checksum
offloads rx on sg on tso on gso on gro on rx-gro-hw on tx-udp-segmentation on
copy all-again
echo end >&"${copies[1]}"
wait "$program"
in_a awk '/^(Tcp|Udp):/ { print $0 }' /proc/net/snmp
for netns in a b; do
	fact "$netns.checksum-errors" "$("in_$netns" nstat -asz TcpInCsumErrors UdpInCsumErrors |
		awk '$1 != "#kernel" { print $2 }' | tr '\n' ' ')"
done
