# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""What users touch is documented, and what is documented is there: sysfs
attributes, keys of create, error numbers, module parameters, trace events."""
import re
import sys
from pathlib import Path

import csource

ABI = "Documentation/ABI/testing/"
MANAGEMENT = ABI + "sysfs-bus-pci-devices-virtio_tvq"
MANAGED = ABI + "sysfs-bus-virtio_tvq"
GUIDE = "Documentation/driver.rst"
DRIVER = "drivers/virtio_tvq/"


def load():
    files = csource.load()
    for path in (MANAGEMENT, MANAGED, GUIDE):
        files[path] = Path(path).read_text()
    return files


def driver(files):
    """The driver's sources in one, without comments, strings as they are."""
    return "\n".join(re.sub(r"/\*.*?\*/", "", text, flags=re.S)
                     for path, text in sorted(files.items())
                     if path.startswith(DRIVER))


def attributes(files):
    """Names of the attributes of management and of managed devices."""
    code = driver(files)
    # Macros that define attributes: their arguments are names, too.
    macros = dict.fromkeys(("__ATTR", "DEVICE_ATTR"), set())
    for macro, body in re.findall(
            r"^#define\s+(\w+)\(_name\)((?:.*\\\n)*.*)", code, re.M):
        for kind in macros:
            if re.search(r"\b%s_(ADMIN_)?(RO|WO|RW)(_MODE)?\(_name\b" % kind, body):
                macros[kind] = macros[kind] | {macro}
    found = {}
    for kind, extra in macros.items():
        names = "|".join([kind + r"_(?:ADMIN_)?(?:RO|WO|RW)(?:_MODE)?", *sorted(extra)])
        found[kind] = set(re.findall(r"^[^#\n]*\b(?:%s)\((\w+)\b" % names,
                                     code, re.M)) - {"_name"}
    found["__ATTR"] |= set(re.findall(
        r'kobject_create_and_add\("([\w-]+)"', code))
    if "MSI_FLAG_DEV_SYSFS" in code:
        found["DEVICE_ATTR"].add("msi_irqs")
    return found["__ATTR"], found["DEVICE_ATTR"]


def entries(text, pattern):
    return set(re.findall(r"^What:\s+%s([\w-]+)/?$" % pattern, text, re.M))


def differ(what, code, documented):
    return ["%s %s is not documented" % (what, name)
            for name in sorted(code - documented)] + \
        ["%s %s is documented and not there" % (what, name)
         for name in sorted(documented - code)]


def literals(text, title):
    """The terms of the definition lists of one section, in ``literals``."""
    section = re.search(r"^%s\n=+\n(.*?)(?=^[^\n]+\n===+$|\Z)" % title, text,
                        re.M | re.S)
    if not section:
        return set()
    return set(re.findall(r"^``(\w+)``$", section.group(1), re.M))


def create_entry(files):
    entry = re.search(r"^What:\s+\S+/tvq/create$.*?(?=^What:)",
                      files[MANAGEMENT], re.M | re.S)
    return entry.group(0) if entry else ""


def check(files):
    code = driver(files)
    of_functions, of_devices = attributes(files)
    findings = differ(
        "attribute", of_functions,
        entries(files[MANAGEMENT], r"/sys/bus/pci/devices/\.\.\./tvq/"))
    findings += differ(
        "attribute", of_devices,
        entries(files[MANAGED], r"/sys/bus/virtio_tvq/devices/\.\.\./"))

    entry = create_entry(files)
    keys = re.search(r"\btvq_keys\[\] = \{(.*?)^\};", code, re.M | re.S)
    tables = re.split(r"^\t\t=+ =+\n", entry, flags=re.M)
    table = re.findall(r"^\t\t(\w+)", tables[2] if len(tables) > 2 else "",
                       re.M)
    findings += differ(
        "key", set(re.findall(r'^\t\{ "(\w+)"', keys.group(1), re.M)
                   if keys else ()),
        set(table))
    # What the typed commands and the parser return must be in the list.
    errors = set(re.findall(r"(?<!\w)-(E[A-Z0-9]+)\b", "\n".join(
        files[DRIVER + name] for name in ("create.c", "cmd.c"))))
    errors -= {"EMSGSIZE"}      # no CREATE is as long as that
    for name in sorted(errors):
        if not re.search(r"\b%s\b" % name, entry):
            findings.append("create: error %s is not documented" % name)

    findings += differ("parameter", set(re.findall(
        r"^module_param(?:_named|_cb)?\((\w+),", code, re.M)),
        literals(files[GUIDE], "Module parameters"))
    findings += differ("trace event", set(re.findall(
        r"^(?:TRACE_EVENT|DEFINE_EVENT)\((?:\w+,\s*)??(\w+),\n", code, re.M)),
        literals(files[GUIDE], "Trace events"))
    return findings


# (what is found, file, text, text to put in its place; or to append, for None)
FAULTS = (
    ("attribute planted is not documented", DRIVER + "sysfs.c", None,
     "static struct kobj_attribute planted_attr = __ATTR_RO(planted);\n"),
    ("attribute planted is not documented", DRIVER + "sysfs.c", None,
     "TVQ_LIMIT_ATTR(planted);\n"),
    ("attribute planted is not documented", DRIVER + "sysfs.c", None,
     "static DEVICE_ATTR_RW(planted);\n"),
    ("attribute planted is not documented", DRIVER + "sysfs.c", None,
     "static DEVICE_ATTR_ADMIN_RO(planted);\n"),
    ("attribute planted is not documented", DRIVER + "sysfs.c", None,
     "static struct kobj_attribute planted_attr = __ATTR_RO_MODE(planted, 0400);\n"),
    ("attribute by-name is not documented", MANAGEMENT, "tvq/by-name/",
     "tvq/by-number/"),
    ("attribute planted is documented and not there", MANAGED, None,
     "What:\t\t/sys/bus/virtio_tvq/devices/.../planted\n"),
    ("attribute num_vqs is not documented", MANAGED, ".../num_vqs", ".../vqs"),
    ("key planted is not documented", DRIVER + "create.c",
     '\t{ "mac",', '\t{ "planted", NULL, 0, "" },\n\t{ "mac",'),
    ("key mtu is not documented", MANAGEMENT, "\t\tmtu  ", "\t\tMTU  "),
    ("create: error EUCLEAN is not documented", DRIVER + "create.c", None,
     "int x = -EUCLEAN;\n"),
    ("parameter planted is not documented", DRIVER + "pci.c", None,
     "module_param(planted, uint, 0444);\n"),
    ("parameter timeout_ms is not documented", GUIDE, "``timeout_ms``\n",
     "``timeout``\n"),
    ("trace event tvq_planted is not documented", DRIVER + "trace.h", None,
     "TRACE_EVENT(tvq_planted,\n"),
    ("trace event tvq_cmd_done is not documented", GUIDE, "``tvq_cmd_done``\n",
     "``tvq_cmd_end``\n"),
)


def main():
    files = load()
    findings = []
    for finding, path, old, new in FAULTS:
        text = files[path]
        if old is None:
            text += "\n" + new
        else:
            text = text.replace(old, new)
        if finding not in check({**files, path: text}):
            findings.append("checker is blind: it does not find in %s: %s" %
                            (path, finding))
    findings += check(files)
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


sys.exit(main())
