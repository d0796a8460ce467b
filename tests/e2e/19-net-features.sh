#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kmemleak: off
# timeout: 240
#
# What a network interface can do beside passing frames: filters, offloads, queues,
# RSS, XDP, announcements. "plain" is one from which all offloads are withheld.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
modprobe 8021q
fn=$(tvq_function 0)
tvq_create "$fn" 'type=net name=left vqs=2'
tvq_create "$fn" 'type=net name=right vqs=2'
features=$(cat "$(tvq_device "$fn" left)/features")
features=$((0x${features: -16}))
# CSUM, GUEST_CSUM, CTRL_GUEST_OFFLOADS, TSO, ECN, MRG_RXBUF, USO
for bit in 0 1 2 7 8 9 11 12 13 15 54 55 56; do
	[ $((features >> bit & 1)) = 1 ] || fail "bit $bit is not offered"
	features=$((features & ~(1 << bit)))
done
tvq_create "$fn" "type=net name=plain vqs=2 features=0x$(printf %x $features)"
left=$(tvq_netdev "$fn" left)
right=$(tvq_netdev "$fn" right)
# shellcheck disable=SC2034 # all three are used by their names
plain=$(tvq_netdev "$fn" plain)

clean()
{
	local ns

	for ns in left right plain; do
		ip netns del $ns 2>/dev/null || true
	done
}
trap clean EXIT

n=0
for ns in left right plain; do
	n=$((n + 1))
	ip netns add $ns
	ip link set "${!ns}" netns $ns
	ip -n $ns link set lo up
	ip -n $ns addr add 192.0.2.$n/24 dev "${!ns}"
	ip -n $ns addr add 2001:db8::$n/64 dev "${!ns}" nodad
	ip -n $ns link set "${!ns}" up
done

in_ns()
{
	ip netns exec "$@"
}

offload()
{
	in_ns "$1" ethtool -k "${!1}" | sed -n "s/^\t*$2: \([a-z]*\).*/\1/p"
}

for key in tx-checksumming tcp-segmentation-offload tx-tcp6-segmentation rx-gro-hw; do
	[ "$(offload left $key)" = on ] || fail "$key of left is not on"
	[ "$(offload plain $key)" = off ] || fail "$key of plain is not off"
done
[ "$(in_ns left cat "/sys/class/net/$left/speed")" = 10000 ] || fail "speed"
[ "$(in_ns left cat "/sys/class/net/$left/duplex")" = full ] || fail "duplex"

# stream FROM TO ADDRESS: 4 MiB that arrive as they were sent. Sets sent and got, the
# mean lengths of what the two interfaces passed on.
stream()
{
	local values

	values=$(python3 - "$@" "${!1}" "${!2}" <<'PYTHON'
import hashlib, os, random, socket, sys, threading
source, sink, address, source_dev, sink_dev = sys.argv[1:]
data = random.Random(1).randbytes(4 << 20)

def enter(ns):
    with open("/run/netns/" + ns) as file:
        os.setns(file.fileno(), os.CLONE_NEWNET)

def counters(ns, dev, direction):
    enter(ns)
    for line in open("/proc/thread-self/net/dev"):
        name, _, rest = line.partition(":")
        if name.strip() == dev:
            values = rest.split()
            at = 0 if direction == "rx" else 8
            return int(values[at]), int(values[at + 1])

before = counters(source, source_dev, "tx"), counters(sink, sink_dev, "rx")
enter(sink)
family = socket.AF_INET6 if ":" in address else socket.AF_INET
server = socket.create_server((address, 0), family=family)
enter(source)
client = socket.create_connection(server.getsockname()[:2], timeout=60)
peer, _ = server.accept()
peer.settimeout(60)
thread = threading.Thread(target=lambda: (client.sendall(data), client.close()))
thread.start()
digest = hashlib.sha256()
while part := peer.recv(1 << 16):
    digest.update(part)
thread.join()
assert digest.digest() == hashlib.sha256(data).digest(), "other data arrived"
after = counters(source, source_dev, "tx"), counters(sink, sink_dev, "rx")
for a, b in zip(before, after):
    print((b[0] - a[0]) // (b[1] - a[1]))
PYTHON
	) || fail "no stream from $1 to $2, $3"
	# shellcheck disable=SC2086 # two numbers
	set -- $values "$@"
	sent=$1
	got=$2
	echo "$3 to $4, $5: frames of $sent and $got bytes"
}

# Between those who can, large frames go through; others get segments.
for address in 192.0.2 2001:db8:; do
	separator=.
	[ $address = 192.0.2 ] || separator=:
	stream left right $address${separator}2
	[ "$sent" -gt 2000 ] || fail "left sends small frames"
	[ "$got" -gt 2000 ] || fail "right gets small frames"
	stream left plain $address${separator}3
	[ "$sent" -gt 2000 ] || fail "left sends small frames to plain"
	[ "$got" -le 1514 ] || fail "plain gets large frames"
	stream plain left $address${separator}1
	[ "$sent" -le 1514 ] || fail "plain sends large frames"
done

# Turned off and on again
in_ns right ethtool -K "$right" rx-gro-hw off
stream left right 192.0.2.2
[ "$got" -le 1514 ] || fail "right gets large frames, which it has turned off"
in_ns right ethtool -K "$right" rx-gro-hw on
in_ns left ethtool -K "$left" tso off
stream left right 192.0.2.2
[ "$sent" -le 1514 ] || fail "left sends large frames, which it has turned off"
in_ns left ethtool -K "$left" tx off
stream left right 192.0.2.2
in_ns left ethtool -K "$left" tx on tso on
stream left right 192.0.2.2
[ "$sent" -gt 2000 ] || fail "left sends small frames again"

# UDP segments: as they are, and cut by the device
python3 - <<'PYTHON'
import os, socket
def enter(ns):
    with open("/run/netns/" + ns) as file:
        os.setns(file.fileno(), os.CLONE_NEWNET)
UDP_SEGMENT = 103
for sink, address in ("right", "192.0.2.2"), ("plain", "192.0.2.3"):
    enter(sink)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 0))
    server.settimeout(10)
    enter("left")
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
    data = bytes(i % 251 for i in range(9500))
    client.sendto(data, server.getsockname())
    got = [server.recv(65536) for _ in range(10)]
    assert [len(g) for g in got] == [1000] * 9 + [500], [len(g) for g in got]
    assert b"".join(got) == data
PYTHON

# ECN: a large segment with CWR, as a congested sender has it, arrives with it. Where the
# device cuts it, the first piece alone has it; reception offload would make one of them.
in_ns plain ethtool -K "$plain" gro off
python3 - "$left" "$right" "$plain" <<'PYTHON'
import os, socket, struct, sys
devs = dict(zip(("left", "right", "plain"), sys.argv[1:]))
IP, SOL_PACKET, PACKET_VNET_HDR = 0x0800, 263, 15
NEEDS_CSUM, TCPV4, ECN = 1, 1, 0x80
CWR, ACK, PSH = 0x80, 0x10, 0x08
def raw(ns):
    with open("/run/netns/" + ns) as file:
        os.setns(file.fileno(), os.CLONE_NEWNET)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(IP))
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.bind((devs[ns], IP))
    sock.settimeout(20)
    return sock

def fold(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total

out = raw("left")
data = bytes(i % 251 for i in range(3500))
# To an address that nobody has: no answer
ends = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.1")
tcp_len = 20 + len(data)
ip = struct.pack(">BBHHHBBH8s", 0x45, 0, 20 + tcp_len, 1, 0, 64, 6, 0, ends)
ip = ip[:10] + struct.pack(">H", fold(ip) ^ 0xffff) + ip[12:]
tcp = struct.pack(">HHIIBBHHH", 1234, 80, 1, 1, 5 << 4, CWR | ACK | PSH, 1000,
                  fold(ends + struct.pack(">HH", 6, tcp_len)), 0)
vnet = struct.pack("<BBHHHH", NEEDS_CSUM, TCPV4 | ECN, 54, 1000, 34, 16)
for ns, expected in (("right", [(TCPV4 | ECN, CWR, 3500)]),
                     ("plain", [(0, CWR, 1000), (0, 0, 1000), (0, 0, 1000), (0, 0, 500)])):
    sink = raw(ns)
    out.send(vnet + sink.getsockname()[4] + out.getsockname()[4] + struct.pack(">H", IP) +
             ip + tcp + data)
    got, payload = [], b""
    while len(payload) < len(data):
        frame = sink.recv(65536)
        if frame[10:][26:34] != ends:
            continue
        part = frame[10:][54:]
        got.append((frame[1], frame[10:][47] & CWR, len(part)))
        payload += part
    assert got == expected, (ns, got)
    assert payload == data, ns
PYTHON
in_ns plain ethtool -K "$plain" gro on

# Filters: which frames reach an interface that is not promiscuous. A packet socket
# sees what the device lets through, whoever it is for.
in_ns right ip link add link "$right" name "$right.5" type vlan id 5
in_ns right ip link set "$right.5" up
python3 - "$left" "$right" <<'PYTHON'
import os, socket, struct, subprocess, sys, time
left, right = sys.argv[1:]
ETH, VLAN = 0x88b5, 0x8100
SOL_PACKET, ADD, DROP, MULTICAST, UNICAST, ALLMULTI = 263, 1, 2, 0, 3, 2

def enter(ns):
    with open("/run/netns/" + ns) as file:
        os.setns(file.fileno(), os.CLONE_NEWNET)

def raw(ns, dev, protocol):
    enter(ns)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    sock.bind((dev, protocol))
    return sock

def mac(text):
    return bytes.fromhex(text.replace(":", ""))

out = raw("left", left, ETH)
listener = raw("right", right, 3)
enter("right")
own = listener.getsockname()[4]
index = socket.if_nametoindex(right)
source = out.getsockname()[4]
serial = 0

def arrives(to, vlan=None, seconds=0.3):
    """Does a frame arrive? One for the interface itself, sent behind it, ends the wait."""
    global serial
    serial += 1
    tag = struct.pack(">HH", VLAN, vlan) if vlan is not None else b""
    mark, end = b"mark%08d" % serial, b"end-%08d" % serial
    out.send(to + source + tag + struct.pack(">H", ETH) + mark + bytes(40))
    out.send(own + source + struct.pack(">H", ETH) + end + bytes(40))
    listener.settimeout(20)
    seen = False
    while True:
        frame = listener.recv(2048)
        if mark in frame:
            seen = True
        if end in frame:
            return seen

def membership(action, kind, address=b"\0" * 6):
    listener.setsockopt(SOL_PACKET, action,
                        struct.pack("IHH8s", index, kind, 6, address + b"\0\0"))

def ip(*args):
    subprocess.run(["ip", "-n", "right", *args], check=True)

def soon(expected, *args):
    # What is changed under RTNL may reach the device a little later.
    end = time.monotonic() + 20
    while arrives(*args) != expected:
        assert time.monotonic() < end, (expected, args)
        time.sleep(0.05)

foreign = mac("02:00:00:00:00:77")
group = mac("01:00:5e:01:02:03")
soon(False, foreign)
assert arrives(own)
assert arrives(b"\xff" * 6)
soon(False, group)
ip("link", "set", right, "promisc", "on")
soon(True, foreign)
soon(True, group)
ip("link", "set", right, "promisc", "off")
soon(False, foreign)
ip("link", "set", right, "allmulticast", "on")
soon(True, group)
soon(False, foreign)
ip("link", "set", right, "allmulticast", "off")
soon(False, group)
membership(ADD, MULTICAST, group)
soon(True, group)
membership(DROP, MULTICAST, group)
soon(False, group)
membership(ADD, UNICAST, foreign)
soon(True, foreign)
membership(DROP, UNICAST, foreign)
soon(False, foreign)
# More than the device's table holds
many = [bytes([1, 0, 0x5e, 9, 0, i]) for i in range(70)]
for address in many:
    membership(ADD, MULTICAST, address)
soon(True, group)
for address in many:
    membership(DROP, MULTICAST, address)
soon(False, group)
# VLANs
soon(True, own, 5)
soon(False, own, 6)
ip("link", "del", right + ".5")
soon(False, own, 5)
# Another address, while it is up
old = own
own = mac("02:00:00:00:00:99")
ip("link", "set", right, "address", "02:00:00:00:00:99")
soon(True, own)
soon(False, old)
PYTHON
[ "$(in_ns right cat "/sys/class/net/$right/address")" = 02:00:00:00:00:99 ] || fail "address"
ip -n left neigh flush all
in_ns left ping -q -c 2 -i 0.2 -w 20 192.0.2.2

# Queues, and RSS: all flows to the second queue
# Interrupts of a receive queue: Linux 7.2 counts packets for each queue, but ethtool
# does not show them any more.
rx_interrupts()
{
	awk -v name="tvq0-$(cat "$(tvq_device "$fn" right)/device_id")-input.$1" \
		'$NF == name { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) n += $i; else break
			print n }' /proc/interrupts | grep .
}

in_ns right ethtool -L "$right" combined 2
in_ns left ethtool -L "$left" combined 2
[ "$(in_ns right ethtool -x "$right" | grep -c '^ *[0-9]*: ')" -gt 0 ] || fail "no indirection table"
for queue in 1 0; do
	in_ns right ethtool -X "$right" weight $((1 - queue)) $queue
	before=$(rx_interrupts $queue)
	other=$(rx_interrupts $((1 - queue)))
	stream left right 192.0.2.2
	before=$(($(rx_interrupts $queue) - before))
	other=$(($(rx_interrupts $((1 - queue))) - other))
	if [ $before -lt 10 ] || [ $other -ge 10 ]; then
		fail "$before interrupts for queue $queue, $other for the other"
	fi
done
in_ns right ethtool -X "$right" default
in_ns right ethtool -L "$right" combined 1
in_ns right ethtool -L "$right" combined 2

# XDP, which wants the offloads of reception off
in_ns right python3 - "$right" <<'PYTHON' &
import ctypes, os, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def bpf(cmd, attr):
    buf = ctypes.create_string_buffer(attr, 128)
    fd = libc.syscall(321, cmd, buf, 128)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd
# r0 = XDP_PASS; exit
insns = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 2, 0x95, 0, 0, 0))
license = ctypes.create_string_buffer(b"GPL")
prog = bpf(5, struct.pack("<IIQQ", 6, 2, ctypes.addressof(insns), ctypes.addressof(license)))
DRV_MODE = 4
link = bpf(28, struct.pack("<IIII", prog, socket.if_nametoindex(sys.argv[1]), 37, DRV_MODE))
open("/run/xdp", "w").close()
while os.path.exists("/run/xdp"):
    time.sleep(0.05)
PYTHON
xdp=$!
wait_for 20 test -e /run/xdp || fail "no XDP program"
stream left right 192.0.2.2
[ "$got" -le 1514 ] || fail "large frames with XDP"
rm /run/xdp
wait $xdp
stream left right 192.0.2.2
[ "$got" -gt 2000 ] || fail "no large frames behind XDP"

# An announcement on demand, and again when the link has been down. (Linux announces
# before it turns the carrier on, so that what it sends as the link comes up is lost.)
python3 - "$left" <<'PYTHON' &
import os, socket, sys
with open("/run/netns/left") as file:
    os.setns(file.fileno(), os.CLONE_NEWNET)
sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0806))
sock.bind((sys.argv[1], 0x0806))
sock.settimeout(40)
address = bytes([192, 0, 2, 2])
for _ in range(2):
    open("/run/arp", "w").close()
    while True:
        packet, _ = sock.recvfrom(2048)
        if packet[14:18] == address and packet[24:28] == address:
            break
PYTHON
arp=$!
wait_for 20 test -e /run/arp
rm /run/arp
host device 0 ctl announce right
wait_for 20 test -e /run/arp || fail "no announcement"
host device 0 ctl link right down
wait_for 10 in_ns right grep -q 0 "/sys/class/net/$right/carrier"
! host device 0 ctl announce right || fail "an announcement without a link"
host device 0 ctl link right up
wait_for 10 in_ns right grep -q 1 "/sys/class/net/$right/carrier"
host device 0 ctl announce right
wait $arp || fail "no announcement behind a link that was down"
rm /run/arp

trap - EXIT
clean
for name in left right plain; do
	tvq_destroy "$fn" $name
done
tvq_unload
