# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""checkpatch --strict, on whole files, without a finding.

What is ignored is in the tables below, each with its reason.
"""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

KERNEL = ("drivers", "include", "tests/kunit")
USER = ("tests/device", "tests/fuzz")

# (files, type, what checkpatch says or the line has, the reason)
IGNORED = (
    ("drivers/virtio_tvq/compat.h", "LINUX_VERSION_CODE", "",
     "what differs between two kernels is all that this file is for"),
    ("drivers/virtio_tvq/compat.h", "CONSTANT_COMPARISON", "KERNEL_VERSION",
     "it takes LINUX_VERSION_CODE on the left for a constant"),
    ("drivers/virtio_tvq/trace.h", "OPEN_ENDED_LINE", "TP_",
     "the layout of TRACE_EVENT() in all of the kernel"),
    ("drivers/virtio_tvq/trace.h", "PARENTHESIS_ALIGNMENT", "",
     "the layout of TRACE_EVENT() in all of the kernel"),
    ("drivers/virtio_tvq/sysfs.c", "MACRO_ARG_REUSE", "'_name'",
     "an attribute's name has no side effect"),
    ("tests/kunit/admin_test.c", "COMPLEX_MACRO", "",
     "rows of bytes, to be put into one array"),
    ("tests/kunit/admin_test.c", "MACRO_ARG_REUSE", "",
     "the same: their arguments are constants"),
    ("*", "LINE_SPACING", "__free(",
     "it takes u16 *name __free(kfree) for no declaration"),
    ("tests/device/*", "LINE_SPACING", "_Atomic ",
     "it takes that for no declaration"),
    ("tests/device/*", "QUOTED_WHITESPACE_BEFORE_NEWLINE", "strtok_r(",
     "a set of delimiters is no message"),
    ("tests/device/check/client.h", "COMPLEX_MACRO", "VIRTIO_TVQ_CLASS_",
     "a class and a command: two arguments of a call"),
    ("tests/device/check/*", "MACRO_ARG_REUSE", "",
     "macros of tests, whose arguments are names and constants"),
    ("tests/device/check/*", "SPLIT_STRING", "",
     "expected answers, which are not messages that one would look for"),
    ("tests/device/check/*", "STATIC_CONST_CHAR_ARRAY", "",
     "execv() wants pointers to char"),
    ("tests/fuzz/*", "CAMELCASE", "LLVMFuzzer",
     "names that libFuzzer has"),
    ("tests/fuzz/fibers.c", "USE_NEGATIVE_ERRNO", "EAGAIN",
     "what pthread_create() returns"),
)

# Types that want what userspace does not have.
NOT_FOR_USERS = {
    "PREFER_KERNEL_TYPES": "stdint.h is what C programs use",
    "PREFER_DEFINED_ATTRIBUTE_MACRO": "__printf, __packed: kernel headers",
    "BIT_MACRO": "BIT(): kernel headers",
    "ARRAY_SIZE": "kernel headers",
    "STRCPY": "strscpy(): kernel headers",
    "SSCANF_TO_KSTRTO": "kstrto*(): kernel headers",
    "ENOSYS": "the rule is about system calls of the kernel",
    "EMBEDDED_FUNCTION_NAME":
        "messages are for users; ordinary words are names of functions, too",
}

# CAMELCASE of names that C and POSIX made.
STANDARD_NAMES = r"<(PRI|SCN)[diouxX]\w+>|<_Atomic>"


def run(linux, paths):
    """What checkpatch says of these files, and its exit status."""
    out = subprocess.run(
        ["perl", linux + "/scripts/checkpatch.pl", "--no-tree",
         "--root=" + linux, "--strict", "--terse", "--show-types",
         "--no-summary", "-f"] + paths,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    return out.stdout.splitlines(), out.returncode


def ignored(user, line):
    match = re.match(
        r"(\S+?):(\d+): (?:ERROR|WARNING|CHECK):(\w+): (.*)", line)
    if not match:
        return False
    path, number, kind, text = match.groups()
    if user and (kind in NOT_FOR_USERS or kind == "CAMELCASE" and
                 re.search(STANDARD_NAMES, text)):
        return True
    source = Path(path).read_text().split("\n")[int(number) - 1]
    return any(fnmatch(path, files) and kind == type_ and
               part in text + "\n" + source
               for files, type_, part, _ in IGNORED)


def check(linux, user):
    paths = sorted(str(path) for top in (USER if user else KERNEL)
                   for path in Path(top).rglob("*.[ch]"))
    findings = []
    batches = [batch for batch in (paths[::2], paths[1::2]) if batch]
    with ThreadPoolExecutor(len(batches) or 1) as pool:
        for lines, status in pool.map(lambda batch: run(linux, batch), batches):
            if status and not lines:
                findings.append("checkpatch ends with status %d" % status)
            findings += [line for line in lines
                         if line.strip() and not ignored(user, line)]
    if not paths:
        findings.append("checker is blind: no file")
    findings.sort()
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


def main():
    linux = sys.argv[1]
    # It writes a file into the directory that it is called in, and goes by
    # the paths that it is given.
    with tempfile.TemporaryDirectory() as scratch:
        for entry in os.scandir():
            os.symlink(os.path.abspath(entry.path),
                       scratch + "/" + entry.name)
        os.chdir(scratch)
        return check(linux, sys.argv[2] == "user")


sys.exit(main())
