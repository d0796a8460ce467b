#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""For 64-hostile.sh: what is done with a device that lies. Any of it may fail, and all
of it has to end.

    hostile.py FUNCTION replies SEED COUNT  so many answers to commands that only ask
    hostile.py FUNCTION lives SEED COUNT    so many devices come, are used, and go
    hostile.py FUNCTION resets SEED COUNT   so many resets, of as many devices as there are
    hostile.py FUNCTION rings SEED COUNT    so often, a ring that can't be true, and a reset
    hostile.py FUNCTION all SEED SECONDS    everything at once, for so long

FUNCTION is its directory in sysfs. What is done is chosen by the seed. PACKED_NET and
PACKED_BLK in the environment are the features of devices with packed rings."""

import ctypes
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

FN, WHAT, SEED, AMOUNT = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
TVQ = FN + "/tvq/"
BUS = "/sys/bus/virtio_tvq/"
DEBUG = "/sys/kernel/debug/virtio_tvq/"
# Attributes whose every read is one command, to the transport and to admin virtqueues
LIMITS = [TVQ + name for name in ("devices_used", "vqs_free", "vectors_free", "devices_max")]
MEMBERS = ("features_possible", "vqs", "vectors", "mac", "mtu")
PACKED = ("net features=" + os.environ["PACKED_NET"],
          "blk capacity=4M features=" + os.environ["PACKED_BLK"])
KINDS = ("blk capacity=4M vqs=2", "blk capacity=4M", "net vqs=2", "net", "rng", "console",
         *PACKED, *PACKED)
# No more than these, of which some were found that nobody has asked for
DEVICES = 10
# Seconds: what a busy machine may take for the counts, and how long the last of it may
# take to end, with all the deadlines that it can meet
PATIENCE = 300
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
        os.write(fd, text if isinstance(text, bytes) else text.encode())
    finally:
        os.close(fd)


# --- devices ----------------------------------------------------------------

tally = {}
lock = threading.Lock()


def note(what, good):
    with lock:
        tally.setdefault(what, [0, 0])[0 if good else 1] += 1


def told():
    print(", ".join("%s %d+%d" % (what, *counts) for what, counts in sorted(tally.items())))


def attempt(what, work, *args):
    try:
        work(*args)
    except OSError:
        note(what, False)
        return False
    note(what, True)
    return True


# What is done to one device, whose directory this is. What its driver has made of it is
# found each time: it may be gone.


def move(path, rng):
    for number in range(rng.randrange(2), 6):
        for irq in glob.glob(path + "/msi_irqs/*"):
            attempt("affinity", write, "/proc/irq/%s/smp_affinity" % os.path.basename(irq),
                    "%x" % (1 << number % os.cpu_count()))


def rebind(path, rng):
    """In between, what is provisioned can be changed."""
    name = os.path.basename(path)
    attempt("unbind", write, BUS + "drivers/virtio_tvq/unbind", name)
    for key, value in (("mtu", "%d" % rng.randrange(1280, 1500)), ("vqs", "1"),
                       ("mac", "02:00:00:00:00:%02x" % rng.randrange(256))):
        if os.path.exists(path + "/" + key):
            attempt("provision", write, path + "/" + key, value)
    attempt("bind", write, BUS + "drivers/virtio_tvq/bind", name)


def parts(path, rng):
    """
    What the device says three times over is taken for the truth. If it is given a lie of its
    own, it takes that for its state: its queues are then where nobody has put them, or it
    has no driver, and the one that it has spins for an answer.
    """
    path = DEBUG + os.path.basename(path)
    if not os.path.exists(path):
        return
    if attempt("mode", write, path + "/mode", "stopped"):
        said = []
        for _ in range(rng.randrange(3, 12)):
            if attempt("parts", lambda: said.append(read(path + "/parts"))) and \
                    said.count(said[-1]) == 3:
                attempt("set parts", write, path + "/parts", said[-1])
                break
    # What was answered with an error may have been done.
    attempt("mode", write, path + "/mode", "running")


def disk_io(path, rng):
    room = mmap.mmap(-1, 65536)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_NONBLOCK)
    try:
        for _ in range(16):
            at = rng.randrange(64) * 4096
            if rng.randrange(2):
                attempt("read", os.preadv, fd, [room], at)
            else:
                attempt("write", os.pwritev, fd, [memoryview(room)[:4096]], at)
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


def ring_sizes(name, rng):
    """The queues are reset, and set up anew."""
    sizes = struct.pack("9I", 0x11, 0, 0, 0, 0, rng.choice((32, 64, 128, 256)), 0, 0,
                        rng.choice((32, 64, 128, 256)))     # ETHTOOL_SRINGPARAM
    room = ctypes.create_string_buffer(sizes)
    request = struct.pack("16sQ16x", name.encode(), ctypes.addressof(room))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8946, request)      # SIOCETHTOOL


def interface(path, rng):
    for net in glob.glob(path + "/virtio*/net/*"):
        name = os.path.basename(net)
        for _ in range(4):
            if not attempt("rings", ring_sizes, name, rng):
                break
        attempt("frames", frames, name, rng)


def disk(path, rng):
    for block in glob.glob(path + "/virtio*/block/*"):
        for _ in range(8):
            if not attempt("cache", write, block + "/cache_type",
                           rng.choice(("write back", "write through"))):
                break
        attempt("disk", disk_io, "/dev/" + os.path.basename(block), rng)


def sweep(rng):
    """Those that nobody has asked for, or that were not destroyed."""
    there = glob.glob(BUS + "devices/*/device_id")
    rng.shuffle(there)
    for path in there[:max(1, len(there) - DEVICES)] if len(there) >= DEVICES else ():
        try:
            one = read(path).decode().strip()
        except OSError:
            continue
        attempt("destroy", write, TVQ + "destroy", one)


def life(rng):
    name = "l%x" % rng.randrange(1 << 32)
    if attempt("create", write, TVQ + "create", "type=%s name=%s" % (rng.choice(KINDS), name)):
        path = os.path.realpath(TVQ + "by-name/" + name)
        interface(path, rng)
        disk(path, rng)
        for _ in range(rng.randrange(4)):
            rng.choice((move, rebind, parts, interface, disk))(path, rng)
        attempt("destroy", write, TVQ + "destroy", name)
    else:
        time.sleep(0.02)
    sweep(rng)


def crowd(works, over):
    """All of these at once, until it is over. Return: whether all has ended."""
    done = False
    ended = []

    def loop(work, number):
        rng = random.Random(SEED * 64 + number)
        while not done:
            work(rng)
        ended.append(number)

    threads = [threading.Thread(target=loop, args=(work, number), daemon=True,
                                name=work.__name__)
               for number, work in enumerate(works)]
    for thread in threads:
        thread.start()
    while not over():
        time.sleep(0.1)
    done = True
    until = time.monotonic()
    for thread in threads:
        thread.join(max(0, until + END - time.monotonic()))
    told()
    print("all has ended %.1f s late" % (time.monotonic() - until))
    stuck = [thread.name for thread in threads if thread.is_alive()]
    if stuck:
        print("do not end:", *stuck)
        write("/proc/sysrq-trigger", "w")
    return not stuck and len(ended) == len(works)


def lives():
    until = time.monotonic() + PATIENCE

    def came():
        return tally.get("create", [0])[0]

    ended = crowd((life, life), lambda: came() >= AMOUNT or time.monotonic() > until)
    return ended and came() >= AMOUNT


# --- questions --------------------------------------------------------------

# Nothing was answered then.
UNANSWERED = (errno.EIO, errno.ETIMEDOUT, errno.ENODEV, errno.ENOENT)


def move_interrupt(words, cpu):
    """Those of the function whose names in /proc/interrupts end with this."""
    with open("/proc/interrupts", encoding="ascii") as file:
        for line in file:
            if os.path.basename(FN) in line and line.rstrip().endswith(words):
                write("/proc/irq/%s/smp_affinity" % line.split(":")[0].strip(), "%x" % (1 << cpu))


def read_limits():
    return [os.open(path, os.O_RDONLY) for path in LIMITS]


def read_members():
    """Of the devices that there are now; a file stays with the one that it was of."""
    files = []
    for path in sorted(glob.glob(TVQ + "by-name/*"))[:4]:
        for name in MEMBERS:
            try:
                files.append(os.open(path + "/" + name, os.O_RDONLY))
            except OSError:
                pass
    return files


def read_on(cpu, opener, table, column):
    """Reads one after the other, and counts what was answered."""
    os.sched_setaffinity(0, [cpu])
    while not table[0]:
        files = opener()
        again = not files
        for _ in range(0 if again else 16):
            for fd in files:
                try:
                    os.pread(fd, 4096, 0)
                except OSError as error:
                    table[3] += 1
                    if error.errno in UNANSWERED:
                        again = True
                        continue
                table[column] += 1
            if again or table[0]:
                break
        for fd in files:
            os.close(fd)
        if again:
            time.sleep(0.01)


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
    for cpu, opener, column in ((cpus[0], read_limits, 1), (cpus[-1], read_members, 2)):
        pid = os.fork()
        if not pid:
            read_on(cpu, opener, table, column)
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


# --- resets -----------------------------------------------------------------


def resets():
    """With devices whose drivers are in it, as far as these can be had."""
    rng = random.Random(SEED)
    done = 0
    for number in range(AMOUNT):
        if len(os.listdir(BUS + "devices")) < 3:
            attempt("create", write, TVQ + "create", "type=%s name=r%d" % (rng.choice(KINDS), number))
        done += attempt("reset", write, TVQ + "reset", "1")
    told()
    return done > 0


# --- rings ------------------------------------------------------------------


def rings():
    """Only what is broken is reset."""
    late = time.monotonic() + PATIENCE
    found = 0
    while found < AMOUNT and time.monotonic() < late:
        for path in LIMITS[:1] + glob.glob(TVQ + "by-name/*/vqs"):
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


def limits(rng):
    attempt("limits", read, rng.choice(LIMITS))


def members(rng):
    for path in glob.glob(TVQ + "by-name/*"):
        for name in MEMBERS + ("features",):
            attempt("members", read, path + "/" + name)
    time.sleep(0.01)


def others(work):
    """As above, to any device."""
    def any_device(rng):
        for path in glob.glob(TVQ + "by-name/*"):
            work(os.path.realpath(path), rng)
        time.sleep(0.01)

    any_device.__name__ = work.__name__
    return any_device


def reset(rng):
    time.sleep(1 + rng.random())
    attempt("reset", write, TVQ + "reset", "1")


def everything():
    until = time.monotonic() + AMOUNT
    return crowd((limits, members, life, life, others(parts), others(move), others(disk),
                  others(interface), reset), lambda: time.monotonic() > until)


good = {"replies": replies, "lives": lives, "resets": resets, "rings": rings,
        "all": everything}[WHAT]()
sys.stdout.flush()
# Not by way of threads that do not end
os._exit(not good)
