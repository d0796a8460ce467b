#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""The host side of scripts/vm: runs inside the Debian tree, as the first
process of a pid namespace of its own, so that QEMU and the device processes
end when it does.

Three serial ports lead to the guest: the kernel's console, which goes to a
file and is searched for reports of trouble; the script's output; and a control
channel, on which the guest tells how the script ended and asks for things to
be done here (see guest-bin/host)."""

import argparse
import base64
import ctypes
import json
import math
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

STATUS_TESTBED = 122
STATUS_DEVICE = 123
STATUS_TIMEOUT = 124
STATUS_REPORT = 125

SYS_PIDFD_GETFD = 438

SRC = "/tvq/src"
RUN = "/run/tvq"
# Seconds until the script begins; a slow and busy machine needs a minute.
BOOT_TIMEOUT = 300
# As tvq_slow in lib.sh.
SLOW_KERNELS = ("debug", "kcsan")
GUEST_INIT_END = "tvq-testbed: end of run"

# What the kernel must not say. Each with a line that the self-test plants.
REPORTS = [
    (r"------------\[ cut here \]------------",
     "------------[ cut here ]------------"),
    (r"\bWARNING: ", "WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2"),
    (r"\bWARN_ON\b", "WARN_ON at x"),
    (r"\bBUG: ", "BUG: sleeping function called from invalid context"),
    (r"\bkernel BUG at ", "kernel BUG at mm/slub.c:1!"),
    (r"\bKASAN: ", "KASAN: slab-use-after-free in f+0x1/0x2"),
    (r"\bKCSAN: ", "KCSAN: data-race in f / g"),
    (r"\bUBSAN: ", "UBSAN: array-index-out-of-bounds in x.c:1:2"),
    (r"\bKFENCE: ", "KFENCE: memory corruption in f+0x1/0x2"),
    (r"possible (circular|recursive) locking", "WARN possible recursive locking"),
    (r"possible irq lock inversion", "possible irq lock inversion dependency"),
    (r"possible deadlock", "possible deadlock in f"),
    (r"inconsistent lock state", "inconsistent lock state"),
    (r"bad unlock balance|held lock freed|lock held when returning"
     r"|locks? still held", "bad unlock balance detected!"),
    (r"\bINFO: (HARDIRQ|SOFTIRQ|possible|lockdep|trying to register|inconsistent"
     r"|suspicious)", "INFO: trying to register non-static key."),
    (r"BUG: MAX_LOCKDEP|MAX_LOCKDEP_\w+ too low",
     "BUG: MAX_LOCKDEP_CHAINS too low!"),
    (r"Invalid wait context", "[ BUG: Invalid wait context ]"),
    (r"suspicious RCU usage", "WARN: suspicious RCU usage"),
    (r"\bINFO: task .* blocked", "INFO: task sh:1 blocked for more than 120 seconds."),
    (r"\bINFO: rcu.*(stall|self-detected)|rcu:.*(stall|self-detected)"
     r"|detected stalls? on", "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
    (r"(soft|hard) lockup|hard LOCKUP", "watchdog: BUG: soft lockup - CPU#0"),
    (r"workqueue lockup", "BUG: workqueue lockup - pool cpus=0"),
    (r"workqueue: .* hogged CPU", None),
    (r"\bCall Trace:", "Call Trace:"),
    (r"kmemleak: (?!.*(Kernel memory leak detector initialized"
     r"|Automatic memory scanning|mem pool available|Object search tree))",
     "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"),
    (r"module virtio_tvq\w* func:\S+ has \d+ allocated at module unload",
     "x.c:1 module virtio_tvq func:f has 96 allocated at module unload"),
    (r"\bDMA-API: (?!preallocated|debugging enabled)",
     "DMA-API: device driver frees DMA memory with wrong function"),
    (r"\brefcount_t: ", "refcount_t: underflow; use-after-free."),
    (r"\bODEBUG: (?!selftest|\d+ of)", "ODEBUG: free active (active state 0) object"),
    (r"\bOops\b", "Oops: 0000 [#1] PREEMPT SMP"),
    (r"general protection fault", "general protection fault, probably for"),
    (r"[Uu]nable to handle kernel|unable to handle page fault",
     "unable to handle page fault for address: 0000"),
    (r"Kernel panic", "Kernel panic - not syncing: x"),
    (r"scheduling while atomic", "scheduling while atomic: sh/1/0x2"),
    (r"Bad page state|Bad rss-counter", "Bad page state in process sh"),
    (r"\blist_(add|del) corruption", "list_add corruption. next->prev"),
    (r"irq \d+: nobody cared", "irq 9: nobody cared"),
    (r"\bslab .*(Redzone|Poison) overwritten|Object already free",
     "slab x: Redzone overwritten"),
    (r"kobject: .*(is not initialized|does not have a release)",
     "kobject: 'x': is not initialized, yet kobject_put()"),
    (r"sysfs: cannot create duplicate", "sysfs: cannot create duplicate filename"),
    (r"page allocation failure", "sh: page allocation failure: order:9"),
    (r"Out of memory:|oom-kill:", "Out of memory: Killed process 1"),
]
# Lines of stock kernels' own boot that match and mean nothing.
HARMLESS = [
    r"virtio_tvq: loading out-of-tree module",
    r"Hardware name: ",
]
# Races between functions of the stock kernel alone are shown, and are its own
# affair. One is ours as soon as a function of ours is in either stack: what we call
# may be called without the lock that it needs. But a stack ends, for that, with
# - an interrupt: what was interrupted has nothing to do with it;
# - vring_interrupt(), which has no lock to be called with: what a driver does in its
#   callback is its own, whoever the transport is.
KCSAN_RE = re.compile(r"\bBUG: KCSAN: (.*)")
KCSAN_OURS_RE = re.compile(r"\[virtio_tvq[a-z_]*\]")
KCSAN_STACK_RE = re.compile(r"(read|write|assert no \w+)\b.* to 0x[0-9a-f]+ of \d+ bytes by ")
KCSAN_END_RE = re.compile(r" asm_(common_interrupt|sysvec_\w+|exc_\w+)\+")
KCSAN_CALLBACK_RE = re.compile(r" vring_interrupt\+")
# What follows the second stack.
KCSAN_LAST = "Reported by Kernel Concurrency Sanitizer"
REPORT_RE = re.compile("|".join(f"(?:{r})" for r, _ in REPORTS))
HARMLESS_RE = re.compile("|".join(HARMLESS))

# Bits of /proc/sys/kernel/tainted, in their order.
TAINT = "PFSRMBUDAWCIOELKXTNJ"


def parse():
    ap = argparse.ArgumentParser(prog="vm", add_help=False)
    ap.add_argument("--kernel", default="7.2")
    ap.add_argument("--devices", type=int, default=0)
    ap.add_argument("--device-args", default="")
    ap.add_argument("--pci", action="append", default=[])
    ap.add_argument("--smp", default="2")
    ap.add_argument("--parallel", action="store_true")
    ap.add_argument("--memory")
    ap.add_argument("--packages")
    ap.add_argument("--timeout", type=float)
    ap.add_argument("--append", action="append", default=[])
    ap.add_argument("--iommu", action="store_true")
    ap.add_argument("--hotplug", action="store_true")
    ap.add_argument("--disk", default="")
    ap.add_argument("--qemu-args", default="")
    ap.add_argument("--allow-taint", default="")
    ap.add_argument("--log-dir")
    ap.add_argument("--accel", default="tcg")
    ap.add_argument("--script-path", default="")
    ap.add_argument("mode", choices=["run", "shell"])
    ap.add_argument("command", nargs=argparse.REMAINDER)
    args = ap.parse_args()
    args.append = " ".join(args.append)
    if args.memory is None:
        args.memory = "2G" if args.kernel in SLOW_KERNELS else "1G"
    return args


def note(text):
    print(f"vm: {text}", file=sys.stderr, flush=True)


def listening(path):
    """Whether a UNIX socket of that name accepts connections, without
    connecting: that would take the device's only client slot."""
    with open("/proc/net/unix") as f:
        for line in f:
            field = line.split()
            if len(field) > 7 and field[7] == path:
                if int(field[3], 16) & 0x10000:
                    return True
    return False


def tail(path, count):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-count:])
    except OSError:
        return ""


class Failure(Exception):
    """A request of the guest that could not be met."""


class Device:
    """One process of the reference device: one management device, and the
    plain virtio-pci functions of pci (as --pci has them)."""

    def __init__(self, run, number, pci=()):
        self.run = run
        self.number = number
        self.pci = []
        for n, spec in enumerate(pci):
            if not re.search(r"(^|,)name=", spec):
                spec += f",name=pci{n}"
            self.pci.append((f"{RUN}/pci{n}.sock", spec))
        self.sock = f"{RUN}/tvq{number}.sock"
        self.ctl = f"{RUN}/tvq{number}.ctl"
        self.state = f"{run.dir}/state/tvq{number}"
        self.log = f"{run.dir}/tvq{number}.log"
        self.process = None
        self.plugged = False
        os.makedirs(self.state)

    def start(self):
        if self.process is not None:
            raise Failure(f"device {self.number} runs already")
        sockets = [self.sock, self.ctl] + [path for path, _ in self.pci]
        for path in sockets:
            if os.path.exists(path):
                os.unlink(path)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["/tvq/run/tvq-device", "--socket", self.sock, "--control",
                 self.ctl, "--state-dir", self.state, "--log-level", "info"]
                + [f"--pci={path},{spec}" for path, spec in self.pci]
                + shlex.split(self.run.args.device_args),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        limit = time.monotonic() + 10
        while not all(map(listening, sockets)):
            if self.process.poll() is not None or time.monotonic() > limit:
                status = self.process.poll()
                text = tail(self.log, 20)
                if status is None:
                    self.process.kill()
                    self.process.wait()
                self.process = None
                raise Failure(f"device {self.number} did not start "
                              f"(status {status}):\n{text}")
            time.sleep(0.01)

    def end(self, sig, timeout=15):
        """Ends the process; returns its exit status."""
        if self.process is None:
            raise Failure(f"device {self.number} does not run")
        self.process.send_signal(sig)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = None
        self.process = None
        return status

    def control(self, words):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(60)
        with sock:
            try:
                sock.connect(self.ctl)
                sock.sendall((" ".join(words) + "\n").encode())
                with sock.makefile(errors="replace") as f:
                    lines = []
                    for line in f:
                        line = line.rstrip("\n")
                        if line == "ok":
                            return lines
                        if line.startswith("error:"):
                            raise Failure(line)
                        lines.append(line)
            except OSError as e:
                raise Failure(f"control socket: {e}") from e
        raise Failure("control socket: closed without an answer")

    def qdev(self):
        bus = f"rp{self.number}"
        return {"driver": "vfio-user-pci", "id": f"tvq{self.number}",
                "bus": bus, "socket": {"type": "unix", "path": self.sock}}


class Qmp:
    """QEMU's monitor: one command at a time."""

    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("r", errors="replace")
        self.cond = threading.Condition()
        self.lock = threading.Lock()
        self.reply = None
        self.closed = False
        json.loads(self.file.readline())
        threading.Thread(target=self.read, daemon=True).start()
        self.command("qmp_capabilities")

    def read(self):
        try:
            for line in self.file:
                message = json.loads(line)
                with self.cond:
                    if "event" not in message:
                        self.reply = message
                    self.cond.notify_all()
        except (OSError, ValueError):
            pass
        with self.cond:
            self.closed = True
            self.cond.notify_all()

    def raw(self, text, timeout=60):
        with self.lock:
            with self.cond:
                self.reply = None
            try:
                self.sock.sendall(text.encode() + b"\n")
            except OSError as e:
                raise Failure(f"QEMU's monitor: {e}") from e
            with self.cond:
                if not self.cond.wait_for(
                        lambda: self.reply is not None or self.closed, timeout):
                    raise Failure("QEMU's monitor does not answer")
                if self.reply is None:
                    raise Failure("QEMU is gone")
                return self.reply

    def command(self, name, **arguments):
        request = {"execute": name}
        if arguments:
            request["arguments"] = arguments
        reply = self.raw(json.dumps(request))
        if "error" in reply:
            raise Failure(f"{name}: {reply['error'].get('desc')}")
        return reply.get("return")


class Run:
    def __init__(self, args):
        self.args = args
        self.dir = args.log_dir
        self.kernel_log = f"{self.dir}/kernel.log"
        self.devices = []
        self.qemu = None
        self.qmp = None
        self.ctl = None
        self.heard = 0           # lines from the control channel
        self.status = None
        self.taint = []
        self.logcheck_start = 0
        self.marks = 0
        self.done = threading.Event()
        self.boot_deadline = time.monotonic() + BOOT_TIMEOUT
        self.set_timeout(args.timeout or math.inf)
        self.output_closed = threading.Event()
        self.problems = []       # (status, text)
        self.stock_races = {}    # how often, as of the last search of the log
        self.expected = []       # regular expressions the script announced
        if "kmemleak=off" in args.append.split():
            # Elsewhere that is how kmemleak says that it gave up.
            self.expected.append(re.compile("kmemleak: .* detector disabled"))

    # --- start ------------------------------------------------------------

    def listen(self, name):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(f"{RUN}/{name}")
        sock.listen(1)
        return sock

    def qemu_command(self):
        args = self.args
        machine = "q35,memory-backend=mem"
        if args.accel == "kvm":
            accel, cpu = "kvm", "host"
            if args.iommu:
                machine += ",kernel-irqchip=split"
        else:
            # No 5-level page tables: identify_cpu() of a booting kernel
            # clears the feature bits for a moment, with interrupts on, and a
            # timer interrupt that comes just then takes every address for one
            # of 4 levels; KASAN reports them all, and the boot hangs.
            cpu = "max,la57=off"
            # A CPU of a guest spins for another one (locks, calls to all CPUs) that
            # has to wait for a CPU of this machine. Where two guests share two CPUs,
            # each takes 1.6 times as long for that, in turns 1.1 times: then one that
            # spins lets the other go on. What is about things that happen at the same
            # time does without.
            parallel = args.parallel or args.kernel in ("rt", "kcsan")
            accel = "tcg,thread=" + ("multi" if parallel else "single")
        append = ["console=ttyS0", "ignore_loglevel", "printk.devkmsg=on",
                  "panic=-1", "oops=panic", "rdinit=/init", "nokaslr",
                  "random.trust_cpu=on", "tsc=reliable", "no_timer_check",
                  "kasan_multi_shot"]
        cmd = ["qemu-system-x86_64", "-nodefaults", "-no-user-config",
               "-display", "none", "-no-reboot", "-machine", machine,
               "-accel", accel, "-cpu", cpu, "-smp", args.smp,
               "-m", args.memory, "-object",
               f"memory-backend-memfd,id=mem,size={args.memory},share=on"]
        if args.kernel == "kcsan":
            # Of so many accesses one is watched; 4000 unless told.
            append.append("kcsan.skip_watch=500")
        if args.iommu:
            cmd += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
            append.append("intel_iommu=on")
        cmd += ["-kernel", "/tvq/boot/vmlinuz", "-initrd", "/tvq/out/initrd"
                + ("-ram" if "tvq.ram" in args.append.split() else ""),
                "-append", " ".join(append + [args.append]).strip(),
                "-chardev", f"file,id=console,path={self.kernel_log}",
                "-serial", "chardev:console"]
        if args.mode == "shell":
            cmd += ["-chardev", "stdio,id=out,signal=off"]
        else:
            cmd += ["-chardev", f"socket,id=out,path={RUN}/out"]
        cmd += ["-serial", "chardev:out",
                "-chardev", f"socket,id=ctl,path={RUN}/ctl",
                "-device", "isa-serial,chardev=ctl,index=2,iobase=0x3e8,irq=5",
                "-chardev", f"socket,id=qmp,path={RUN}/qmp",
                "-mon", "chardev=qmp,mode=control",
                "-fsdev", "local,id=root,path=/tvq/root,security_model=none,"
                "readonly=on,multidevs=remap",
                "-device", "virtio-9p-pci,fsdev=root,mount_tag=root,addr=3"]
        for n in range(args.devices):
            cmd += ["-device", f"pcie-root-port,id=rp{n},bus=pcie.0,chassis={n + 1},"
                    f"slot={n + 1},addr={0x10 + n // 8:#x}.{n % 8:#x}"
                    + (",multifunction=on" if n % 8 == 0 else "")]
        # Root ports 0x10.0 to 0x13.7 are those of management devices.
        for n in range(len(args.pci)):
            cmd += ["-device", f"pcie-root-port,id=pp{n},bus=pcie.0,chassis={n + 65},"
                    f"slot={n + 65},addr={0x14 + n // 8:#x}.{n % 8:#x}"
                    + (",multifunction=on" if n % 8 == 0 else "")]
        for device in self.devices[:args.devices]:
            cmd += ["-device", json.dumps(device.qdev())]
            device.plugged = True
        if args.pci:
            for n, (path, _) in enumerate(self.devices[0].pci):
                cmd += ["-device", json.dumps(
                    {"driver": "vfio-user-pci", "id": f"pci{n}", "bus": f"pp{n}",
                     "socket": {"type": "unix", "path": path}})]
        if args.disk:
            path = f"{self.dir}/state/disk"
            subprocess.run(["truncate", "-s", args.disk, path], check=True)
            cmd += ["-blockdev", f"file,node-name=disk,filename={path}",
                    "-device", "virtio-blk-pci,drive=disk,addr=4"]
        return cmd + shlex.split(args.qemu_args)

    def settings(self):
        """What guest-init reads: shell variables and the environment."""
        size = shutil.get_terminal_size((0, 0))
        lines = [f"mode={self.args.mode}",
                 f"term_rows={size.lines or ''}",
                 f"term_cols={size.columns or ''}",
                 f"command=({' '.join(map(shlex.quote, self.args.command))})"]
        env = {"TVQ_SRC": SRC, "TVQ_MODULES": "/tvq/modules",
               "TVQ_KERNEL": self.args.kernel,
               "TVQ_SLOW": "1" if self.args.kernel in SLOW_KERNELS else "",
               "TVQ_DEVICES": str(self.args.devices),
               "TVQ_IOMMU": "1" if self.args.iommu else "",
               "TVQ_ACCEL": self.args.accel}
        if self.args.mode == "shell":
            env["TERM"] = os.environ.get("TERM", "linux")
        for name, value in env.items():
            lines.append(f"export {name}={shlex.quote(value)}")
        with open(f"{self.dir}/guest/settings", "w") as f:
            f.write("\n".join(lines) + "\n")

    def start(self):
        os.makedirs(RUN)
        self.settings()
        # Plain functions need a process, though it may have no device to manage.
        self.devices = [Device(self, n, self.args.pci if n == 0 else ())
                        for n in range(self.args.devices or bool(self.args.pci))]
        for device in self.devices:
            device.start()
        socks = {name: self.listen(name) for name in ("ctl", "qmp", "out")}
        cmd = self.qemu_command()
        with open(f"{self.dir}/qemu.log", "wb") as log:
            log.write((shlex.join(cmd) + "\n").encode())
            log.flush()
            shell = self.args.mode == "shell"
            self.qemu = subprocess.Popen(
                cmd, stdin=None if shell else subprocess.DEVNULL,
                stdout=None if shell else log, stderr=log,
                env=os.environ | {"LD_PRELOAD": "/tvq/run/qemu-preload.so"})
        threading.Thread(target=self.watch_qemu, daemon=True).start()
        conns = {}
        for name, sock in socks.items():
            if name == "out" and shell:
                continue
            sock.settimeout(0.2)
            while name not in conns:
                try:
                    conns[name] = sock.accept()[0]
                    conns[name].setblocking(True)
                except socket.timeout:
                    if self.qemu.poll() is not None:
                        raise Failure("QEMU did not start:\n"
                                      + tail(f"{self.dir}/qemu.log", 20))
            sock.close()
        if "out" in conns:
            threading.Thread(target=self.pump_output, args=(conns["out"],),
                             daemon=True).start()
        else:
            self.output_closed.set()
        self.qmp = Qmp(conns["qmp"])
        self.ctl = conns["ctl"]
        threading.Thread(target=self.serve, args=(self.ctl,),
                         daemon=True).start()

    # --- while it runs ----------------------------------------------------

    def watch_qemu(self):
        self.qemu.wait()
        time.sleep(0.2)         # let what it wrote be read
        self.done.set()

    def pump_output(self, sock):
        with open(f"{self.dir}/output.log", "wb") as log:
            while True:
                try:
                    data = sock.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    break
                log.write(data)
                log.flush()
                try:
                    sys.stdout.buffer.write(data)
                    sys.stdout.buffer.flush()
                except OSError:
                    pass
        self.output_closed.set()

    def serve(self, sock):
        """The control channel."""
        with sock.makefile("r", errors="replace") as f:
            for line in self.lines(f):
                self.heard += 1
                word = line.split()
                if not word:
                    continue
                if word[0] == "exit" and len(word) == 2 and word[1].isdigit():
                    if self.status is None:
                        self.status = int(word[1])
                    self.done.set()
                elif word[0] == "taint" and len(word) == 2:
                    self.taint.append(int(word[1]))
                elif word[0] == "req":
                    self.answer(sock, word[1:])
                else:
                    note(f"control channel: {line.strip()!r} not understood")

    @staticmethod
    def lines(file):
        try:
            yield from file
        except OSError:
            pass                # QEMU died; watch_qemu tells

    def answer(self, sock, words):
        try:
            argv = [base64.b64decode(w[1:]).decode() for w in words]
            rc, out = self.request(argv)
            kind = "out"
        except Failure as e:
            rc, kind, out = 1, "err", f"host: {e}\n"
        except Exception as e:  # whatever it was, the guest waits for an answer
            rc, kind, out = STATUS_TESTBED, "err", f"host: {e!r}\n"
        data = out.encode()
        reply = []
        for i in range(0, len(data), 600):
            chunk = base64.b64encode(data[i:i + 600]).decode()
            reply.append(f"{kind} {chunk}\n")
        reply.append(f"rc {rc}\n")
        try:
            sock.sendall("".join(reply).encode())
        except OSError:
            pass

    HELP = """\
host device N stop|kill|start     end (SIGTERM, SIGKILL) or start a device process
host device N ctl COMMAND...      one command on its control socket
host device N log                 what it has logged
host device N unplug|plug         the PCI function, behind its root port
host device N alive               whether the process runs
host qmp JSON                     one command for QEMU's monitor
host sleep SECONDS                wait by the host's clock
host after TEXT REQUEST...        a request that is met when the kernel says TEXT
host wake SECONDS                 from then on wake the guest by a byte on ttyS2 now
                                  and then, until it asks for something else
host logcheck                     fail if the kernel log has a new report
host expect REGEX                 from now on such lines are no report
host result NAME WORD...          a line for the file "results" of this run
host timeout SECONDS              from now, until this run is ended
"""

    def request(self, argv):
        if argv[:1] == ["device"] and len(argv) >= 3:
            if not argv[1].isdigit() or int(argv[1]) >= len(self.devices):
                raise Failure(f"no device {argv[1]}")
            return self.device_request(self.devices[int(argv[1])], argv[2],
                                       argv[3:])
        if argv[:1] == ["qmp"] and len(argv) == 2:
            reply = self.qmp.raw(argv[1])
            return int("error" in reply), json.dumps(reply) + "\n"
        if argv[:1] == ["sleep"] and len(argv) == 2:
            time.sleep(float(argv[1]))
            return 0, ""
        if argv[:1] == ["after"] and len(argv) > 2:
            threading.Thread(target=self.after, daemon=True,
                             args=(argv[1], self.log_size(), argv[2:])).start()
            return 0, ""
        if argv[:1] == ["wake"] and len(argv) == 2:
            threading.Timer(float(argv[1]), self.wake, (self.heard,)).start()
            return 0, ""
        if argv == ["logcheck"]:
            return self.logcheck()
        if argv[:1] == ["expect"] and len(argv) == 2:
            self.expected.append(re.compile(argv[1]))
            return 0, ""
        if argv[:1] == ["result"] and len(argv) > 2:
            with open(f"{self.dir}/results", "a") as f:
                f.write(" ".join(argv[1:]).replace("\n", " ") + "\n")
            return 0, ""
        if argv[:1] == ["timeout"] and len(argv) == 2:
            self.set_timeout(float(argv[1]))
            return 0, ""
        if argv == ["help"]:
            return 0, self.HELP
        raise Failure(f"not understood: {shlex.join(argv)}\n{self.HELP}")

    def log_size(self):
        return os.path.getsize(self.kernel_log)

    def after(self, text, start, argv):
        while not self.done.wait(0.05):
            with open(self.kernel_log, "rb") as f:
                f.seek(start)
                if text.encode() in f.read():
                    break
        try:
            self.request(argv)
        except Failure as e:
            note(f"after {text!r}: {shlex.join(argv)}: {e}")

    def wake(self, heard):
        try:
            while self.heard == heard and not self.done.is_set():
                self.ctl.sendall(b"\n")
                time.sleep(1)
        except OSError:
            pass

    def device_request(self, device, verb, rest):
        if (verb in ("stop", "kill") and device.process is not None
                and device.process.poll() is not None):
            # Left as it is, for end_devices() to tell.
            raise Failure(f"device {device.number} has ended by itself")
        if verb == "stop":
            status = device.end(signal.SIGTERM)
            if status != 0:
                raise Failure("the device process " + (
                    "did not end in time" if status is None
                    else f"ended with status {status}"))
            return 0, ""
        if verb == "kill":
            device.end(signal.SIGKILL)
            return 0, ""
        if verb == "start":
            device.start()
            return 0, ""
        if verb == "alive":
            alive = device.process and device.process.poll() is None
            return (0 if alive else 1), ""
        if verb == "ctl":
            return 0, "".join(f"{l}\n" for l in device.control(rest))
        if verb == "log":
            return 0, tail(device.log, 200)
        if verb == "unplug":
            self.unplug(device)
            return 0, ""
        if verb == "plug":
            self.qmp.command("device_add", **device.qdev())
            device.plugged = True
            return 0, ""
        raise Failure(f"device: {verb} not understood")

    def unplug(self, device):
        """As device_del, which the guest has to agree to. There is no
        DEVICE_DELETED event and the connection stays open, because the
        device is never freed: see qemu-preload.c."""
        name = f"tvq{device.number}"
        self.qmp.command("device_del", id=name)
        limit = time.monotonic() + 60
        while any(child["name"] == name for child in
                  self.qmp.command("qom-list", path="/machine/peripheral")):
            if time.monotonic() > limit:
                raise Failure(f"the guest does not let go of {name}")
            time.sleep(0.05)
        device.plugged = False
        self.close_connection(device.sock)

    def close_connection(self, path):
        """Shuts down QEMU's connection to a device, from the outside."""
        pid = self.qemu.pid
        pidfd = os.pidfd_open(pid)
        libc = ctypes.CDLL(None, use_errno=True)
        for fd in os.listdir(f"/proc/{pid}/fd"):
            copy = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(fd), 0)
            if copy < 0:
                continue
            try:
                with socket.socket(fileno=copy) as sock:
                    if (sock.family == socket.AF_UNIX
                            and sock.getpeername() == path):
                        sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                try:
                    os.close(copy)
                except OSError:
                    pass
        os.close(pidfd)

    # --- the kernel log ---------------------------------------------------

    def reports(self, start=0):
        """The kernel log's reports of trouble from offset start, as a list of
        (line number in what was read, lines)."""
        try:
            with open(self.kernel_log, "rb") as f:
                f.seek(start)
                data = f.read()
        except OSError:
            return [], start
        lines = data.decode(errors="replace").splitlines()
        hits = []
        self.stock_races = {}
        for i, line in enumerate(lines):
            if not REPORT_RE.search(line) or HARMLESS_RE.search(line):
                continue
            if any(e.search(line) for e in self.expected):
                continue
            race = KCSAN_RE.search(line)
            if race and not self.race_is_ours(lines[i:i + 200]):
                race = race[1]
                self.stock_races[race] = self.stock_races.get(race, 0) + 1
                continue
            hits.append(i)
        excerpt = []
        last = -1
        for i in hits:
            first = max(i - 2, last + 1)
            end = min(i + 40, len(lines))
            if last >= i:
                end = max(last + 1, min(i + 20, len(lines)))
            if first > last + 1 and excerpt:
                excerpt.append("[...]")
            excerpt += lines[max(first, last + 1):end]
            last = max(last, end - 1)
            if len(excerpt) > 200:
                excerpt.append("[... more in the log]")
                break
        return excerpt, start + len(data)

    @staticmethod
    def race_is_ours(lines):
        """Whether the report that begins with these lines concerns us. Of one that
        is not complete yet, the end of the run decides."""
        depth = 0               # in a stack, or beyond its end
        for line in lines[1:]:
            if KCSAN_LAST in line:
                return False
            if KCSAN_STACK_RE.search(line):
                depth = 0
                continue
            depth += 1
            if (KCSAN_END_RE.search(line) or
                    (depth > 1 and KCSAN_CALLBACK_RE.search(line))):
                depth = 1000
            elif depth < 1000 and KCSAN_OURS_RE.search(line):
                return True
        return len(lines) == 200

    def wait_log(self, text, timeout):
        limit = time.monotonic() + timeout
        needle = text.encode()
        while time.monotonic() < limit:
            try:
                with open(self.kernel_log, "rb") as f:
                    f.seek(max(0, os.path.getsize(self.kernel_log) - 1000000))
                    if needle in f.read():
                        return True
            except OSError:
                pass
            time.sleep(0.02)
        return False

    def logcheck(self):
        excerpt, self.logcheck_start = self.reports(self.logcheck_start)
        return (1 if excerpt else 0), "".join(f"{l}\n" for l in excerpt)

    def wait(self):
        """Return: whether the run ended before its time was over."""
        while not self.done.wait(0.2):
            if time.monotonic() >= self.boot_deadline and not self.taint:
                self.late = f"no boot after {BOOT_TIMEOUT} s"
                return False
            if time.monotonic() >= self.deadline:
                return False
        return True

    def set_timeout(self, seconds):
        self.late = f"not finished after {seconds:g} s"
        self.deadline = time.monotonic() + seconds

    # --- end --------------------------------------------------------------

    def problem(self, status, text):
        self.problems.append((status, text))

    def finish(self, in_time):
        complete = self.status is not None
        if complete:
            # The console is searched only when it is known to be whole.
            if not self.wait_log(GUEST_INIT_END, 20):
                self.problem(STATUS_TESTBED, "the end of the kernel log is lost")
            if self.args.mode == "run":
                self.drain()
        elif not in_time:
            self.problem(STATUS_TIMEOUT, f"{self.late}; end of the kernel log:\n"
                         + tail(self.kernel_log, 60))
        elif self.args.mode == "run":
            self.problem(STATUS_TESTBED,
                         "the guest ended before its script; kernel log:\n"
                         + tail(self.kernel_log, 60) + "QEMU:\n"
                         + tail(f"{self.dir}/qemu.log", 10))
        self.end_qemu()
        self.end_devices()
        excerpt, _ = self.reports()
        if self.stock_races:
            note("data races of the stock kernel alone:")
            for race, n in sorted(self.stock_races.items()):
                note(f"  {n} {race}")
        if excerpt:
            self.problem(STATUS_REPORT, "reports in the kernel log:\n"
                         + "\n".join(excerpt))
        if complete:
            self.check_taint(bool(excerpt))
            if self.args.kernel == "kcsan":
                self.check_kcsan()

    def check_kcsan(self):
        """Finding no race means nothing where none was looked for."""
        with open(self.kernel_log, errors="replace") as f:
            watched = re.findall(r"kcsan: setup_watchpoints: (\d+)", f.read())
        if not watched or int(watched[-1]) == 0:
            self.problem(STATUS_TESTBED, "KCSAN has watched nothing")
        else:
            note(f"KCSAN has watched {watched[-1]} accesses")

    def drain(self):
        """Waits until what the guest wrote has come through."""
        last = -1
        path = f"{self.dir}/output.log"
        for _ in range(100):
            size = os.path.getsize(path) if os.path.exists(path) else 0
            if size == last:
                return
            last = size
            time.sleep(0.05)

    def end_qemu(self):
        if self.qemu.poll() is None and self.qmp:
            try:
                self.qmp.command("quit")
            except Failure:
                pass
        try:
            self.qemu.wait(5)
        except subprocess.TimeoutExpired:
            self.qemu.kill()
            self.qemu.wait()
            if self.status is not None:
                self.problem(STATUS_TESTBED, "QEMU did not quit")
        self.output_closed.wait(2)
        if self.status is not None and self.qemu.returncode != 0:
            self.problem(STATUS_TESTBED, f"QEMU ended with status "
                         f"{self.qemu.returncode}:\n"
                         + tail(f"{self.dir}/qemu.log", 10))

    def end_devices(self):
        for device in self.devices:
            name = f"device {device.number}"
            if device.process is not None:
                status = device.process.poll()
                if status is not None:
                    self.problem(STATUS_DEVICE, f"{name} ended by itself with "
                                 f"status {status}:\n" + tail(device.log, 60))
                else:
                    status = device.end(signal.SIGTERM)
                    if status is None:
                        self.problem(STATUS_DEVICE, f"{name} did not end on "
                                     "SIGTERM:\n" + tail(device.log, 30))
                    elif status != 0:
                        self.problem(STATUS_DEVICE, f"{name} ended on SIGTERM "
                                     f"with status {status}:\n"
                                     + tail(device.log, 60))

    def check_taint(self, reported):
        if len(self.taint) < 2:
            self.problem(STATUS_TESTBED, "the guest did not tell its taint flags")
            return
        allowed = "OE" + self.args.allow_taint
        new = self.taint[-1] & ~self.taint[0]
        letters = "".join(TAINT[i] if i < len(TAINT) else f"[{i}]"
                          for i in range(64) if new >> i & 1)
        bad = [c for c in letters if c not in allowed]
        if bad and not reported:
            self.problem(STATUS_REPORT, f"the kernel is tainted: {letters}")

    def main(self):
        try:
            self.start()
        except Failure as e:
            note(e)
            return STATUS_TESTBED
        self.finish(self.wait())
        for _, text in self.problems:
            note(text)
        for status in (STATUS_REPORT, STATUS_TIMEOUT, STATUS_DEVICE,
                       STATUS_TESTBED):
            if any(s == status for s, _ in self.problems):
                return status
        return self.status if self.status is not None else 0


def main():
    if sys.argv[1:] == ["--planted-reports"]:
        print("\n".join(line for _, line in REPORTS if line))
        return 0
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    return Run(args).main()


if __name__ == "__main__":
    sys.exit(main())
