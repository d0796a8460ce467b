# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""Every file has an SPDX line with the licence for its place."""
import re
import sys
from pathlib import Path

MODULE = "GPL-2.0"
UAPI = "(GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause"
DOCUMENT = "(GPL-2.0 OR BSD-3-Clause)"
PROGRAM = "GPL-2.0-or-later OR BSD-3-Clause"

# The first that matches.
PLACES = (
    (r"include/uapi/", UAPI),
    (r"(include|drivers|tests/kunit)/", MODULE),
    (r"Kbuild$", MODULE),
    (r"Documentation/|.*\.(md|rst)$", DOCUMENT),
    (r"", PROGRAM),
)

# The texts of licences have none, nor have the inputs of a fuzzer.
EXEMPT = r"(LICENSES/.*|COPYING.*|LICENSE.*|tests/fuzz/corpus/.*)$"

# name of a file, its contents: each has to be found
FAULTS = (
    ("drivers/virtio_tvq/planted.c", "int a;\n"),
    ("drivers/virtio_tvq/planted.c",
     "// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause\n"),
    ("include/uapi/linux/planted.h",
     "/* SPDX-License-Identifier: GPL-2.0 */\n"),
    ("tests/device/planted.c", "// SPDX-License-Identifier: GPL-2.0\n"),
    ("tests/kunit/planted.c",
     "// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause\n"),
    ("scripts/planted", "#!/bin/sh\n\n\n"
     "# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause\n"),
    ("Documentation/planted.rst", ".. SPDX-License-Identifier: GPL-2.0\n"),
)


def check(path, text):
    if re.match(EXEMPT, path):
        return []
    want = next(licence for place, licence in PLACES if re.match(place, path))
    for line in text.split("\n")[:2]:
        match = re.search(r"SPDX-License-Identifier: (.*?)( \*/| -->|)$", line)
        if match:
            if match.group(1) == want:
                return []
            return ["%s: licence '%s', where '%s' is wanted" %
                    (path, match.group(1), want)]
    return ["%s: no SPDX line in the first two lines" % path]


def main():
    findings = []
    for path, text in FAULTS:
        if not check(path, text):
            findings.append("checker is blind: %s: %s" % (path, text))
    for path in sorted(Path(".").rglob("*")):
        if path.is_file():
            findings += check(str(path), path.read_text(errors="replace"))
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


sys.exit(main())
