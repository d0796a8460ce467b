# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""For 65-failslab.sh: an operation is done again and again, and each time another one
of the allocations that it makes in our code fails, the first, the second and so on,
until there is none left to fail.

The kernel counts for us: a number written to fail-nth of a task is the number of the
allocation that fails, of those by this task that the filters let through, and what is
read back is 0 when that has come. The filters look at the stack: an allocation counts
when code of the module is on it. Where a stock driver is probed below our device_add(),
its own allocations would count, too. What comes of their failure is not ours, so what
is below virtio_dev_probe() does not count there; what a stock driver asks of us is
walked when it is bound through its own bus, where our code is above it alone.

What is below us in the kernel's own code does not allocate the same each time: caches of
slabs are refilled, page tables of KASAN made. So a walk through all of that may miss one
or see it twice. Those that we ask for ourselves, with nothing between, are always the
same, and are walked once more by themselves (OWN)."""

import base64
import ctypes
import errno
import fcntl
import mmap
import os
import re
import shutil
import socket
import struct
import sys
import time

DEBUG = "/sys/kernel/debug"
# A copy in memory: it is read again and again.
MODULE = shutil.copy(os.environ["TVQ_MODULES"] + "/virtio_tvq.ko", "/dev/shm")
BUS = "/sys/bus/virtio_tvq"
PCI = "/sys/bus/pci/drivers/virtio_tvq"
SYS_DELETE_MODULE, SYS_FINIT_MODULE = 176, 313
SIOCETHTOOL, ETHTOOL_SRINGPARAM = 0x8946, 0x11

# Caches of the tools that watch: kmemleak and debugobjects do without memory for a
# while, and each allocation would count twice. The nodes of radix trees are those of
# dma-debug, which gives up without; those of xarrays go with them. The last ones hold
# what counts allocations for /proc/allocinfo.
TOOLS = ("kmemleak_object", "kmemleak_scan_area", "debug_objects_cache",
         "radix_tree_node", "kmalloc-no-objext-")

libc = ctypes.CDLL(None, use_errno=True)
problems = 0


def problem(text):
    """Something to fail for, at the end: there is more to be seen."""
    global problems
    problems += 1
    print(f"FAIL: {text}", flush=True)
    put("/dev/kmsg", f"failslab: FAIL: {text}"[:200])


def put(path, text):
    """One write(2)."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def get(path):
    with open(path) as f:
        return f.read().strip()


def errno_of(function, *args):
    try:
        function(*args)
    except OSError as e:
        return e.errno
    return 0


def wait_for(what, condition, limit=60):
    end = time.monotonic() + limit
    while True:
        try:
            if condition():
                return
        except OSError:
            pass        # what is looked at comes or goes just now
        if time.monotonic() > end:
            raise SystemExit(f"not in time: {what}")
        time.sleep(0.01)


def syscall(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), "syscall")


def insmod():
    fd = os.open(MODULE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscall(SYS_FINIT_MODULE, fd, b"", 0)
    finally:
        os.close(fd)


def rmmod():
    syscall(SYS_DELETE_MODULE, b"virtio_tvq", os.O_NONBLOCK)


def host(*words):
    """As guest-bin/host, without starting a program."""
    with open("/run/host.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fd = os.open("/dev/ttyS2", os.O_RDWR)
        with os.fdopen(fd, "r+b", buffering=0) as port:
            line = "req" + "".join(" :" + base64.b64encode(w.encode()).decode()
                                   for w in words)
            port.write(line.encode() + b"\n")
            out = b""
            while True:
                answer = b""
                while not answer.endswith(b"\n"):
                    answer += port.read(1)
                kind, value = answer.split()
                if kind == b"rc":
                    if value != b"0":
                        raise SystemExit(f"host {words}: {out.decode()}")
                    return out.decode()
                out += base64.b64decode(value)


# --- filters ------------------------------------------------------------------


def symbols(module=b""):
    """What is in the kernel, or in our module, in the order of addresses: address, name."""
    with open("/proc/kallsyms", "rb") as f:
        text = f.read()
    found = re.findall(rb"^(\w+) [tT] (\S+)%s$" % module, text, re.M)
    return sorted((int(address, 16), name.decode()) for address, name in found)


def symbol(name, table):
    """Where a function begins and ends."""
    for i, (start, found) in enumerate(table):
        if found == name:
            return start, next(a for a, _ in table[i:] if a > start)
    raise SystemExit(f"no symbol {name}")


def ours(name):
    return symbol(name, symbols(rb"\t\[virtio_tvq\]"))


def section_size(wanted):
    """Of the module, from its file: sysfs tells where a section begins alone."""
    with open(MODULE, "rb") as f:
        elf = f.read()
    table, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQ", elf, table + i * size)
                for i in range(count)]
    strings = sections[names][4]
    for name, _, _, _, _, length in sections:
        if elf[strings + name:].startswith(wanted.encode() + b"\0"):
            return length
    raise SystemExit(f"the module has no {wanted}")


def module_text(section=".text"):
    start = int(get("/sys/module/virtio_tvq/sections/" + section), 16)
    return start, start + section_size(section)


# As many calls as the kernel looks at.
DEEP = 32


def only(require, reject=(0, 0), depth=DEEP):
    """Which allocations count: with this on the stack, within so many calls."""
    for attr in "failslab", "fail_page_alloc":
        put(f"{DEBUG}/{attr}/stacktrace-depth", str(depth))
        for name, (start, end) in (("require", require), ("reject", reject)):
            put(f"{DEBUG}/{attr}/{name}-start", hex(start))
            put(f"{DEBUG}/{attr}/{name}-end", hex(end))


def set_up():
    for attr in "failslab", "fail_page_alloc":
        put(f"{DEBUG}/{attr}/verbose", "0")
        put(f"{DEBUG}/{attr}/ignore-gfp-wait", "N")
    put(f"{DEBUG}/fail_page_alloc/ignore-gfp-highmem", "N")
    put(f"{DEBUG}/fail_page_alloc/min-order", "0")
    put(f"{DEBUG}/failslab/cache-filter", "Y")
    for cache in os.listdir("/sys/kernel/slab"):
        if not cache.startswith(TOOLS) and not os.path.islink(f"/sys/kernel/slab/{cache}"):
            put(f"/sys/kernel/slab/{cache}/failslab", "1")


# --- what there is --------------------------------------------------------------


def counts():
    return {
        "managed devices": sorted(os.listdir(BUS + "/devices"))
        if os.path.isdir(BUS) else [],
        "virtio devices": len(os.listdir("/sys/bus/virtio/devices")),
        "disks": len(os.listdir("/sys/block")),
        "interfaces": len(os.listdir("/sys/class/net")),
        "interrupts": len(os.listdir("/sys/kernel/irq")),
        "interrupt domains": len(os.listdir(f"{DEBUG}/irq/domains")),
        "free DMA entries": int(get(f"{DEBUG}/dma-api/num_free_entries")),
        "debugfs": len(os.listdir(f"{DEBUG}/virtio_tvq"))
        if os.path.isdir(f"{DEBUG}/virtio_tvq") else -1,
    }


def settled():
    """What is there when nobody does anything: a driver that has just been bound may
    have a command on its way, which is mapped; on a CPU that the machine below gives to
    others for a tenth of a second."""
    same, last = 0, counts()
    end = time.monotonic() + 20
    while same < 10:
        time.sleep(0.04)
        now = counts()
        same = same + 1 if now == last else 0
        last = now
        if time.monotonic() > end:
            raise SystemExit("it does not come to rest")
    return last


def unchanged(before, what):
    end = time.monotonic() + 20
    while True:
        now = counts()
        if now == before:
            return
        if time.monotonic() > end:
            for key, value in before.items():
                if now[key] != value:
                    problem(f"{what}: {key}: {value} before, {now[key]} now")
            before.update(now)
            return
        time.sleep(0.02)


def allocations():
    """Live ones, by the line of our code that asked for them, if the kernel counts."""
    if not os.path.exists("/proc/allocinfo"):
        return {}
    with open("/proc/allocinfo", "rb") as f:
        found = re.findall(rb"^ *\d+ +(\d+) (.*) \[virtio_tvq\]", f.read(), re.M)
    lines = {}
    for calls, where in found:
        lines[where.decode()] = lines.get(where.decode(), 0) + int(calls)
    return {where: calls for where, calls in lines.items() if calls}


def none_left(before, what):
    end = time.monotonic() + 20
    while True:
        now = allocations()
        if now == before:
            return
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    for where in sorted(before.keys() | now.keys()):
        if before.get(where, 0) != now.get(where, 0):
            problem(f"{what}: allocations at {where}: {before.get(where, 0)} before, "
                    f"{now.get(where, 0)} now")


# --- walks ----------------------------------------------------------------------

total = 0


class Walk:
    """Each use is one walk, in the calling task. Loop over it, and call run() once a
    round with what is to be done; rounds end when no allocation was left to fail."""

    def __init__(self, name, errnos=(errno.ENOMEM,)):
        self.name = name
        self.errnos = errnos
        self.faults = 0
        self.answers = {}
        self.over = self.unseen = False
        self.start = time.monotonic()

    def __iter__(self):
        global total
        self.nth = 1
        before = allocations()
        while True:
            yield self.nth
            if self.over:
                break
            if not self.unseen:
                self.nth += 1
        answers = ", ".join(f"{n} {errno.errorcode.get(err, err) if err else 'done'}"
                            for err, n in sorted(self.answers.items()))
        print(f"{self.name}: {self.faults} faults: {answers}"
              f" ({time.monotonic() - self.start:.1f} s)", flush=True)
        if not self.faults:
            problem(f"{self.name}: nothing has failed")
        total += self.faults
        none_left(before, self.name)

    def answered(self, err):
        if not self.over:
            self.faults += 1
            self.answers[err] = self.answers.get(err, 0) + 1
        if err and (self.over or err not in self.errnos):
            problem(f"{self.name}, fault {self.nth}: {errno.errorcode.get(err, err)}")
        return err

    def run(self, function, *args):
        """Return: the errno, or 0."""
        put("/proc/thread-self/fail-nth", str(self.nth))
        err = errno_of(function, *args)
        left = int(get("/proc/thread-self/fail-nth"))
        put("/proc/thread-self/fail-nth", "0")
        self.over = left != 0
        return self.answered(err)


def leaks(what):
    put(f"{DEBUG}/kmemleak", "scan")
    text = get(f"{DEBUG}/kmemleak")
    if text:
        problem(f"leaks until {what}: {text}")


def function():
    """The management function's directory."""
    for name in sorted(os.listdir("/sys/bus/pci/devices")):
        path = os.path.realpath(f"/sys/bus/pci/devices/{name}")
        if get(path + "/vendor") == "0x1af4" and get(path + "/device") == "0x10f0":
            return path
    raise SystemExit("no function")


FN = function()


def bind():
    put(PCI + "/bind", os.path.basename(FN))


def unbind():
    put(PCI + "/unbind", os.path.basename(FN))


def create(text):
    put(FN + "/tvq/create", text)


def destroy(name):
    put(FN + "/tvq/destroy", name)


def device(name):
    """realpath() would look at each directory on the way."""
    by_name = FN + "/tvq/by-name/"
    return os.path.normpath(by_name + os.readlink(by_name + name))


def vdev(name):
    for entry in os.listdir(device(name)):
        if entry.startswith("virtio"):
            return entry
    return None


def is_bound(name):
    """The virtio core leaves FAILED (0x80) as it is when it tries again."""
    vd = vdev(name)
    return vd is not None and (int(get(f"{device(name)}/{vd}/status"), 16) & ~0x80) == 0xf


def bind_all(name, driver):
    """By hand, what no memory was left for."""
    if is_bound(name):
        return
    if vdev(name) is None:
        put(BUS + "/drivers/virtio_tvq/bind", os.path.basename(device(name)))
    if not is_bound(name):
        put(f"/sys/bus/virtio/drivers/{driver}/bind", vdev(name))
    if not is_bound(name):
        problem(f"{name} is not bound")


DRIVER = {"blk": "virtio_blk", "net": "virtio_net", "rng": "virtio_rng",
          "console": "virtio_console"}
KERNEL = symbols()
STOCK = symbol("virtio_dev_probe", KERNEL)
# The interrupt core does without its files in /proc, and warns when they are to go.
IRQ_PROC = symbol("register_irq_proc", KERNEL)
# Each interrupt makes two dozen allocations, deep in the interrupt core, for sysfs alone.
# They are walked with a disk's interrupts; with the function's this leaves them out.
SHALLOW = 12
# The allocator alone is between the allocation and our code.
OWN = 5


def phase_module():
    """Loading the module, with no function to bind. Without bus_register(), which gives
    lockdep back a key that it has not registered yet."""
    put("/sys/bus/pci/drivers_autoprobe", "0")
    only(symbol("do_one_initcall", KERNEL), symbol("bus_register", KERNEL))
    before = settled()
    # EINVAL: the driver core's, when it can't link driver and module.
    walk = Walk("insmod", (errno.ENOMEM, errno.EINVAL))
    for _ in walk:
        if walk.run(insmod) == 0:
            rmmod()
        unchanged(before, walk.name)
    insmod()
    put("/sys/bus/pci/drivers_autoprobe", "1")


def phase_bind():
    before = settled()
    for what, depth in ("", SHALLOW), (", our own", OWN):
        only(module_text(), IRQ_PROC, depth)
        # EBUSY and EINVAL: without memory to reserve and to map a BAR, in the kernel's
        # own code. ENODEV and ENOSPC: without memory for interrupts, there.
        walk = Walk("bind of the function" + what,
                    (errno.ENOMEM, errno.EBUSY, errno.EINVAL, errno.ENODEV,
                     errno.ENOSPC))
        for _ in walk:
            if walk.run(bind) == 0:
                unbind()
            unchanged(before, walk.name)
    bind()


def phase_create(kind, spec, depths=(DEEP, OWN)):
    before = settled()
    for depth in depths:
        what = ", our own" if depth == OWN else ""
        only(module_text(), STOCK, depth)
        walk = Walk(f"create of {kind}{what}")
        for _ in walk:
            if walk.run(create, f"type={kind} name=x {spec}") == 0:
                bind_all("x", DRIVER[kind])
                destroy("x")
            unchanged(before, walk.name)


def phase_destroy(kind, spec):
    only(module_text())
    before = settled()
    walk = Walk(f"destroy of {kind}")
    for _ in walk:
        create(f"type={kind} name=x {spec}")
        walk.run(destroy, "x")
        unchanged(before, walk.name)


def port_is_open():
    ports = f"{DEBUG}/virtio-ports"
    return any("host_connected: 1" in get(f"{ports}/{port}") for port in os.listdir(ports))


def phase_driver(kind, spec, unbinding, filters):
    """A stock driver, of which our code is above the allocations that count alone."""
    create(f"type={kind} name=x {spec}")
    if kind == "console":
        # Its port comes a little later, by messages; while the driver handles one, the
        # buffer of that is not mapped. This one is the last.
        wait_for("an open port", port_is_open)
    before = settled()
    drv = "/sys/bus/virtio/drivers/" + DRIVER[kind]
    if unbinding:
        only(module_text())
        walk = Walk(f"unbind of {DRIVER[kind]}")
        for _ in walk:
            walk.run(put, drv + "/unbind", vdev("x"))
            bind_all("x", DRIVER[kind])
            unchanged(before, walk.name)
    put(drv + "/unbind", vdev("x"))
    without = settled()
    for what, require, reject, depth in filters:
        only(require, reject, depth)
        walk = Walk(f"bind of {DRIVER[kind]}{what}")
        for _ in walk:
            if walk.run(put, drv + "/bind", vdev("x")) == 0:
                put(drv + "/unbind", vdev("x"))
            unchanged(without, walk.name)
    destroy("x")


def phase_drivers():
    text = module_text()
    phase_driver("blk", "capacity=1M", True, [("", text, IRQ_PROC, DEEP),
                                              (", our own", text, IRQ_PROC, OWN)])
    parts = [(", rings", ours("tvq_virtio_make_vqs"), (0, 0), DEEP),
             (", our own", text, (0, 0), OWN)]
    phase_driver("net", "", True, parts)
    phase_driver("console", "", True, parts)


def phase_rings():
    """A driver has its rings replaced, which resets the queues and enables them again."""
    def resize(size):
        netdev, = os.listdir(f"{device('x')}/{vdev('x')}/net")
        # struct ethtool_ringparam; where it is stands in struct ifreq.
        ring = ctypes.create_string_buffer(struct.pack(
            "9I", ETHTOOL_SRINGPARAM, 0, 0, 0, 0, size, 0, 0, size))
        request = struct.pack("16sQ16x", netdev.encode(), ctypes.addressof(ring))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, SIOCETHTOOL, request)

    only(module_text())
    create("type=net name=x")
    before = settled()
    # EBUSY is what the virtio core makes of any error when a queue is enabled again.
    walk = Walk("resize of rings", (errno.ENOMEM, errno.EBUSY))
    for _ in walk:
        walk.run(resize, 64)
        # What has failed half-way can be done again.
        resize(128)
        unchanged(before, walk.name)
    destroy("x")


def read_file(path):
    with open(path, "rb", buffering=0) as f:
        return f.read()


def phase_unbind():
    """With a disk, that the driver lets go of before."""
    create("type=blk name=x capacity=1M")
    unbind()
    only(module_text())
    before = settled()
    walk = Walk("unbind of the function")
    for _ in walk:
        bind()
        bind_all("x", DRIVER["blk"])
        walk.run(unbind)
        unchanged(before, walk.name)
    bind()
    destroy("x")


def phase_read():
    only(module_text())
    create("type=net name=x")
    before = settled()
    names = [FN + "/tvq/devices_used"]
    names += [f"{device('x')}/{name}" for name in ("mac", "vqs")]
    for name in names:
        walk = Walk("read of " + os.path.basename(name))
        for _ in walk:
            walk.run(read_file, name)
            unchanged(before, walk.name)
    destroy("x")


def phase_provision():
    only(module_text(), STOCK)
    create("type=net name=x")
    name = os.path.basename(device("x"))
    put(BUS + "/drivers/virtio_tvq/unbind", name)
    before = settled()
    for attr, old, new in (("mac", "02:00:00:00:00:01", "02:00:00:00:00:02"),
                           ("vqs", "1", "2")):
        walk = Walk("write of " + attr)
        for _ in walk:
            put(f"{device('x')}/{attr}", old)
            err = walk.run(put, f"{device('x')}/{attr}", new)
            if not err and get(f"{device('x')}/{attr}") != new:
                problem(f"{walk.name}, fault {walk.nth}: no effect")
            unchanged(before, walk.name)
    put(BUS + "/drivers/virtio_tvq/bind", name)
    bind_all("x", DRIVER["net"])
    destroy("x")


def phase_parts():
    only(module_text())
    create("type=blk name=x capacity=1M")
    files = f"{DEBUG}/virtio_tvq/{os.path.basename(device('x'))}"
    before = settled()
    for mode, other in ("stopped", "running"), ("running", "stopped"):
        walk = Walk(f"mode {mode}")
        for _ in walk:
            put(files + "/mode", other)
            walk.run(put, files + "/mode", mode)
            unchanged(before, walk.name)
    put(files + "/mode", "stopped")
    walk = Walk("read of parts")
    for _ in walk:
        walk.run(read_file, files + "/parts")
        unchanged(before, walk.name)
    parts = read_file(files + "/parts")
    walk = Walk("write of parts")
    fd = os.open(files + "/parts", os.O_WRONLY)
    for _ in walk:
        walk.run(os.pwrite, fd, parts, 0)
        unchanged(before, walk.name)
    os.close(fd)
    put(files + "/mode", "running")
    destroy("x")


def phase_reset():
    def bound():
        return all(is_bound(name) for name in os.listdir(FN + "/tvq/by-name"))

    def walk(name):
        before = settled()
        walk = Walk(name, (errno.ENOMEM, errno.ENODEV, errno.ENOSPC))
        for _ in walk:
            walk.run(put, FN + "/tvq/reset", "1")
            # Another reset helps, where the function or a device has not come back.
            if not walk.over:
                put(FN + "/tvq/reset", "1")
            wait_for(f"{walk.name}, fault {walk.nth}", bound)
            unchanged(before, walk.name)

    only(module_text(), IRQ_PROC, SHALLOW)
    walk("reset")
    create("type=blk name=x capacity=1M")
    create("type=rng name=y")
    only(ours("tvq_mgmt_freeze"), IRQ_PROC)
    walk("reset, on the way down")
    only(ours("tvq_mgmt_thaw"), IRQ_PROC, SHALLOW)
    walk("reset, on the way up")
    destroy("x")
    destroy("y")


class AnyoneWalk(Walk):
    """The same with what nobody waits for: work items, and what is done in interrupts,
    where no task counts. There is one count for all, which cannot be set and is
    reached where it is a multiple of a number that can be. It is known after each
    fault, but no more when the walk is over. The first fault of the next one, the
    how manyth it may be, tells it again."""

    count, limit = 0, 0
    tries = 0

    def run(self, function, done):
        """Until done()."""
        attr = f"{DEBUG}/failslab/"
        cls = AnyoneWalk
        self.unseen = cls.count is None
        interval = cls.limit if self.unseen else cls.count + self.nth
        put(attr + "interval", str(interval))
        put(attr + "times", "1")
        put(attr + "probability", "100")
        function()
        wait_for(f"{self.name}, fault {self.nth}", done)
        put(attr + "probability", "0")
        hit = get(attr + "times") == "0"
        if hit:
            # Nothing is counted where each one is to fail.
            cls.count = interval if interval > 1 else 0
            self.faults += 1
            self.answers[0] = self.faults
        elif not self.unseen:
            cls.count, cls.limit = None, interval
        # Where nothing is allocated, it is never told.
        self.tries += self.unseen
        self.over = not hit and (not self.unseen or self.tries > cls.limit)


def phase_workers():
    only(module_text(), STOCK, OWN)
    before = settled()

    def there():
        if "x" not in os.listdir(FN + "/tvq/by-name"):
            return False
        bind_all("x", DRIVER["rng"])
        return True

    def gone():
        return "x" not in os.listdir(FN + "/tvq/by-name")

    found = AnyoneWalk("discovery")
    for _ in found:
        found.run(lambda: host("device", "0", "ctl", "add", "type=rng", "name=x"), there)
        host("device", "0", "ctl", "remove", "x")
        wait_for("to go", gone)
        unchanged(before, found.name)
    lost = AnyoneWalk("removal by the other side")
    for _ in lost:
        host("device", "0", "ctl", "add", "type=rng", "name=x")
        wait_for("to be bound", there)
        lost.run(lambda: host("device", "0", "ctl", "remove", "x"),
                 lambda: counts() == before)
        unchanged(before, lost.name)

    create("type=blk name=x capacity=1M")
    disk = os.listdir(f"{device('x')}/{vdev('x')}/block")[0]
    before = settled()
    size = 1
    # Few are our own here, but for what the ring needs.
    only(module_text())
    walk = AnyoneWalk("change of the configuration")
    for _ in walk:
        size += 1
        walk.run(lambda: host("device", "0", "ctl", "resize", "x", f"{size}M"),
                 lambda: int(get(f"/sys/block/{disk}/size")) == size << 11)
        unchanged(before, walk.name)

    # An interrupt is moved: the message is posted in an interrupt. The disk then
    # interrupts the other CPU, or nobody at all and is read for ever.
    pattern = rf"^ *(\d+): +(\d+) +(\d+) .*{os.path.basename(device('x'))}-req.0$"

    def row():
        return [int(n) for n in
                re.search(pattern, get("/proc/interrupts"), re.M).groups()]

    fd = os.open("/dev/" + disk, os.O_RDONLY | os.O_DIRECT)
    page = mmap.mmap(-1, 4096)
    irq, cpu = row()[0], 0
    walk = AnyoneWalk("move of an interrupt")
    for _ in walk:
        cpu = 1 - cpu
        seen = row()[1 + cpu]

        def moved():
            os.preadv(fd, [page], 0)
            return row()[1 + cpu] > seen

        walk.run(lambda: put(f"/proc/irq/{irq}/smp_affinity_list", str(cpu)), moved)
        unchanged(before, walk.name)
    os.close(fd)
    destroy("x")


def phase_rmmod():
    """With a disk in use by its driver: what is behind phase_unbind()'s."""
    create("type=blk name=x capacity=1M")
    before = settled()
    rmmod()
    without = settled()
    walk = Walk("rmmod")
    for _ in walk:
        insmod()
        bind_all("x", DRIVER["blk"])
        unchanged(before, walk.name)
        only(module_text(".exit.text"), module_text())
        walk.run(rmmod)
        unchanged(without, walk.name)
    insmod()
    destroy("x")


class PostWalk(Walk):
    """The same with what is posted on a virtqueue, whoever does it."""

    def __init__(self, name, err, errnos):
        super().__init__(name, errnos)
        top = f"{DEBUG}/fail_function"
        put(top + "/inject", "")
        put(top + "/inject", "tvq_pci_post")
        put(top + "/tvq_pci_post/retval", hex((1 << 64) - err))
        for attr, value in (("verbose", "0"), ("task-filter", "N"), ("interval", "1"),
                            ("times", "0"), ("probability", "100")):
            put(f"{top}/{attr}", value)
        self.top = top

    def run(self, function, *args):
        put(self.top + "/space", str(self.nth))
        put(self.top + "/times", "1")
        err = errno_of(function, *args)
        self.over = int(get(self.top + "/times")) != 0
        put(self.top + "/times", "0")
        return self.answered(err)


def phase_post():
    before = settled()

    def life():
        create("type=blk name=x capacity=1M")
        bind_all("x", DRIVER["blk"])
        destroy("x")

    # For want of memory it is done again.
    walk = PostWalk("commands that are posted twice", errno.ENOMEM, ())
    for _ in walk:
        walk.run(life)
        unchanged(before, walk.name)
    put(f"{DEBUG}/fail_function/inject", "")


PHASES = {
    "module": phase_module,
    "bind": phase_bind,
    "create": lambda: (
        phase_create("rng", ""),
        phase_create("net", "mac=02:00:00:00:00:01 mtu=1400 vqs=2", (OWN,)),
        phase_create("blk", "capacity=1M serial=s vqs=2 vectors=3", (OWN,))),
    "destroy": lambda: phase_destroy("blk", "capacity=1M"),
    "drivers": phase_drivers,
    "rings": phase_rings,
    "files": lambda: (phase_read(), phase_provision(), phase_parts()),
    "workers": phase_workers,
    "post": phase_post,
    "reset": phase_reset,
    "unbind": phase_unbind,
    "rmmod": phase_rmmod,
}

# A scan takes seconds, and each one tells what had leaked by the one before. What leaked
# after the last is found by the test bed when the guest ends.
SCANNED = "bind", "drivers", "post", "unbind"
# Fewer than that, and the filters let too little through.
FAULTS_MIN = 600


def main():
    set_up()
    chosen = sys.argv[1:] or list(PHASES)
    if "module" not in chosen:
        insmod()
        if "bind" in chosen:
            unbind()
    for name in chosen:
        start = time.monotonic()
        put("/dev/kmsg", f"failslab: {name}")
        try:
            PHASES[name]()
        except (SystemExit, OSError) as e:
            problem(f"{name}: {e!r}")
            if not os.path.isdir(FN + "/tvq"):
                bind()
            for left in os.listdir(FN + "/tvq/by-name"):
                errno_of(destroy, left)
        if name in SCANNED:
            leaks(name)
        print(f"--- {name}: {time.monotonic() - start:.1f} s", flush=True)
    unbind()
    rmmod()
    if chosen == list(PHASES) and total < FAULTS_MIN:
        problem(f"no more than {total} faults")
    print(f"{total} faults, {problems} problems")
    return problems != 0


if __name__ == "__main__":
    sys.exit(main())
