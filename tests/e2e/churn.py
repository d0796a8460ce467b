#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""churn.py SECONDS SEED FUNCTION...: what 74-churn.sh does for SECONDS, and until
everything was done often enough to mean something.

Eight processes create and destroy managed devices of FUNCTIONs (their directories in
sysfs) under few names, while others read all attributes, move interrupts, bind and
unbind drivers, take CPUs away and bring them back, do I/O, and add and remove
devices from the other side. Each draws from a generator of its own that
begins with SEED. At the end all that was made is destroyed.

Whoever loses a race gets an errno; one that the interface does not allow for is a
failure."""

import errno
import fcntl
import glob
import json
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import time
import traceback

WRITERS = 8
NAMES = [f"churn{n}" for n in range(10)]
BUS = "/sys/bus/virtio_tvq"
TYPES = [
    "type=blk capacity=4M",
    "type=blk capacity=4M vqs=3 vectors=3",
    "type=net",
    "type=net vqs=2",
    "type=rng",
]
SECTION = 64 << 10      # of a disk, for one process that does I/O

# What has to have happened, or the run shows nothing.
LEAST = {
    "created": 15, "destroyed": 15, "files read": 150, "interrupts moved": 15,
    "drivers unbound": 2, "drivers bound": 1, "personalities rebound": 1,
    "CPUs taken away": 2, "blocks verified": 10, "frames sent": 10,
    "added by the other side": 1,
}

COLUMN = {what: n for n, what in enumerate(LEAST)}

# The errors of a device or CPU that was there a moment ago, or is taken just now.
GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO}


class Actor:
    """One process: draws from its own generator, counts in its own row of a table
    that all can read, and says at its end what was refused and what went wrong."""

    def __init__(self, churn, number):
        self.churn = churn
        self.functions = churn.functions
        self.number = number
        self.refused = {}
        self.errors = []

    def count(self, what):
        self.churn.table[self.number * len(LEAST) + COLUMN[what]] += 1

    def stopped(self):
        return self.churn.table[-1]

    def pause(self, seconds):
        end = time.monotonic() + seconds
        while not self.stopped() and time.monotonic() < end:
            time.sleep(0.05)

    def fail(self, text):
        self.errors.append(text)
        self.churn.table[-1] = 1

    def write(self, path, text, allowed, what=None):
        """One write(2); whether it succeeded. Any error not in allowed ends the
        run."""
        try:
            fd = os.open(path, os.O_WRONLY)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
        except OSError as e:
            name = errno.errorcode.get(e.errno, e.errno)
            if e.errno not in allowed:
                self.fail(f"{text!r} to {path}: {name}")
            else:
                key = f"{os.path.basename(path)} {name}"
                self.refused[key] = self.refused.get(key, 0) + 1
            return False
        if what:
            self.count(what)
        return True

    # --- the parts; each is called again and again -------------------------

    def create_or_destroy(self, rng):
        fn = rng.choice(self.functions)
        name = rng.choice(NAMES)
        if rng.random() < 0.55:
            self.write(f"{fn}/tvq/create", f"{rng.choice(TYPES)} name={name}",
                       {errno.EEXIST, errno.ENOSPC}, "created")
            return
        if rng.random() < 0.3:
            try:
                with open(f"{fn}/tvq/by-name/{name}/device_id") as f:
                    name = f.read()
            except OSError:
                return
        self.write(f"{fn}/tvq/destroy", name, {errno.ENODEV}, "destroyed")

    def read(self, rng):
        roots = [f"{fn}/tvq" for fn in self.functions]
        roots += [os.path.realpath(d) for d in glob.glob(f"{BUS}/devices/*")]
        roots += ["/sys/kernel/debug/virtio_tvq", "/sys/kernel/debug/irq"]
        root = rng.choice(roots)
        for where, _, files in os.walk(root):
            for name in files:
                if self.stopped():
                    return
                self.read_file(os.path.join(where, name))
        self.read_file("/proc/interrupts")

    def read_file(self, path):
        try:
            if not os.lstat(path).st_mode & 0o444:
                return
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                os.read(fd, 1 << 16)
            finally:
                os.close(fd)
        except OSError:
            return              # gone, or of no use to anybody now
        self.count("files read")

    def move_interrupt(self, rng):
        with open("/proc/interrupts") as f:
            irqs = [line.split(":")[0].strip() for line in f if "tvq" in line]
        # Faster than anybody balances interrupts, each several times.
        for irq in rng.sample(irqs, min(len(irqs), 4)):
            for _ in range(3):
                # EINVAL: that CPU is away just now. EBUSY: the last move is not
                # through. EIO, EPERM: an interrupt that is being freed.
                self.write(f"/proc/irq/{irq}/smp_affinity_list",
                           str(rng.randrange(os.sysconf("SC_NPROCESSORS_CONF"))),
                           GONE | {errno.EINVAL, errno.EBUSY, errno.EIO,
                                   errno.EPERM},
                           "interrupts moved")

    def rebind(self, rng):
        away = GONE | {errno.EBUSY}
        if rng.random() < 0.3:
            devices = glob.glob(f"{BUS}/devices/*")
            driver = f"{BUS}/drivers/virtio_tvq"
            if not devices:
                return
            name = os.path.basename(rng.choice(devices))
            if (self.write(f"{driver}/unbind", name, away) and
                    self.write(f"{driver}/bind", name, away)):
                self.count("personalities rebound")
            return
        devices = glob.glob(f"{BUS}/devices/*/virtio[0-9]*/driver")
        if not devices:
            return
        path = rng.choice(devices)
        name = path.split("/")[-2]
        try:
            driver = os.path.realpath(path, strict=True)
        except OSError:
            return
        if self.write(f"{driver}/unbind", name, away, "drivers unbound"):
            self.write(f"{driver}/bind", name, away, "drivers bound")

    def hotplug(self, rng):
        # The first CPU stays.
        cpu = rng.randrange(1, os.sysconf("SC_NPROCESSORS_CONF"))
        path = f"/sys/devices/system/cpu/cpu{cpu}/online"
        if self.write(path, "0", {errno.EBUSY}, "CPUs taken away"):
            self.pause(rng.random())
            self.write(path, "1", set())
        self.pause(rng.random())

    def use_disk(self, rng, section):
        disks = glob.glob(f"{BUS}/devices/*/virtio[0-9]*/block/*")
        if not disks:
            return
        disk = "/dev/" + os.path.basename(rng.choice(disks))
        try:
            fd = os.open(disk, os.O_RDWR | os.O_DIRECT)
        except OSError as e:
            if e.errno not in GONE | {errno.EIO}:
                self.fail(f"{disk}: {e}")
            return
        # ENOSPC: the disk has shrunk to nothing, as one that goes does.
        gone = GONE | {errno.EIO, errno.ENOSPC}
        # Pages of an anonymous mapping are aligned, as O_DIRECT wants it.
        data, back = mmap.mmap(-1, 4096), mmap.mmap(-1, 4096)
        try:
            for _ in range(rng.randrange(1, 30)):
                data[:] = rng.randbytes(4096)
                at = section * SECTION + 4096 * rng.randrange(SECTION >> 12)
                if (os.pwritev(fd, [data], at) != 4096 or
                        os.preadv(fd, [back], at) != 4096):
                    return
                if data[:] != back[:]:
                    self.fail(f"{disk} at {at}: not what was written")
                self.count("blocks verified")
        except OSError as e:
            if e.errno not in gone:
                self.fail(f"{disk}: {e}")
        finally:
            os.close(fd)

    def use_interface(self, rng):
        nets = glob.glob(f"{BUS}/devices/*/virtio[0-9]*/net/*")
        if not nets:
            return
        name = os.path.basename(rng.choice(nets))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            try:
                request = struct.pack("16sh", name.encode(), 0x41)   # UP, RUNNING
                fcntl.ioctl(sock, 0x8914, request)                   # SIOCSIFFLAGS
                sock.bind((name, 0))
                sock.setblocking(False)
                for _ in range(rng.randrange(1, 30)):
                    sock.send(b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5" +
                              bytes(rng.randrange(46, 1400)))
                    self.count("frames sent")
            except OSError as e:
                if e.errno not in GONE | {errno.ENETDOWN, errno.ENOBUFS,
                                          errno.EAGAIN, errno.EBUSY}:
                    self.fail(f"{name}: {e}")

    def use(self, rng, section):
        if rng.random() < 0.6:
            self.use_disk(rng, section)
        else:
            self.use_interface(rng)

    def other_side(self, rng):
        """No disks: see 73-races.sh."""
        n = str(rng.randrange(len(self.functions)))
        subprocess.run(["host", "device", n, "ctl", "add", "type=net", "name=theirs"],
                       check=True, stdout=subprocess.DEVNULL)
        self.count("added by the other side")
        self.pause(rng.random())
        # No writer knows that name.
        subprocess.run(["host", "device", n, "ctl", "remove", "theirs"],
                       check=True, stdout=subprocess.DEVNULL)

    # --- all of it ----------------------------------------------------------

    def run(self, part, *args):
        """The life of the process."""
        rng = random.Random(f"{self.churn.seed}/{self.number}")
        try:
            while not self.stopped():
                part(self, rng, *args)
        except Exception:
            self.fail(f"{part.__name__}: {traceback.format_exc()}")


class Churn:
    PARTS = [(Actor.create_or_destroy,)] * WRITERS + [
        (Actor.read,), (Actor.read,), (Actor.move_interrupt,), (Actor.rebind,),
        (Actor.rebind,), (Actor.hotplug,), (Actor.use, 0), (Actor.use, 1), (Actor.other_side,)]

    def __init__(self, seconds, seed, functions):
        self.seconds = seconds
        self.seed = seed
        self.functions = functions
        # A row of counts for each process, and whether to stop.
        size = (len(self.PARTS) * len(LEAST) + 1) * 8
        self.table = memoryview(mmap.mmap(-1, size)).cast("Q")

    def counts(self):
        return {what: sum(self.table[COLUMN[what]:-1:len(LEAST)]) for what in LEAST}

    def start(self, number):
        """Returns what the process will say at its end, as a file."""
        there, here = os.pipe()
        if os.fork() == 0:
            actor = Actor(self, number)
            actor.run(*self.PARTS[number])
            with open(here, "w") as f:
                json.dump([actor.refused, actor.errors], f)
            os._exit(0)
        os.close(here)
        return open(there)

    def main(self):
        start = time.monotonic()
        ends = [self.start(number) for number in range(len(self.PARTS))]
        # Until the limit of the test, where something never happens.
        told = None
        while not self.table[-1]:
            time.sleep(1)
            if time.monotonic() - start < self.seconds:
                continue
            lacks = [what for what, n in self.counts().items() if n < LEAST[what]]
            if not lacks:
                self.table[-1] = 1
            elif lacks != told:
                print("too few yet: " + ", ".join(lacks), flush=True)
                told = lacks
        refused, errors = {}, []
        for number, end in enumerate(ends):
            said = end.read()
            if not said:
                errors.append(f"process {number} has died")
                continue
            one, more = json.loads(said)
            errors += more
            for what, n in one.items():
                refused[what] = refused.get(what, 0) + n
        last = Actor(self, 0)
        for fn in self.functions:
            for name in os.listdir(f"{fn}/tvq/by-name"):
                # What the other side has removed may be on its way out.
                last.write(f"{fn}/tvq/destroy", name,
                           {errno.ENODEV} if name == "theirs" else set())
        print(f"{time.monotonic() - start:.0f} s, seed {self.seed}: " +
              ", ".join(f"{n} {what}" for what, n in self.counts().items()))
        print("refused: " + ", ".join(f"{n} {what}" for what, n in
                                      sorted(refused.items())))
        for error in errors + last.errors:
            print(f"FAIL: {error}")
        return 1 if errors + last.errors else 0


if __name__ == "__main__":
    sys.exit(Churn(float(sys.argv[1]), sys.argv[2], sys.argv[3:]).main())
