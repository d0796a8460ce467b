# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""Documentation/coverage.rst: each operation that the driver sets, each feature
and type that the reference device offers has a row, each test is there, and is run
on the kernels that the row has."""
import re
import sys
from pathlib import Path

import csource

TABLE = "Documentation/coverage.rst"
OPS = "drivers/virtio_tvq/virtio.c"
COMPAT = "drivers/virtio_tvq/compat.h"
MODEL = "tests/device/"
KERNELS = {"6.12", "7.2", "debug"}
# Sections with the features of a type, which are those of its source file.
TYPES = {"network interfaces": "net", "disks": "blk", "consoles": "console",
         "persistent memory": "pmem"}


def load():
    files = csource.load()
    for path in Path("tests").glob("*/*.sh"):
        files[str(path)] = path.read_text()
    files[TABLE] = Path(TABLE).read_text()
    return files


def section(text, title):
    """The rows of its table, each as a list: name or bits, kernels, tests."""
    match = re.search(r"^%s\n=+\n(.*?)(?=^[^\n]+\n===+$|\Z)" % title,
                      text, re.M | re.S)
    rows = []
    for line in match.group(1).split("\n") if match else ():
        if line.startswith("="):
            starts = [m.start() for m in re.finditer("=+", line)]
            continue
        new = re.match(r"``\w+`` |\d", line)
        if not line.strip() or not (new or rows and line.startswith("  ")):
            continue
        if new:
            rows.append([""] * len(starts))
        for i, start in enumerate(starts):
            cell = line[start:(starts + [None])[i + 1]]
            rows[-1][i] = (rows[-1][i] + " " + cell.strip()).strip()
    return [(row[0].strip("`,"), *row[-2:]) for row in rows]


def kernels_of(test, files):
    """Where a test is run, with the driver: one of the device alone is nowhere."""
    if test.startswith("tvq_"):
        return {"debug"}
    if test.startswith("device/"):
        return set()
    header = re.search(r"^# kernels: *(.*)$",
                       files.get("tests/%s.sh" % test, ""), re.M)
    # A test may be for more kernels, which are no part of "make check".
    return set(header.group(1).split()) & KERNELS if header else KERNELS


def check_kernels(row, files):
    """What a row says of kernels, and what its tests do."""
    name, column, tests = row
    claimed = {"all": KERNELS, "none": set()}.get(column, set(column.split(", ")))
    if claimed - KERNELS:
        return ["%s: kernels of %s: %s" % (TABLE, name, column)]
    tested = set()
    for test in re.findall(r"``((?:e2e|parity|device)/[\w-]+|tvq_\w+\.\w+)``", tests):
        tested |= kernels_of(test, files)
    silent = {kernel for kernel in tested - claimed
              if not re.search(r"Not on (the )?%s\b" % re.escape(kernel), tests)}
    return ["%s: no test on %s for %s" % (TABLE, kernel, name)
            for kernel in sorted(claimed - tested)] + \
        ["%s: %s is tested on %s, too" % (TABLE, name, kernel)
         for kernel in sorted(silent)]


def operations(files):
    ops = re.search(r"virtio_config_ops \w+ = \{(.*?)^\};", files[OPS],
                    re.M | re.S)
    extra = re.search(r"TVQ_EXTENDED_FEATURES\(fn\)(.*= fn)", files[COMPAT])
    return set(re.findall(r"\.(\w+) = ",
                          (ops.group(1) if ops else "") +
                          (extra.group(1) if extra else "")))


def features(files, path, linux):
    """The bits that one file of the model says a type can offer."""
    code = csource.strip(files[path])
    match = re.search(r"\.features = (.*?),\n\t\.", code, re.S)
    expr = match.group(1) if match else ""
    for name in re.findall(r"\b[A-Z_]+\b", expr):
        define = re.search(r"#define\s+%s\s+(\((?:.*\\\n)*.*)" % name, code)
        if define:
            expr += define.group(1)
    defines = "".join(text for name, text in files.items()
                      if name.startswith(MODEL)) + linux
    bits = set()
    for name in re.findall(r"BIT64\((\w+)\)", expr):
        bits.add(int(re.search(r"#define\s+%s\s+(\d+)" % name,
                               defines).group(1)))
    return bits


def numbers(rows):
    found = set()
    for row in rows:
        found |= {int(n) for n in re.findall(r"\d+", row[0])}
    return found


def differ(what, wanted, rows):
    return ["%s: no row for %s %s" % (TABLE, what, name)
            for name in sorted(wanted - rows)] + \
        ["%s: a row for %s %s, which is not there" % (TABLE, what, name)
         for name in sorted(rows - wanted)]


def check(files, linux):
    text = files[TABLE]
    findings = differ("operation", operations(files) | {"notify"},
                      {row[0] for row in section(text, "Operations")})

    transport = set()
    types = set()
    for path, code in files.items():
        name = re.search(r"mdev_type \w+_type = \{.*?\.name = \"(\w+)\"", code,
                         re.S) if path.startswith(MODEL) else None
        if not name:
            continue
        name = name.group(1)
        types.add(name)
        bits = features(files, path, linux)
        transport |= {bit for bit in bits if 24 <= bit <= 41}
        of_type = {bit for bit in bits if not 24 <= bit <= 41}
        title = [key for key, value in TYPES.items() if value == name]
        rows = numbers(section(text, "Features of " + title[0])) \
            if title else set()
        findings += differ("feature of " + name, of_type, rows)
    findings += differ("type", types,
                       {row[0] for row in section(text, "Device types")})
    rows = section(text, "Features of the transport")
    findings += differ("feature", set(range(24, 43)) | {49, 64, 127} | transport,
                       numbers(rows))

    cases = set()
    for path, code in files.items():
        if path.startswith("tests/kunit/"):
            suites = re.findall(r"_suite = \{\n\t\.name = \"(\w+)\".*?"
                                r"\.test_cases = (\w+)", code, re.S)
            for suite, array in suites:
                body = re.search(r"kunit_case %s\[\] = \{(.*?)^\};" % array,
                                 code, re.M | re.S)
                cases |= {suite + "." + case for case in re.findall(
                    r"KUNIT_CASE\w*\((\w+)", body.group(1) if body else "")}
    for name in re.findall(r"``([\w./-]+)``", text):
        kind, _, rest = name.partition("/")
        if name.endswith("/NAME") or "NAME." in name:
            continue
        if kind in ("e2e", "parity") and rest:
            there = "tests/%s.sh" % name in files
        elif kind == "device" and rest:
            there = "tests/device/check/%s.c" % rest in files
        elif re.match(r"tvq_\w+\.", name):
            there = name in cases
        else:
            continue
        if not there:
            findings.append("%s: there is no test %s" % (TABLE, name))
    for title in ("Operations", "Features of the transport", "Device types",
                  *("Features of " + key for key in TYPES)):
        for row in section(text, title):
            if not re.search(r"``\w+[./]\w|not offered|not assigned", row[2]):
                findings.append("%s: no test for %s" % (TABLE, row[0]))
            findings += check_kernels(row, files)
    return findings


# (what is found, file, text, text to put in its place)
FAULTS = (
    ("no row for operation planted", OPS, "\t.bus_name =", "\t.planted ="),
    ("no row for operation get_extended_features", TABLE,
     "``get_extended_features``", "``get_long_features``    "),
    ("no row for feature of blk 7", MODEL + "blk.c",
     "BIT64(VIRTIO_BLK_F_RO)", "BIT64(VIRTIO_BLK_F_SCSI)"),
    ("a row for feature of blk 5, which is not there", MODEL + "blk.c",
     "BIT64(VIRTIO_BLK_F_RO)", "BIT64(VIRTIO_BLK_F_SCSI)"),
    ("no row for feature of net 54", TABLE, "\n54      GUEST_USO4",
     "\n51      GUEST_USO4"),
    ("no row for feature 34", TABLE, "\n34      RING", "\n51      RING"),
    ("no row for type rng", TABLE, "\n``rng``", "\n``RNG``"),
    ("there is no test e2e/10-disk", TABLE, "e2e/10-blk", "e2e/10-disk"),
    ("there is no test device/none", TABLE, "device/test_packed",
     "device/none"),
    ("there is no test tvq_virtio.bus_name", "tests/kunit/virtio_test.c",
     "KUNIT_CASE(bus_name)", "KUNIT_CASE(planted)"),
    ("no test for bus_name", TABLE,
     "``tvq_virtio.bus_name``, ``e2e/11-net``", "bus_name, ethtool"),
    ("no test on 7.2 for bus_name", TABLE,
     "``tvq_virtio.bus_name``, ``e2e/11-net``", "``tvq_virtio.bus_name``"),
    ("no test on debug for rng", TABLE,
     "``e2e/12-rng``, ``parity/40-rng``", "``device/test_plain``"),
    ("no test on 7.2 for pmem", "tests/e2e/18-pmem.sh",
     "# kernels: 6.12 7.2", "# kernels: 6.12"),
    ("35 is tested on 6.12, too", TABLE,
     "on request. Not on 6.12", "on request, not on 6.12"),
    ("pmem is tested on 7.2, too", TABLE,
     "``pmem``                  6.12, 7.2", "``pmem``                  6.12     "),
    ("kernels of rng: 6.13", TABLE,
     "``rng``                   all ", "``rng``                   6.13"),
)


def main():
    files = load()
    linux = "".join(
        (Path(sys.argv[1]) / "include/uapi/linux" / name).read_text()
        for name in ("virtio_net.h", "virtio_blk.h", "virtio_console.h"))
    findings = []
    for finding, path, old, new in FAULTS:
        text = files[path].replace(old, new)
        got = check({**files, path: text}, linux)
        if TABLE + ": " + finding not in got:
            findings.append("checker is blind: it does not find in %s: %s" %
                            (path, finding))
    findings += check(files, linux)
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


sys.exit(main())
