#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""Walks faults of the reference device over the life of a managed device.

Called by 63-faults.sh, with the directory of the function. A life is made of system
calls alone: where no program is started, hundreds of them take no longer than they may.
"""
import base64
import ctypes
import errno
import fcntl
import glob
import mmap
import os
import socket
import struct
import sys
import time

FN = sys.argv[1]
PHASE = sys.argv[2]
TIMEOUT_MS = int(sys.argv[3])
# What a slow machine may take for anything, in seconds
LIMIT = 60
# How often each command is hit, by another kind of fault each time
TURNS = 2
DEBUGFS = "/sys/kernel/debug"

injected = 0
steps = 0
failures = 0


class Failed(Exception):
    pass


def check(cond, what):
    if not cond:
        raise Failed(what)


def soon(what, cond):
    """Wait until something is so, which it has to be in time."""
    end = time.monotonic() + LIMIT
    while not cond():
        check(time.monotonic() < end, f"not in time: {what}")
        time.sleep(0.02)


# --- files ------------------------------------------------------------------


def read(path):
    with open(path, "rb") as f:
        return f.read().decode(errors="replace")


def write(path, text):
    """One write(2). Return: 0 or the errno."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError as e:
        return e.errno
    try:
        os.write(fd, text.encode())
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)
    return 0


def name_of(err):
    return errno.errorcode.get(err, str(err)) if err else "success"


# --- the host ---------------------------------------------------------------


class Host:
    """As the program host, without starting it."""

    def __init__(self):
        self.lock = open("/run/host.lock", "w")
        self.fd = os.open("/dev/ttyS2", os.O_RDWR | os.O_NOCTTY)
        self.buf = b""

    def line(self):
        while b"\n" not in self.buf:
            self.buf += os.read(self.fd, 4096)
        line, self.buf = self.buf.split(b"\n", 1)
        return line.decode().split()

    def __call__(self, *args):
        words = ["req"] + [":" + base64.b64encode(a.encode()).decode() for a in args]
        out = ""
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            os.write(self.fd, (" ".join(words) + "\n").encode())
            while True:
                word = self.line()
                if word and word[0] in ("out", "err"):
                    out += base64.b64decode(word[1]).decode()
                elif word and word[0] == "rc":
                    check(word[1] == "0", f"host {' '.join(args)}: {out}")
                    return out
        finally:
            fcntl.flock(self.lock, fcntl.LOCK_UN)


host = Host()


def fault(words):
    """Tell the device. Return: what came of what it was told before."""
    out = host("device", "0", "ctl", *(["fault"] + words.split()))
    told = dict(w.split("=", 1) for w in out.split() if "=" in w)
    return int(told.get("seen", 0)), int(told.get("hits", 0)), told.get("last", "")


# --- what has to be as it was -----------------------------------------------


def commands():
    """The counts of the transport virtqueue and of the admin virtqueues."""
    counts = {}
    for line in read(glob.glob(f"{DEBUGFS}/virtio_tvq/tvq?/commands")[0]).splitlines():
        words = line.split()
        for word in words[1:]:
            key, value = word.split("=")
            counts[key] = counts.get(key, 0) + int(value)
    return counts


def dma_mappings():
    """Of our function, where the kernel keeps account of them."""
    path = f"{DEBUGFS}/dma-api/dump"
    if not os.path.exists(path):
        return 0
    return read(path).count(os.path.basename(FN))


def allocations():
    """What our code and the virtio core hold, where the kernel keeps account of that,
    which takes a while to read."""
    try:
        lines = read("/proc/allocinfo").splitlines()
    except FileNotFoundError:
        return 0
    return sum(int(line.split()[1]) for line in lines
               if "[virtio_tvq]" in line or " drivers/virtio/" in line)


def attribute(name):
    try:
        return read(f"{FN}/tvq/{name}").strip()
    except OSError as e:
        return name_of(e.errno)


def counts():
    now = {
        "devices": len(os.listdir("/sys/bus/virtio_tvq/devices")),
        "irqs": read("/proc/interrupts").count("tvq0-"),
        "irq numbers": len(os.listdir("/sys/kernel/irq")),
        "virtio devices": len(os.listdir("/sys/bus/virtio/devices")),
        "disks": len(os.listdir("/sys/block")),
        "interfaces": len(os.listdir("/sys/class/net")),
        "DMA mappings": dma_mappings(),
        "module references": read("/sys/module/virtio_tvq/refcnt").strip(),
    }
    for name in ("devices_used", "vqs_free", "vectors_free"):
        now[name] = attribute(name)
    for name in ("in_flight", "waiting", "quarantined", "broken"):
        now[name] = commands()[name]
    return now


def as_before():
    return counts() == BASE and allocations() == ALLOCATED


def is_broken():
    return commands()["broken"] > 0


# --- lives ------------------------------------------------------------------

BLOCK = 4096
buf = mmap.mmap(-1, BLOCK)


def io(path, fill):
    """Write a block past the cache, and read it back. Return: 0 or the errno."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    except OSError as e:
        return e.errno
    try:
        want = bytes([fill]) * BLOCK
        buf[:] = want
        os.pwrite(fd, buf, 0)
        buf[:] = bytes(BLOCK)
        os.preadv(fd, [buf], 0)
        check(buf[:] == want, "another block than was written")
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)
    return 0


class Life:
    """The name of the device is that of the kind of life."""

    def __init__(self):
        self.results = {}

    def did(self, what, err):
        self.results[what] = err
        return err

    def directory(self):
        return f"{FN}/tvq/by-name/{self.name}"

    def virtio(self):
        return next(iter(glob.glob(f"{self.directory()}/virtio[0-9]*")), None)

    def move_vectors(self):
        err = 0
        for cpu in "01":
            for irq in sorted(glob.glob(f"{self.directory()}/msi_irqs/*")):
                err |= write(f"/proc/irq/{os.path.basename(irq)}/smp_affinity_list", cpu)
            self.use(f"use on cpu {cpu}")
        self.did("move", err)

    def bind_again(self):
        virtio = self.virtio()
        if not virtio:
            return
        name = os.path.basename(virtio)
        self.did("unbind", write(f"/sys/bus/virtio/drivers/{self.driver}/unbind", name))
        self.did("bind", write(f"/sys/bus/virtio/drivers/{self.driver}/bind", name))

    def member(self):
        """What goes by admin commands."""
        for directory in glob.glob(f"{DEBUGFS}/virtio_tvq/tvq?-*"):
            self.did("stop", write(f"{directory}/mode", "stopped"))
            try:
                self.parts = read(f"{directory}/parts")
                self.did("parts", 0)
            except OSError as e:
                self.did("parts", e.errno)
            if self.did("go on", write(f"{directory}/mode", "running")):
                self.did("go on after all", write(f"{directory}/mode", "running"))
            # Whoever waits for one that is stopped, waits.
            if read(f"{directory}/mode").strip() == "running":
                self.use("use")

    def run(self, words):
        fault(words)
        if self.did("create", write(f"{FN}/tvq/create", self.create)):
            return self.results
        self.middle()
        self.did("destroy", write(f"{FN}/tvq/destroy", self.name))
        return self.results


class Disk(Life):
    name = "disk"
    driver = "virtio_blk"
    create = "type=blk name=disk vqs=2 capacity=1M"

    def use(self, what):
        disks = glob.glob(f"{self.directory()}/virtio[0-9]*/block/*")
        if disks:
            self.did(what, io(f"/dev/{os.path.basename(disks[0])}", len(self.results)))

    def middle(self):
        self.use("use")
        self.move_vectors()
        for cache in glob.glob(f"{self.directory()}/virtio[0-9]*/block/*/cache_type"):
            self.did("config", write(cache, "write through"))
        self.bind_again()
        self.use("use again")


class Bare(Disk):
    """A disk without a doorbell: it is told of requests by commands."""
    name = "bare"
    create = "type=blk name=bare vqs=1 capacity=1M"

    def run(self, words):
        # The flag is missing in what the device says of itself.
        fault("kind=corrupt command=CREATE offset=73 with=00")
        if self.did("create", write(f"{FN}/tvq/create", self.create)):
            return self.results
        fault(words)
        self.use("use")
        self.use("use once more")
        self.did("destroy", write(f"{FN}/tvq/destroy", self.name))
        return self.results


class Interface(Life):
    name = "net"
    driver = "virtio_net"
    create = "type=net name=net vqs=1"

    def netdev(self):
        found = glob.glob(f"{self.directory()}/virtio[0-9]*/net/*")
        return os.path.basename(found[0]) if found else None

    def use(self, what):
        """Take it up, or send something."""
        name = self.netdev()
        if not name:
            return
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            try:
                flags = struct.pack("16sh14x", name.encode(), 0x1)
                fcntl.ioctl(s, 0x8914, flags)		# SIOCSIFFLAGS: IFF_UP
                s.bind((name, 0))
                s.send(b"\xff" * 6 + bytes(54))
                self.did(what, 0)
            except OSError as e:
                self.did(what, e.errno)

    def resize_rings(self, size):
        name = self.netdev()
        if not name:
            return
        # ETHTOOL_SRINGPARAM
        ring = bytearray(struct.pack("9I", 0x11, 0, 0, 0, 0, size, 0, 0, size))
        address = (ctypes.c_char * len(ring)).from_buffer(ring)
        ifreq = struct.pack("16sP16x", name.encode(), ctypes.addressof(address))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                fcntl.ioctl(s, 0x8946, ifreq)		# SIOCETHTOOL
                self.did(f"rings {size}", 0)
            except OSError as e:
                self.did(f"rings {size}", e.errno)

    def middle(self):
        self.use("use")
        self.resize_rings(64)
        self.resize_rings(128)
        self.move_vectors()
        self.use("use again")


class Provisioned(Disk):
    """What admin commands do."""
    name = "member"
    create = "type=blk name=member vqs=1 capacity=1M"

    def middle(self):
        self.did("attribute", self.attribute())
        self.member()

    def attribute(self):
        try:
            read(f"{self.directory()}/vqs")
        except OSError as e:
            return e.errno
        return 0


# --- kinds of faults --------------------------------------------------------

# What the device may have meant, if its answer is noise.
ANY = {0, errno.EPROTO, errno.EREMOTEIO, errno.ENXIO, errno.EAGAIN, errno.ENOMEM, errno.EBUSY,
       errno.EEXIST, errno.EINVAL, errno.ENOSPC}

# What the device is told, and the errors that creation and destruction may end with
# when it is their command that is hit.
ANSWERS = {
    "refused": ("kind=fail status=16", {errno.EBUSY}),
    "refused and done": ("kind=fail status=16 effect=yes", {errno.EBUSY}),
    "refused without a reason": ("kind=fail status=none", {errno.EREMOTEIO}),
    "noise": ("kind=corrupt seed={k}", ANY),
    "flipped": ("kind=corrupt offset=4 xor=ffffffffffffffffffffffffffffffff", ANY),
    "empty": ("kind=length length=0", {errno.EPROTO}),
    "short": ("kind=length cut=1", {errno.EPROTO}),
    "long": ("kind=length over=1", {errno.EPROTO}),
}
SLOW = ("kind=delay ms=50 times=all", {0})
LATE = ("kind=delay ms={late}", {errno.ETIMEDOUT})
LOST = ("kind=drop", {errno.ETIMEDOUT})
# And the question whether the queue still works
DEAF = ("kind=drop times=2", {errno.ETIMEDOUT, errno.EIO})
TWICE = ("kind=duplicate", {0, errno.EIO, errno.ETIMEDOUT})


def reset_all(why):
    err = write(f"{FN}/tvq/reset", "1")
    check(not err, f"reset after {why}: {name_of(err)}")


def clean_up():
    """What the fault has left goes, from the one side or the other."""
    if not attribute("devices_used").isdigit():
        soon("the queue to be given up", is_broken)
    if is_broken() or commands()["quarantined"]:
        reset_all("a fault")
    if attribute("devices_used") != BASE["devices_used"]:
        for line in host("device", "0", "ctl", "list").splitlines():
            name = dict(w.split("=", 1) for w in line.split() if "=" in w)
            link = f"{FN}/tvq/by-name/{name['name']}"
            # Where the driver has it, too, it is the driver's turn each other time.
            if steps % 2 and os.path.exists(link):
                err = write(f"{FN}/tvq/destroy", name["id"])
                check(err in (0, errno.ENODEV), f"destroying what is left: {name_of(err)}")
            else:
                host("device", "0", "ctl", "remove", name["id"])


def step(cls, spec, k, command=None):
    """One life with one fault. Return: whether there was a command to be hit."""
    global injected, steps

    words, errors = spec
    what = words.format(k=k, late=TIMEOUT_MS + 700) + f" nth={k}"
    if command:
        what += f" command={command}"
    life = cls()
    # In a report one sees what came before it.
    with open("/dev/kmsg", "w") as f:
        f.write(f"faults: {life.name}: {what}\n")
    results = life.run(what)
    seen, hits, last = fault("off")
    if seen < k:
        check(all(e == 0 for e in results.values()), f"without a fault: {results}")
        return False
    story = f"{what} ({last}): " + ", ".join(f"{w}: {name_of(e)}" for w, e in results.items())
    if not spec[0].startswith("kind=corrupt"):
        check(hits >= 1, f"{story}: the device did not do it")
    injected += hits
    steps += 1
    try:
        broken = is_broken()
        for doing, name in (("create", "CREATE"), ("destroy", "DESTROY")):
            if hits and (last == name or (spec is DEAF and doing == "create")):
                check(results.get(doing, 0) in errors, f"{doing} gives {name_of(results.get(doing, 0))}")
            elif not broken:
                check(results.get(doing, 0) == 0, f"{doing} gives {name_of(results.get(doing, 0))}")
        if errors == {0}:
            check(not any(results.values()), "it was in time")
        if words.startswith(LATE[0]):
            soon("the late answer", lambda: not commands()["quarantined"])
        if spec is DEAF:
            soon("the queue to be given up", is_broken)
        clean_up()
        soon("all as before", as_before)
    except Failed as e:
        before = BASE | {"allocations": ALLOCATED}
        now = counts() | {"allocations": allocations()}
        other = {key: (before[key], now[key]) for key in before if now[key] != before[key]}
        raise Failed(f"{story}: {e}; before and now: {other}") from e
    return True


def one(cls, spec, k, command=None):
    """As step(); after a failure the others have their turn, as long as that makes sense."""
    global failures

    try:
        return step(cls, spec, k, command)
    except Failed as e:
        print(f"FAIL: {e}", file=sys.stderr, flush=True)
        failures += 1
    fault("off")
    reset_all("a failure")
    for line in host("device", "0", "ctl", "list").splitlines():
        host("device", "0", "ctl", "remove", line.split()[0][3:])
    soon("to be as before, after a failure", as_before)
    check(failures < 20, "that is enough")
    return True


def walk(cls, specs, turn):
    """One life for each command, with each kind of fault in turn."""
    k = 1
    while one(cls, specs[(k + turn) % len(specs)], k):
        k += 1


def sample(cls, specs, turn, names):
    """One life for each command of these names; there has to be one."""
    for i, name in enumerate(names):
        check(one(cls, specs[(i + turn) % len(specs)], 1, name), f"a {cls.name} without a {name}")


def of_admin(specs):
    return [(words + " queue=admin", errors) for words, errors in specs]


def answers():
    """What is wrong is the answer."""
    specs = list(ANSWERS.values())
    # What goes by admin commands always has a status.
    admin = of_admin([spec for spec in specs if "none" not in spec[0]])
    for cls in (Disk, Interface, Bare):
        check(one(cls, SLOW, 1), "no command")
    check(one(Provisioned, of_admin([SLOW])[0], 1), "no command")
    for turn in range(TURNS):
        walk(Disk, specs, turn)
        walk(Interface, specs, turn)
        walk(Provisioned, admin, turn)
        sample(Bare, specs, turn, ["VQ_NOTIFY"])


def deadlines():
    """What is wrong is when it comes, if at all, or how often."""
    specs = [LATE, LOST, TWICE]
    # Each of them costs a deadline, or more than one.
    sample(Disk, specs, 0, ["CREATE", "NEGOTIATE", "VQ_SETUP", "SET_STATUS", "MSI_SET",
                            "SET_CONFIG", "RESET", "GET_CONFIG", "DESTROY"])
    sample(Interface, specs, 0, ["VQ_RESET"])
    sample(Bare, specs, 1, ["VQ_NOTIFY"])
    sample(Provisioned, of_admin(specs), 0, ["MEMBER_GET", "DEV_MODE_SET"])
    check(one(Disk, DEAF, 1), "no command")


def leaks():
    path = f"{DEBUGFS}/kmemleak"
    if not os.path.exists(path) or write(path, "scan"):
        return ""
    return read(path)


def main():
    global BASE, ALLOCATED

    start = time.monotonic()
    # Once without a fault: what is made at the first use, and kept, is no leak.
    for cls in (Disk, Interface, Bare, Provisioned):
        results = cls().run("off")
        check(not any(results.values()), f"{cls.name}: {results}")
    fault("off")
    BASE = counts()
    ALLOCATED = allocations()
    {"answers": answers, "deadlines": deadlines}[PHASE]()
    found = leaks()
    check(not found, f"kmemleak: {found}")
    print(f"{PHASE}: {injected} faults in {steps} lives, {time.monotonic() - start:.0f} s")
    check(not failures, f"{failures} failures")


try:
    main()
except Failed as failure:
    print(f"FAIL: {failure}", file=sys.stderr)
    sys.exit(1)
