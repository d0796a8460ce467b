#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""Ethernet frames between two interfaces in network namespaces of their own,
for the parity suite.

  frames.py arrive FROM TO NAME=MAC[@VLAN]...
      For each line of standard input until "end", sends a frame to each address
      out of FROM, and says which of them TO lets the system see, and which still have
      their tag.
  frames.py echo FROM TO COUNT MASK
      Sends frames of all lengths to TO's address, and wants each back with
      its bytes after the header combined with MASK by exclusive or.
  frames.py refused FROM TO COUNT
      The same, and wants none of them to reach the system on either side.

FROM and TO are NAMESPACE/INTERFACE, and both have to have one queue, so that
frames stay in order. They go past the queueing discipline: fq_codel, which
Debian's kernels start with, prefers flows that are new, and a frame of another
type is one. A receiver that batches gives tagged frames to packet sockets first.
"""
import errno
import os
import socket
import struct
import sys
import time

ETHERTYPE = 0x88b5
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_QDISC_BYPASS = 20
VLAN_VALID = 0x10
PATIENCE = 60


def port(name):
    """A packet socket in that namespace; the namespace stays entered."""
    netns, interface = name.split("/")
    with open("/run/netns/" + netns, "rb") as f:
        os.setns(f.fileno(), os.CLONE_NEWNET)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                         socket.htons(ETH_P_ALL))
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((interface, ETH_P_ALL))
    sock.settimeout(PATIENCE)
    return sock, sock.getsockname()[4]


def received(sock):
    """The next frame of ours that came in: data after the header, VLAN."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        data, aux, _, addr = sock.recvmsg(65536, 256)
        vlan = None
        for level, kind, value in aux:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", value)
                if status & VLAN_VALID:
                    vlan = tci & 0xfff
        if addr[2] == socket.PACKET_OUTGOING:
            continue
        head = 12
        if data[12:14] == b"\x81\x00":
            vlan = struct.unpack("!H", data[14:16])[0] & 0xfff
            head = 16
        if data[head:head + 2] == struct.pack("!H", ETHERTYPE):
            return data[head + 2:], vlan
    raise TimeoutError


def send(sock, data):
    """Past the queueing discipline there is nothing that waits for room."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            return sock.send(data)
        except OSError as e:
            if e.errno != errno.ENOBUFS or time.monotonic() > limit:
                raise


def frame(to, sender, body, vlan=None):
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    return to + sender + tag + struct.pack("!H", ETHERTYPE) + body


def arrive(sender, receiver, wanted):
    out, _ = port(sender)
    inp, _ = port(receiver)
    for line in sys.stdin:
        if line == "end\n":
            break
        # Addresses change meanwhile.
        mine, theirs = out.getsockname()[4], inp.getsockname()[4]
        names = []
        for index, word in enumerate(wanted):
            name, _, mac = word.partition("=")
            mac, _, vlan = mac.partition("@")
            names.append(name)
            body = struct.pack("!I", index).ljust(60, b".")
            send(out, frame(bytes.fromhex(mac.replace(":", "")) or theirs, mine,
                            body, int(vlan) if vlan else None))
        # The last frame, to the interface itself, is the sign to stop.
        body = struct.pack("!I", len(names)).ljust(60, b".")
        send(out, frame(theirs, mine, body))
        seen = []
        while True:
            data, vlan = received(inp)
            index = struct.unpack("!I", data[:4])[0]
            if index >= len(names):
                break
            seen.append((index, vlan))
        print(*(names[index] + ("" if vlan is None else f"@{vlan}")
                for index, vlan in sorted(seen, key=lambda frame: frame[0])),
              flush=True)


def body_of(index):
    return bytes((index + i) & 0xff for i in range(46 + index * 37 % 1400))


def echo(sender, receiver, count, mask):
    _, theirs = port(receiver)
    out, mine = port(sender)
    index = 0
    pending = {}
    while index < count or pending:
        while index < count and len(pending) < 16:
            body = struct.pack("!I", index) + body_of(index)
            pending[bytes(b ^ mask for b in body)] = index
            send(out, frame(theirs, mine, body))
            index += 1
        data, _ = received(out)
        if pending.pop(data, None) is None:
            sys.exit(f"not a frame that was sent: {data[:32]!r}")
    print(count)


def refused(sender, receiver, count):
    inp, theirs = port(receiver)
    out, mine = port(sender)
    for index in range(count):
        send(out, frame(theirs, mine, struct.pack("!I", index) + body_of(index)))
    # What comes after them is of another type, and is not refused.
    end = theirs + mine + b"\x88\xb6" + bytes(60)
    send(out, end)
    seen = 0
    while True:
        data, _, _, addr = inp.recvmsg(65536)
        if addr[2] == socket.PACKET_OUTGOING:
            continue
        if data[12:14] == b"\x88\xb6":
            break
        seen += data[12:14] == struct.pack("!H", ETHERTYPE)
    print(seen)


def main():
    verb, sender, receiver, *rest = sys.argv[1:]
    if verb == "arrive":
        arrive(sender, receiver, rest)
    elif verb == "echo":
        echo(sender, receiver, int(rest[0]), int(rest[1], 0))
    elif verb == "refused":
        refused(sender, receiver, int(rest[0]))
    else:
        sys.exit(f"no verb {verb}")


main()
