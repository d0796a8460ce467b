#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""For 64-hostile.sh: what is done with a device that lies. Any of it may fail, and all
of it has to end.

    hostile.py FUNCTION replies COUNT   so many answers to commands
    hostile.py FUNCTION rings COUNT     so often, a ring that can't be true, and a reset
    hostile.py FUNCTION all SEED        everything at once, chosen by that seed

FUNCTION is its directory in sysfs. There are interfaces n0 and n1 on it, whose numbers
differ in the admin virtqueue that is asked for them."""

import errno
import fcntl
import glob
import mmap
import os
import random
import socket
import struct
import sys
import threading
import time

FN, WHAT, AMOUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
TVQ = FN + "/tvq/"
# Attributes whose every read is one command, to the transport and to admin virtqueues
LIMITS = [TVQ + name for name in ("devices_used", "vqs_free", "vectors_free", "devices_max")]
MEMBERS = ("features_possible", "vqs", "vectors", "mac", "mtu")
KINDS = ("blk capacity=4M vqs=2", "blk capacity=4M", "net vqs=2", "net", "rng", "console")
# Seconds: what a busy machine may take for the counts; how long all is done; and how
# long the last of it may take to end, with all the deadlines that it can meet
PATIENCE = 200
ALL = 8
END = 120


def read(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


# --- replies ----------------------------------------------------------------

# Nothing was answered then.
UNANSWERED = (errno.EIO, errno.ETIMEDOUT, errno.ENODEV, errno.ENOENT)


def move_interrupt(words, cpu):
    """Those of the function whose names in /proc/interrupts end with this."""
    with open("/proc/interrupts", encoding="ascii") as file:
        for line in file:
            if os.path.basename(FN) in line and line.rstrip().endswith(words):
                write("/proc/irq/%s/smp_affinity" % line.split(":")[0].strip(), "%x" % (1 << cpu))


def read_on(cpu, paths, table, column):
    """Reads one after the other, and counts what was answered."""
    os.sched_setaffinity(0, [cpu])
    files = [os.open(path, os.O_RDONLY) for path in paths]
    while not table[0]:
        for fd in files:
            try:
                os.pread(fd, 4096, 0)
            except OSError as error:
                table[3] += 1
                if error.errno in UNANSWERED:
                    continue
            table[column] += 1


def replies():
    """
    Who waits for an answer on the CPU that its interrupt comes to has it soonest, and
    one reader keeps that CPU busy. Several for one queue are slower together: its lock is
    held for as long as a doorbell takes, which is a message from one process to another.
    """
    table = memoryview(mmap.mmap(-1, 32)).cast("Q")
    cpus = sorted(os.sched_getaffinity(0))
    move_interrupt("virtio_tvq-transport", cpus[0])
    move_interrupt("virtio_tvq-admin", cpus[-1])
    readers = []
    members = [f"{TVQ}by-name/n{number}/{name}" for name in MEMBERS for number in range(2)]
    for cpu, paths, column in ((cpus[0], LIMITS, 1), (cpus[-1], members, 2)):
        pid = os.fork()
        if not pid:
            read_on(cpu, paths, table, column)
            os._exit(0)
        readers.append(pid)
    start = time.monotonic()
    while sum(table[1:3]) < AMOUNT and time.monotonic() < start + PATIENCE:
        time.sleep(0.1)
    seconds = time.monotonic() - start
    table[0] = 1
    for pid in readers:
        os.waitpid(pid, 0)
    count = sum(table[1:3])
    print("%u and %u answers in %.1f s, %.0f each second; %u errors"
          % (table[1], table[2], seconds, count / seconds, table[3]))
    return count >= AMOUNT


# --- rings ------------------------------------------------------------------


def rings():
    """Only what is broken is reset."""
    paths = [LIMITS[0], TVQ + "by-name/n0/mtu", TVQ + "by-name/n1/mtu"]
    late = time.monotonic() + PATIENCE
    found = 0
    while found < AMOUNT and time.monotonic() < late:
        for path in paths:
            try:
                read(path)
            except OSError as error:
                if error.errno == errno.EIO:
                    break
        else:
            continue
        found += 1
        while time.monotonic() < late:
            try:
                write(TVQ + "reset", "1")
                break
            except OSError:
                pass
    print(f"{found} times a queue was broken, and reset")
    return found >= AMOUNT


# --- all --------------------------------------------------------------------

tally = {}
lock = threading.Lock()


def note(what, good):
    with lock:
        tally.setdefault(what, [0, 0])[0 if good else 1] += 1


def attempt(what, work, *args):
    try:
        work(*args)
    except OSError:
        note(what, False)
        return False
    note(what, True)
    return True


def limits(rng):
    attempt("limits", read, rng.choice(LIMITS))


def members(rng):
    for path in glob.glob(TVQ + "by-name/*"):
        for name in MEMBERS + ("features",):
            attempt("members", read, path + "/" + name)
    time.sleep(0.01)


def make(rng):
    name = "d%d" % rng.randrange(6)
    if rng.randrange(2):
        if not attempt("create", write, TVQ + "create",
                       "type=%s name=%s" % (rng.choice(KINDS), name)):
            time.sleep(0.05)
    else:
        attempt("destroy", write, TVQ + "destroy", name)


def parts(rng):
    for path in glob.glob("/sys/kernel/debug/virtio_tvq/tvq*-*"):
        attempt("mode", write, path + "/mode", "stopped")
        attempt("parts", read, path + "/parts")
        attempt("mode", write, path + "/mode", "running")
    time.sleep(0.01)


def affinity(rng):
    for path in glob.glob(TVQ + "by-name/*/msi_irqs/*"):
        attempt("affinity", write, "/proc/irq/%s/smp_affinity" % os.path.basename(path),
                "%x" % (1 << rng.randrange(os.cpu_count())))
    time.sleep(0.01)


def disk_io(path, rng):
    room = mmap.mmap(-1, 65536)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_NONBLOCK)
    try:
        for _ in range(16):
            at = rng.randrange(64) * 4096
            if rng.randrange(2):
                os.preadv(fd, [room], at)
            else:
                os.pwritev(fd, [memoryview(room)[:4096]], at)
    finally:
        os.close(fd)


def disks(rng):
    for path in glob.glob("/dev/vd?"):
        attempt("disk", disk_io, path, rng)
    time.sleep(0.01)


def frames(name, rng):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        request = struct.pack("16sH14x", name.encode(), 0x1 | 0x40)
        fcntl.ioctl(sock, 0x8914, request)      # SIOCSIFFLAGS: up, running
        sock.bind((name, 0))
        sock.setblocking(False)
        for _ in range(64):
            size = rng.choice((60, 60, 500, 1500))
            sock.send(b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + rng.randbytes(size - 14))


def nets(rng):
    for path in glob.glob("/sys/bus/virtio_tvq/devices/*/virtio*/net/*"):
        attempt("frames", frames, os.path.basename(path), rng)
    time.sleep(0.01)


def reset(rng):
    time.sleep(1 + rng.random())
    attempt("reset", write, TVQ + "reset", "1")


def everything():
    until = time.monotonic() + ALL

    def loop(work, number):
        rng = random.Random(AMOUNT * 64 + number)
        while time.monotonic() < until:
            work(rng)

    crowd = [limits, members, make, make, parts, affinity, disks, disks, nets, reset]
    threads = [threading.Thread(target=loop, args=(work, number), daemon=True,
                                name=work.__name__)
               for number, work in enumerate(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, until + END - time.monotonic()))
    print(", ".join("%s %d+%d" % (what, *counts) for what, counts in sorted(tally.items())))
    print("all has ended %.1f s late" % (time.monotonic() - until))
    stuck = [thread.name for thread in threads if thread.is_alive()]
    if stuck:
        print("do not end:", *stuck)
        write("/proc/sysrq-trigger", "w")
    return not stuck


good = {"replies": replies, "rings": rings, "all": everything}[WHAT]()
sys.stdout.flush()
# Not by way of threads that do not end
os._exit(not good)
