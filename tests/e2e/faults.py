#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""Walks faults of the reference device over the life of a managed device.

Called by 63-faults.sh, with the directory of the function. A life is made of system
calls alone: where no program is started, hundreds of them take no longer than they may.

A walk first lives each kind of life with every answer a little late, and learns from the
device's log which commands it takes. Then it lives once for each command that is to go
wrong: "all" of them, in each way that there is; or "some", which is each of them in one
way, and each name of a command in each kind of way.
"""
import base64
import ctypes
import errno
import fcntl
import mmap
import os
import re
import socket
import struct
import sys
import threading
import time

FN = sys.argv[1]
PHASE = sys.argv[2]
TIMEOUT_MS = int(sys.argv[3])
ALL = sys.argv[4] == "all"
# What a slow machine may take for anything, in seconds
LIMIT = 60
DEBUGFS = "/sys/kernel/debug"

injected = 0
steps = 0
by_hand = 0
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


def within(what, do):
    """What may hang, in a thread of its own."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(LIMIT)
    check(not thread.is_alive(), f"hangs: {what}")


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


def listed(directory, pattern=""):
    """What is in a directory, if it is there; glob() looks at each on the way to it."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(name for name in names if re.fullmatch(pattern or ".*", name))


def made(name, what):
    """Return: the block devices, or the interfaces, that the driver of a managed device
    has made, as directories."""
    device = f"{FN}/tvq/by-name/{name}"
    return [f"{device}/{virtio}/{what}/{node}" for virtio in listed(device, r"virtio\d+")
            for node in listed(f"{device}/{virtio}/{what}")]


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
    counts = dict.fromkeys(("in_flight", "waiting", "quarantined", "broken"), 0)
    # There is none where the driver is not bound.
    text = "".join(read(f"{DEBUGFS}/virtio_tvq/{name}/commands")
                   for name in listed(f"{DEBUGFS}/virtio_tvq", r"tvq\d+"))
    for line in text.splitlines():
        words = line.split()
        for word in words[1:]:
            key, value = word.split("=")
            if key in counts:
                counts[key] += int(value)
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
    """What is cheap to look at."""
    now = {
        "devices": len(os.listdir("/sys/bus/virtio_tvq/devices")),
        "irqs": read("/proc/interrupts").count("tvq0-"),
        "irq numbers": len(os.listdir("/sys/kernel/irq")),
        "virtio devices": len(os.listdir("/sys/bus/virtio/devices")),
        "disks": len(os.listdir("/sys/block")),
        "interfaces": len(os.listdir("/sys/class/net")),
        "module references": read("/sys/module/virtio_tvq/refcnt").strip(),
    }
    for name in ("devices_used", "vqs_free", "vectors_free"):
        now[name] = attribute(name)
    return now | commands()


def holdings():
    """And what is not."""
    return {"DMA mappings": dma_mappings(), "allocations": allocations()}


def as_before():
    return counts() == BASE and holdings() == HELD


def is_broken():
    return commands()["broken"] > 0


# --- lives ------------------------------------------------------------------

BLOCK = 4096


def io(path, fill):
    """Write a block past the cache, and read it back. Return: 0 or the errno."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    except OSError as e:
        return e.errno
    try:
        buf = mmap.mmap(-1, BLOCK)
        want = bytes([fill % 256]) * BLOCK
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
    # Commands on the admin virtqueues are counted for themselves.
    has_admin = False
    # So many LISTs come of themselves, behind what is done.
    lists = 0

    def __init__(self):
        self.results = {}

    def did(self, what, err):
        self.results[what] = err
        return err

    def directory(self):
        return f"{FN}/tvq/by-name/{self.name}"

    def virtio(self):
        return next(iter(listed(self.directory(), r"virtio\d+")), None)

    def move_vectors(self):
        err = 0
        for cpu in "01":
            for irq in listed(f"{self.directory()}/msi_irqs"):
                err |= write(f"/proc/irq/{irq}/smp_affinity_list", cpu)
            self.use(f"use on cpu {cpu}")
        self.did("move", err)

    def bind_again(self):
        name = self.virtio()
        if not name:
            return
        self.did("unbind", write(f"/sys/bus/virtio/drivers/{self.driver}/unbind", name))
        self.did("bind", write(f"/sys/bus/virtio/drivers/{self.driver}/bind", name))

    def member(self):
        """What goes by admin commands."""
        for name in listed(f"{DEBUGFS}/virtio_tvq", r"tvq\d+-\d+"):
            directory = f"{DEBUGFS}/virtio_tvq/{name}"
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
        disks = made(self.name, "block")
        if disks:
            self.did(what, io(f"/dev/{os.path.basename(disks[0])}", len(self.results)))

    def middle(self):
        self.use("use")
        self.move_vectors()
        for disk in made(self.name, "block"):
            self.did("config", write(f"{disk}/cache_type", "write through"))
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
        found = made(self.name, "net")
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
    has_admin = True
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


class Found(Life):
    """Devices that are there already: a driver lets go of the function and finds them."""
    name = "found"
    has_admin = True
    members = ("disk", "net")

    def begin(self):
        for life in (Disk, Interface):
            err = write(f"{FN}/tvq/create", life.create)
            check(not err, f"{life.name}: {name_of(err)}")

    def end(self):
        for name in self.members:
            err = write(f"{FN}/tvq/destroy", name)
            check(not err, f"{name}: {name_of(err)}")

    def is_there(self):
        """Where a virtio driver's probe has failed, a reset does not bind it again: it may
        have been unbound by hand, and so it is bound by hand."""
        global by_hand

        for name, driver in zip(self.members, ("virtio_blk", "virtio_net")):
            device = f"{FN}/tvq/by-name/{name}"
            for virtio in listed(device, r"virtio\d+"):
                if not os.path.exists(f"{device}/{virtio}/driver"):
                    by_hand += not write(f"/sys/bus/virtio/drivers/{driver}/bind", virtio)
        return all(made(*each) for each in zip(self.members, ("block", "net")))

    def use(self):
        for life in (Disk(), Interface()):
            within(life.name, lambda life=life: life.use("use"))
            self.results[f"use {life.name}"] = life.results.get("use", errno.ENODEV)

    def works(self):
        if not self.is_there():
            return False
        self.results = {}
        self.use()
        return not any(self.results.values())

    def drive(self, what):
        return write(f"/sys/bus/pci/drivers/virtio_tvq/{what}", os.path.basename(FN))

    def run(self, words):
        fault(words)
        self.did("unbind", self.drive("unbind"))
        self.did("bind", self.drive("bind"))
        self.use()
        return self.results

    def recover(self, hit):
        """Another attempt, or a reset, brings all back."""
        if not os.path.exists(f"{FN}/tvq/reset"):
            err = self.drive("bind")
            check(not err, f"bound again: {name_of(err)}")
        elif hit:
            reset_all("a fault")
        # What is there may be what was before, and on its way out.
        soon("the devices to work", self.works)
        for what, text in (("create", "type=rng name=next"), ("destroy", "next")):
            err = write(f"{FN}/tvq/{what}", text)
            check(not err, f"{what} of the next device: {name_of(err)}")


class Reset(Found):
    """A reset of the function, while its devices are in use."""
    name = "reset"
    lists = 2

    def writer(self):
        while not self.stop:
            disks = made("disk", "block")
            if disks:
                io(f"/dev/{os.path.basename(disks[0])}", self.rounds)
            self.rounds += 1
            time.sleep(0.05)

    def run(self, words):
        self.stop = False
        self.rounds = 0
        thread = threading.Thread(target=self.writer, daemon=True)
        thread.start()
        soon("I/O", lambda: self.rounds)
        fault(words)
        self.did("reset", write(f"{FN}/tvq/reset", "1"))
        # It ends, well or not.
        last = self.rounds + 1
        soon("I/O behind a reset", lambda: self.rounds > last)
        self.stop = True
        thread.join(LIMIT)
        # Interfaces come back a moment later: see recover().
        return self.results


# --- kinds of faults --------------------------------------------------------

# What the device may have meant, if its answer is noise.
ANY = {0, errno.EPROTO, errno.EREMOTEIO, errno.ENXIO, errno.EAGAIN, errno.ENOMEM, errno.EBUSY,
       errno.EEXIST, errno.EINVAL, errno.ENOSPC, errno.ENODEV}

# For each kind the ways, as the device is told, and the errors that creation and
# destruction may end with when it is their command that is hit.
KINDS = {
    "fail": [("kind=fail status=16", {errno.EBUSY}),
             ("kind=fail status=16 effect=yes", {errno.EBUSY}),
             ("kind=fail status=none", {errno.EREMOTEIO})],
    "late": [("kind=delay ms={late}", {errno.ETIMEDOUT})],
    "lost": [("kind=drop", {errno.ETIMEDOUT})],
    "twice": [("kind=duplicate", {0, errno.EIO, errno.ETIMEDOUT})],
    "bytes": [("kind=corrupt seed={k}", ANY)],		# and each field
    "length": [("kind=length length=0", {errno.EPROTO}),
               ("kind=length length=1", {errno.EPROTO}),
               ("kind=length cut=1", {errno.EPROTO}),
               ("kind=length over=1", {errno.EPROTO}),
               ("kind=length length=0xffffffff", {errno.EPROTO})],
}
SLOW = ("kind=delay ms=20 times=all", {0})
# And the question whether the queue still works
DEAF = ("kind=drop times=2", {errno.ETIMEDOUT, errno.EIO})

# The fields of an answer behind the ack, as lengths; those behind the last are not hit.
INFO = [8, 4, 4, 8, 8, 32, 2, 2, 1, 1, 2, 8, 4, 4, 8, 2]
CONFIG = [4, 4, 1, 7, 1]
STATUS = [1, 3]
FIELDS = {
    "LIMITS": [4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 4, 4, 8, 8],
    "LIST": [8, 4, 4, 8, 4, 4],
    "CREATE": INFO,
    "DESCRIBE": INFO,
    "NEGOTIATE": STATUS,
    "SET_STATUS": STATUS,
    "GET_STATUS": STATUS,
    "RESET": STATUS,
    "GET_CONFIG": CONFIG,
    "SET_CONFIG": CONFIG,
}
# Of an admin command, behind status, qualifier and what is reserved
ADMIN_FIELDS = {
    "LIST_QUERY": [8, 8],
    "MEMBER_GET": [4, 4, 8],
    "DEV_PARTS_METADATA_GET": [4, 4],
    "DEV_PARTS_GET": [4, 4, 2, 1, 5, 4, 4],
}


def ways(kind, name, admin):
    """All the ways in which a command of this name goes wrong, in this kind."""
    specs = list(KINDS[kind])
    if kind == "bytes":
        fields = [2, 2, 4] + ADMIN_FIELDS.get(name, []) if admin else [4] + FIELDS.get(name, [])
        offset = 0
        for length in fields:
            specs.append((f"kind=corrupt offset={offset} xor={'ff' * length}", ANY))
            offset += length
    if admin:
        # What goes by admin commands always has a status.
        specs = [(f"{words} queue=admin", errors) for words, errors in specs
                 if "none" not in words]
    return specs


def reset_all(why):
    err = write(f"{FN}/tvq/reset", "1")
    check(not err, f"reset after {why}: {name_of(err)}")


def others():
    """What the other side has: id and name of each."""
    lines = host("device", "0", "ctl", "list").splitlines()
    told = [dict(w.split("=", 1) for w in line.split() if "=" in w) for line in lines]
    return [(words["id"], words["name"]) for words in told]


def all_found():
    return all(os.path.exists(f"{FN}/tvq/by-name/{name}") for _, name in others())


def clean_up(created):
    """What the fault has left goes, from the one side or the other; created is what
    creation gave."""
    if not attribute("devices_used").isdigit():
        soon("the queue to be given up", is_broken)
    if is_broken() or commands()["quarantined"]:
        reset_all("a fault")
        created = errno.EPROTO
    # It is being found. If it were removed on the other side meanwhile, its driver's probe
    # would wait for ever, and who finds devices with it.
    if created in (errno.EPROTO, errno.ETIMEDOUT):
        soon("all to be found", all_found)
    if attribute("devices_used") != BASE["devices_used"]:
        for number, name in others():
            # Where the driver has it, too, it is the driver's turn each other time.
            if steps % 2 and os.path.exists(f"{FN}/tvq/by-name/{name}"):
                err = write(f"{FN}/tvq/destroy", number)
                check(err in (0, errno.ENODEV), f"destroying what is left: {name_of(err)}")
            else:
                host("device", "0", "ctl", "remove", number)


def live(cls, words):
    """Return: the life, and the commands that the device has counted in it."""
    life = cls()
    # In a report one sees what came before it.
    with open("/dev/kmsg", "w") as f:
        f.write(f"faults: {life.name}: {words}\n")
    life.run(words)
    return life


def learn(cls, queue):
    """A life in which each answer is a little late. Return: the names of its commands."""
    words, _ = SLOW

    def names():
        seen = fault("show")[0]
        # The log is the end of what there is.
        lines = [line.split(", ")[-1] for line in host("device", "0", "log").splitlines()
                 if "fault: delay, " in line]
        check(len(lines) >= seen, f"{seen} commands, {len(lines)} in the log")
        return lines[-seen:] if seen else []

    life = live(cls, words + queue)
    if not queue:
        soon("the lists behind it", lambda: names().count("LIST") >= life.lists)
    found = names()
    fault("off")
    check(found, f"{life.name}: no command")
    check(not any(life.results.values()), f"{life.name}, slow: {life.results}")
    if isinstance(life, Found):
        life.recover(False)
    soon("all as before", as_before)
    return found


def step(cls, spec, k, name, kind):
    """One life with one fault, of the k-th command of this name. Return: whether the device
    has done it."""
    global injected, steps

    words, errors = spec
    what = words.format(k=k, late=TIMEOUT_MS + 700) + f" nth={k}"
    # That one is for whatever comes behind it.
    if spec is not DEAF:
        what += f" command={name}"
    life = live(cls, what)
    results = life.results
    if life.lists and "queue=admin" not in words:
        # Interrupts decide how often vectors are set.
        soon("the command", lambda: fault("show")[0] >= k or
             name == "MSI_SET" and life.works())
    seen, hits, last = fault("off")
    story = f"{what} ({last}): " + ", ".join(f"{w}: {name_of(e)}" for w, e in results.items())
    injected += hits
    steps += 1
    try:
        if not hits:
            check(not any(results.values()), "without a fault")
        broken = is_broken()
        for doing, name in (("create", "CREATE"), ("destroy", "DESTROY")):
            if doing not in results:
                continue
            err = results[doing]
            if hits and (last == name or spec is DEAF or (last == "CREATE" and errors is ANY)):
                check(err in errors, f"{doing} gives {name_of(err)}")
            elif not broken:
                check(err == 0, f"{doing} gives {name_of(err)}")
        if kind == "late":
            soon("the late answer", lambda: not commands()["quarantined"])
        if spec is DEAF:
            soon("the queue to be given up", is_broken)
        if isinstance(life, Found):
            life.recover(hits > 0)
        else:
            clean_up(results.get("create", 0))
        soon("all as before", as_before)
    except Failed as e:
        before = BASE | HELD
        now = counts() | holdings()
        other = {key: (before[key], now[key]) for key in before if now[key] != before[key]}
        raise Failed(f"{story}: {e}; before and now: {other}") from e
    if hits:
        times[last, kind] = times.get((last, kind), 0) + 1
    return hits > 0


def one(cls, spec, k, name, kind):
    """As step(); after a failure the others have their turn, as long as that makes sense."""
    global failures

    try:
        return step(cls, spec, k, name, kind)
    except Failed as e:
        print(f"FAIL: {cls.name}: {e}", file=sys.stderr, flush=True)
        failures += 1
    fault("off")
    if not os.path.exists(f"{FN}/tvq/reset"):
        cls().drive("bind")
    reset_all("a failure")
    if issubclass(cls, Found):
        soon("to work, after a failure", cls().works)
    else:
        soon("all to be found", all_found)
        for number, _ in others():
            host("device", "0", "ctl", "remove", number)
    soon("to be as before, after a failure", as_before)
    check(failures < 20, "that is enough")
    return True


# How often a command of this name was hit by this kind
times = {}


def in_order(names):
    """Each command as its name and which of that name it is, from 1 on."""
    for i, name in enumerate(names):
        yield name, names[:i + 1].count(name)


def walk_all(cls, queue, names, kinds):
    """Each command, each kind, each way."""
    missed = 0
    for name, k in in_order(names):
        for kind in kinds:
            for spec in ways(kind, name, queue != ""):
                # A field may be behind the end of this answer.
                if not one(cls, spec, k, name, kind) and kind != "bytes":
                    missed += 1
    # See step().
    may_miss = names.count("MSI_SET") * sum(len(ways(kind, "MSI_SET", False)) for kind in kinds)
    check(missed <= may_miss, f"{cls.name}: {missed} faults were not injected")


# Which way is next, for a name and a kind
turns = {}


def hit(cls, queue, k, name, kind):
    """One command in the way whose turn it is."""
    global failures

    specs = ways(kind, name, queue != "")
    turn = turns[name, kind] = turns.get((name, kind), -1) + 1
    done = one(cls, specs[turn % len(specs)], k, name, kind)
    # A field may be behind the end of this answer; and see step().
    if not done and kind != "bytes" and name != "MSI_SET":
        print(f"FAIL: {cls.name}: {name} {k} does not come: {kind}", file=sys.stderr)
        failures += 1


def walk_some(walks, kinds):
    """Each command once, by the kind that its name has had least; then what is missing."""
    # Each that is late or lost costs a deadline: these are for each name alone.
    if "lost" not in kinds:
        for cls, queue, names in walks:
            for name, k in in_order(names):
                hit(cls, queue, k, name, min(kinds, key=lambda x: times.get((name, x), 0)))
    for cls, queue, names in walks:
        for kind in kinds:
            for name, k in in_order(names):
                if not times.get((name, kind)):
                    hit(cls, queue, k, name, kind)


def table(walks, kinds):
    """Return: the names that were not hit by all kinds."""
    missing = []
    print(f"{'':24}" + "".join(f"{kind:>8}" for kind in kinds))
    for name in sorted({name for _, _, names in walks for name in names}):
        row = [times.get((name, kind), 0) for kind in kinds]
        print(f"{name:24}" + "".join(f"{n:8}" for n in row))
        if 0 in row:
            missing.append(name)
    return missing


def leaks():
    path = f"{DEBUGFS}/kmemleak"
    if not os.path.exists(path) or write(path, "scan"):
        return ""
    return read(path)


# What is wrong is the answer; or when it comes, if at all.
PHASES = {
    "answers": ("fail", "twice", "bytes", "length"),
    "deadlines": ("late", "lost"),
}


def walk_group(classes, kinds):
    """Return: what was walked."""
    global BASE, HELD

    # Once without a fault: what is made at the first use, and kept, is no leak.
    for cls in classes:
        results = live(cls, "off").results
        check(not any(results.values()), f"{cls.name}: {results}")
        if cls.lists:
            cls().recover(False)
    fault("off")
    BASE = counts()
    HELD = holdings()
    walks = [(cls, queue, learn(cls, queue)) for cls in classes
             for queue in ["", " queue=admin"][:1 + cls.has_admin]]
    for cls, queue, names in walks:
        print(f"{cls.name}{queue}: {len(names)} commands: {' '.join(names)}", flush=True)
    if ALL:
        for cls, queue, names in walks:
            walk_all(cls, queue, names, kinds)
    else:
        walk_some(walks, kinds)
    if "lost" in kinds and Disk in classes:
        check(one(Disk, DEAF, 1, "CREATE", "lost"), "no command")
    return walks


def main():
    start = time.monotonic()
    kinds = PHASES[PHASE]
    walks = walk_group((Disk, Interface, Bare, Provisioned), kinds)
    Found().begin()
    walks += walk_group((Found, Reset), kinds)
    Found().end()
    missing = table(walks, kinds)
    found = leaks()
    check(not found, f"kmemleak: {found}")
    print(f"{PHASE}: {injected} faults in {steps} lives, {time.monotonic() - start:.0f} s; "
          f"{by_hand} drivers bound by hand")
    check(not missing, f"not by each kind: {missing}")
    check(not failures, f"{failures} failures")


try:
    main()
except Failed as failure:
    print(f"FAIL: {failure}", file=sys.stderr)
    sys.exit(1)
