# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""The layers of the driver: who may include, call and look at what.

    sysfs, personalities -> bus, management, interrupts -> typed commands
    -> command engine -> link (the PCI function)

Each layer calls the one below it, through that layer's one header. Two
exceptions, which are the data path: doorbells and queue interrupts.
"""
import re
import sys
from collections import namedtuple

import csource

DRIVER = "drivers/virtio_tvq/"

# files: where the rule holds. but: where, of these, it does not (a file, or
# file:function, both as patterns). pattern: what must not be there, in the
# text without comments and strings, unless raw. faults: (file, text to append)
# each of which the rule has to find.
Rule = namedtuple("Rule", "name why files but pattern raw faults")

PERSONALITY = r"(virtio|blk|mdev\w*)\.c$"
CALL = r"\s*\("


def rule(name, why, files, pattern, faults, but=None, raw=False):
    return Rule(name, why, re.compile(DRIVER + files),
                re.compile(but) if but else None,
                re.compile(pattern, re.M), raw, faults)


def fault(path, code):
    return (DRIVER + path, "static void tvq_planted(void)\n{\n\t%s\n}\n" % code)


RULES = [
    rule("personality-include",
         "a personality includes the bus header, and of the module's own "
         "headers only bus.h, for how it is registered and counted",
         PERSONALITY,
         r'^\s*#\s*include\s+"(?!(bus|compat|virtio|mdev\w*)\.h")[^"]*"',
         [(DRIVER + "virtio.c", '#include "cmd.h"\n'),
          (DRIVER + "virtio.c", '#include "mgmt.h"\n')],
         raw=True),
    rule("personality-call",
         "a personality calls nothing but the bus",
         PERSONALITY,
         r"\btvq_(cmd|cmdq|xfer|msg|mgmt|irqs|pci)_\w+" + CALL,
         [fault("virtio.c", "tvq_cmd_reset(q, 1);"),
          fault("virtio.c", "tvq_xfer_break(x);"),
          fault("virtio.c", "tvq_mgmt_stop(m);")]),
    rule("engine-include",
         "only the typed commands use the engine",
         r"(?!(xfer|cmd|admin)\.c$|xfer\.h$)",
         r'^\s*#\s*include\s+"xfer\.h"',
         [(DRIVER + name, '#include "xfer.h"\n')
          for name in ("bus.c", "mgmt.c", "member.c", "irq.c", "virtio.c",
                       "pci.c", "sysfs.c")],
         raw=True),
    rule("engine-call",
         "only the typed commands use the engine",
         r"(?!(xfer|cmd|admin)\.c$|xfer\.h$)",
         r"\b(tvq_(xfer|msg)_\w+" + CALL + r"|struct\s+tvq_(xfer|msg)\b)",
         [fault(name, "tvq_xfer_submit(x, m);")
          for name in ("bus.c", "mgmt.c", "irq.c", "virtio.c", "pci.c")] +
         [fault("bus.c", "struct tvq_msg *msg;")]),
    rule("engine-knows-no-command",
         "the engine does not know what the bytes mean",
         r"(xfer\.[ch]|link\.h)$",
         r'\btvq_cmd_|\bVIRTIO_TVQ_(CLASS|MGMT|DEVICE|VQ|MSI)_|"cmd\.h"|'
         r'virtio_tvq\.h',
         [fault("xfer.c", "tvq_cmd_nop(q);"),
          (DRIVER + "xfer.c", "#include <uapi/linux/virtio_tvq.h>\n")],
         raw=True),
    rule("link-call",
         "only the engine calls what carries the commands",
         r"(?!xfer\.c$)",
         r"(->|\.)(post|poll|stop)" + CALL,
         [fault("cmd.c", "ops->post(link, o, 1, i, 1, t);"),
          fault("mgmt.c", "params->ops->poll(l, &used);"),
          fault("pci.c", "tvq_pci_link_ops.stop(tp);")]),
    rule("pci-library",
         "only the link knows the PCI function",
         r"(?!pci\.c$)",
         r"\b(vp_modern_\w+|pci_\w+)" + CALL +
         r"|struct\s+(pci_dev|virtio_pci_\w+)\b|linux/pci\.h",
         [fault("mgmt.c", "vp_modern_set_status(d, 0);"),
          fault("irq.c", "pci_irq_vector(p, 1);"),
          (DRIVER + "bus.c", "#include <linux/pci.h>\n")],
         raw=False),
    rule("rings",
         "only the link touches the function's rings; the rings of managed "
         "devices are the virtio personality's, and how one is made differs "
         "between kernels",
         r"(?!(pci|virtio|blk)\.c$|compat\.h$)",
         r"\b(virtqueue|vring)_\w+" + CALL,
         [fault("mgmt.c", "virtqueue_kick(vq);"),
          fault("bus.c", "vring_del_virtqueue(vq);")]),
    rule("function-ring",
         "a ring with the function itself as its parent is the link's",
         r"(?!pci\.c$)",
         r"\bvring_create_virtqueue" + CALL,
         [fault("virtio.c", "vring_create_virtqueue(0);")]),
    # In configuration space and in the capability bytes lie as on the wire:
    # create.c makes initial values of configuration fields, pci.c reads the
    # capability. What goes through the rings is cmd.c's and admin.c's.
    rule("byte-order",
         "only the typed commands convert byte order",
         r"(?!(cmd|admin)\.c$)",
         r"\b(cpu_to_[lb]e\d+\w*|[lb]e\d+_to_cpus?p?|__[lb]e(16|32|64)|"
         r"(get|put)_unaligned_[lb]e\d+)\b",
         [fault(name, "x = le32_to_cpu(y);")
          for name in ("bus.c", "mgmt.c", "virtio.c", "xfer.c", "pci.c",
                       "create.c")] +
         [fault("bus.c", "__le16 x;"),
          fault("irq.c", "put_unaligned_le64(a, b);")],
         but=r"pci\.c:tvq_pci_read_cap$|create\.c:tvq_key_\w+$"),
    rule("wire-structs",
         "only the typed commands, and of the capability pci.c, know how "
         "things lie in memory",
         r"(?!(cmd|admin)\.c$)",
         r"\bstruct\s+virtio_(tvq_|admin_|dev_part|resource_obj)\w*",
         [fault("bus.c", "struct virtio_tvq_hdr hdr;"),
          fault("mgmt.c", "struct virtio_tvq_limits l;"),
          fault("member.c", "struct virtio_dev_part_hdr hdr;"),
          fault("debugfs.c", "struct virtio_admin_cmd_hdr hdr;")],
         but=r"pci\.c:tvq_pci_read_cap$"),
]

# Rules that hold elsewhere, too.
VERSION = Rule(
    "kernel-version", "what differs between kernels is in compat.h alone",
    re.compile(r"(drivers|include|tests/kunit)/"),
    re.compile(r"drivers/virtio_tvq/compat\.h$"),
    re.compile(r"\b(LINUX_VERSION_CODE|KERNEL_VERSION)\b|linux/version\.h"),
    False,
    [fault("virtio.c", "\n#if LINUX_VERSION_CODE > 1\n#endif\n"),
     ("include/linux/virtio_tvq.h", "#include <linux/version.h>\n"),
     ("tests/kunit/fake_link.c", "#if 1 < KERNEL_VERSION(6, 12, 0)\n#endif\n")])


def excepted(rule_, path, functions, line):
    if not rule_.but:
        return False
    if rule_.but.search(path):
        return True
    return any(fn.first <= line <= fn.last and
               rule_.but.search("%s:%s" % (path, fn.name))
               for fn in functions)


def check_rule(rule_, path, text):
    if not rule_.files.match(path):
        return []
    functions = csource.functions(text)
    findings = []
    where = text if rule_.raw else csource.strip(text)
    for match in rule_.pattern.finditer(where):
        line = where.count("\n", 0, match.end())
        if not excepted(rule_, path, functions, line):
            findings.append("%s:%d: %s: %s" % (path, line + 1,
                                               match.group(0).strip(),
                                               rule_.why))
    return findings


# --- what bus.h has for its own module only ----------------------------------

# How a personality that is part of the module is registered, and how its
# objects are counted.
FOR_PERSONALITIES = r"tvq_(virtio|mdev)_(init|exit)|tvq_live_\w+"


def internals(sources):
    """What a personality can see of bus.h and the bus header, and may not use."""
    header = csource.strip(sources[DRIVER + "bus.h"])
    names = {name for name in re.findall(r"\b(tvq_\w+)\s*(?:\(|;|\[)", header)
             if not re.fullmatch(FOR_PERSONALITIES, name)}
    text = sources["include/linux/virtio_tvq.h"]
    members = set()
    struct = re.search(r"^struct tvq_device \{.*?^\};", text, re.M | re.S)
    if struct:
        private = struct.group(0).partition("private:")[2]
        members = set(re.findall(r"(\w+)(?:\[\w+\])?;", csource.strip(
            private.partition("*/")[2])))
    return names, members


def check_internals(sources):
    names, members = internals(sources)
    findings = []
    for path, text in sources.items():
        if not re.match(DRIVER + PERSONALITY, path):
            continue
        stripped = csource.strip(text)
        for number, line in enumerate(stripped.split("\n"), 1):
            for name in re.findall(r"\btvq_\w+", line):
                if name in names:
                    findings.append(
                        "%s:%d: %s: bus.h has it for the bus's own layer" %
                        (path, number, name))
            for name in re.findall(r"\btdev->(\w+)", line):
                if name in members:
                    findings.append(
                        "%s:%d: tdev->%s: private to the bus" %
                        (path, number, name))
    return findings


INTERNAL_FAULTS = [
    fault("virtio.c", "tvq_device_put(tdev);"),
    fault("virtio.c", "x = &tvq_bus_type;"),
    fault("virtio.c", "mutex_lock(&vd->tdev->config_lock);"),
    fault("virtio.c", "kfree(tdev->irqs);"),
]

# --- locks -------------------------------------------------------------------

LOCK = (r"(?:spinlock_t|raw_spinlock_t|rwlock_t|seqlock_t|local_lock_t|"
        r"seqcount_\w+|struct\s+mutex|struct\s+rw_semaphore|"
        r"struct\s+semaphore)")
LOCK_MEMBER = re.compile(r"^\s+%s\s+(\w+);" % LOCK)
LOCK_STATIC = re.compile(
    r"^(?:static\s+)?(?:DEFINE_\w*(?:MUTEX|LOCK|RWSEM|SEMAPHORE)\((\w+)|"
    r"%s\s+(\w+)\s*(?:=|;))" % LOCK)
GUARDS = re.compile(
    r"guard|serialis|protect|\bheld (for|while|from|over)\b|\border")


def member_doc(text, lines, number, name):
    """What kernel-doc of the struct around this line says of a member."""
    start = number
    while start >= 0 and not re.match(r"(typedef )?struct\b.*\{", lines[start]):
        start -= 1
    comment = csource.comment_above(text, start) if start >= 0 else ""
    match = re.search(r"^ \* @%s:(.*?)(?=^ \* @|^ \*\s*$|\*/)" % name, comment,
                      re.M | re.S)
    return match.group(1) if match else ""


def check_locks(path, text):
    if not path.startswith(("drivers/", "include/linux/", "tests/kunit/")):
        return []
    findings = []
    lines = text.split("\n")
    stripped = csource.without_preprocessor(text).split("\n")
    for number, line in enumerate(stripped):
        match = LOCK_MEMBER.match(line)
        inside = any(fn.first <= number <= fn.last
                     for fn in csource.functions(text)) if match else False
        match = match or LOCK_STATIC.match(line)
        if not match or inside:
            continue
        name = next(group for group in match.groups() if group)
        said = lines[number].partition("/*")[2]
        said += csource.comment_above(text, number)
        said += member_doc(text, lines, number, name)
        if not GUARDS.search(said):
            findings.append(
                "%s:%d: no comment says what the lock %s guards" %
                (path, number + 1, name))
    return findings


LOCK_FAULTS = [
    (DRIVER + "xfer.c", "struct tvq_planted {\n\tspinlock_t lock;\n};\n"),
    (DRIVER + "mgmt.h", "struct tvq_planted {\n"
     "\tint a;\t/* guarded by lock */\n\tstruct mutex lock; /* a lock */\n};\n"),
    (DRIVER + "mgmt.h", "/**\n * struct tvq_planted - a fault\n"
     " * @lock: a lock\n * @other: guards nothing\n */\n"
     "struct tvq_planted {\n\tstruct rw_semaphore lock;\n};\n"),
    (DRIVER + "irq.c", "static DEFINE_RAW_SPINLOCK(tvq_planted);\n"),
    ("include/linux/virtio_tvq.h",
     "struct tvq_planted {\n\traw_spinlock_t lock;\n};\n"),
]

# ------------------------------------------------------------------------------


def blind(sources, faults, what, checker):
    """Findings where a checker does not see a fault in a copy of a file."""
    findings = []
    for path, text in faults:
        if path not in sources:
            findings.append("checker is blind: %s: there is no %s" %
                            (what, path))
            continue
        before = len(checker(path, sources[path]))
        if len(checker(path, sources[path] + "\n" + text)) <= before:
            findings.append("checker is blind: %s does not see in %s: %s" %
                            (what, path, text))
    return findings


def main():
    sources = {path: text for path, text in csource.load().items()
               if not path.startswith("tests/device/")}
    findings = []
    for rule_ in RULES + [VERSION]:
        def checker(path, text, rule_=rule_):
            return check_rule(rule_, path, text)
        findings += blind(sources, rule_.faults, rule_.name, checker)
        for path, text in sources.items():
            findings += checker(path, text)

    def whole(path, text):
        return check_internals({**sources, path: text})
    findings += blind(sources, INTERNAL_FAULTS, "bus-internals", whole)
    findings += check_internals(sources)

    findings += blind(sources, LOCK_FAULTS, "locks", check_locks)
    for path, text in sources.items():
        findings += check_locks(path, text)
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


sys.exit(main())
