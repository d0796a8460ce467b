# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""Documents: reStructuredText without warnings, complete ABI files in the
kernel's format, and no path to a file and no test that is not there."""
import io
import re
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives, roles
from docutils.utils import SystemMessage

# What Sphinx has in the kernel's documentation and docutils has not.
ROLES = ("doc", "ref", "c:func", "c:type", "c:macro", "c:struct", "manpage")
TAGS = ("What", "Date", "KernelVersion", "Contact", "Description")


class Toctree(Directive):
    """The documents that belong to this one: each has to exist."""
    has_content = True
    option_spec = {"maxdepth": directives.unchanged,
                   "caption": directives.unchanged}

    def run(self):
        here = Path(self.state.document.current_source or ".").parent
        for name in self.content:
            if name.strip() and not (here / (name.strip() + ".rst")).exists():
                raise self.error("toctree: there is no %s.rst" % name.strip())
        return []


class KernelDoc(Directive):
    """A comment of the sources: the file and the DOC section have to exist."""
    required_arguments = 1
    option_spec = {"doc": directives.unchanged,
                   "functions": directives.unchanged,
                   "identifiers": directives.unchanged,
                   "internal": directives.flag, "export": directives.flag}

    def run(self):
        path = Path(self.arguments[0])
        if not path.exists():
            raise self.error("kernel-doc: there is no %s" % path)
        doc = self.options.get("doc")
        if doc and not re.search(r"^ \* DOC: %s$" % re.escape(doc),
                                 path.read_text(), re.M):
            raise self.error("kernel-doc: %s has no DOC: %s" % (path, doc))
        return []


def check_rst(name, text):
    """What docutils has to say."""
    warnings = io.StringIO()
    try:
        publish_doctree(text, source_path=name, settings_overrides={
            "report_level": 2, "halt_level": 5, "warning_stream": warnings,
            "syntax_highlight": "none", "input_encoding": "unicode"})
    except SystemMessage as message:
        return [str(message)]
    return [line for line in warnings.getvalue().splitlines() if line.strip()]


def check_abi(name, text):
    """Every entry has all tags, once, in their order."""
    findings = []
    entry = []
    start = 0
    lines = text.split("\n") + ["What:\t\t(end)"]
    for number, line in enumerate(lines, 1):
        match = re.match(r"(\w+):\s*(.*)", line)
        if match and match.group(1) in TAGS:
            tag, value = match.groups()
            if tag == "What" and entry and entry != ["What"] * len(entry):
                want = list(TAGS)
                got = sorted(set(entry), key=entry.index)
                if got != want or len(entry) - entry.count("What") != 4:
                    findings.append("%s:%d: tags are %s, not %s" %
                                    (name, start, " ".join(entry),
                                     " ".join(want)))
                entry = []
            if not entry:
                start = number
            entry.append(tag)
            if not value and tag != "Description":
                findings.append("%s:%d: %s is empty" % (name, number, tag))
        elif line and not line.startswith(("\t", ".. ")):
            findings.append("%s:%d: neither a tag nor indented with a tab" %
                            (name, number))
    return findings


def check_paths(name, text):
    """Paths of the checkout that it names exist, modules that are built apart."""
    findings = []
    for number, line in enumerate(text.split("\n"), 1):
        for path in re.findall(
                r"(?<![\w/.$-])((?:Documentation|drivers/virtio_tvq|include|"
                r"scripts|tests)/[\w./-]*\w|\w[\w-]*\.(?:md|rst)\b)", line):
            here = Path(name).parent / path
            if not (Path(path).exists() or here.exists() or
                    path.endswith(".ko")):
                findings.append("%s:%d: there is no %s" % (name, number, path))
    return findings


def all_tests():
    """The names of tests, of the device and of KUnit."""
    names = set()
    for top in ("tests/device/check", "tests/kunit"):
        for path in Path(top).rglob("*.c"):
            names.update(re.findall(r"^TEST\((\w+)\)|KUNIT_CASE\w*\((\w+)",
                                    path.read_text(), re.M))
    return {name for pair in names for name in pair if name}


def check_tests(name, text):
    """Tables of requirements name tests that exist, in their second column."""
    findings = []
    tests = all_tests()
    column = 0
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r"   ( *)[*-] ", line)
        if match:
            column = 2 if match.group(1) else 1
        elif not line.startswith("       "):
            column = 0
        if column != 2:
            continue
        for word in re.findall(r"\b[a-z0-9]+_[a-z0-9_]*[a-z0-9]\b", line):
            if word not in tests:
                findings.append("%s:%d: there is no test %s" %
                                (name, number, word))
    return findings


def check_parity(name, text):
    """The workloads of the parity suite, and the differences that they declare."""
    if name != "Documentation/parity.rst":
        return []
    written = set(re.findall(r"``(\d\d-[\w-]+|[\w]+\\\..*?)``", text))
    there = set()
    for path in Path("tests/parity").glob("[0-9]*.sh"):
        there |= {path.stem, *re.findall(r"^# differs: (.*?): ",
                                         path.read_text(), re.M)}
    return ["%s does not have %s" % (name, word)
            for word in sorted(there - written)] + \
        ["%s has %s, which is not there" % (name, word)
         for word in sorted(written - there)]


def kernel_abi(linux, top):
    """What the kernel's own tool says of the ABI files, and its reST."""
    out = subprocess.run(
        ["python3", linux + "/tools/docs/get_abi.py", "--dir", top, "rest"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    findings = out.stderr.splitlines()
    if out.returncode:
        findings.append("get_abi.py ends with status %d" % out.returncode)
    return findings + check_rst(top, out.stdout)


FAULTS = (
    (check_rst, "a.rst", "A long title\n=====\n\nText.\n"),
    (check_rst, "a.rst", "Text with ``an open literal.\n"),
    (check_rst, "a.rst", ":unknown:`role`\n"),
    (check_rst, "a.rst", ".. unknown:: directive\n"),
    (check_rst, "a.rst", "====  ====\nshort columns\n====  ====\na b c\n"),
    (check_rst, "Documentation/a.rst", ".. toctree::\n\n   no-such-document\n"),
    (check_rst, "a.rst", ".. kernel-doc:: drivers/virtio_tvq/none.c\n"),
    (check_rst, "a.rst",
     ".. kernel-doc:: drivers/virtio_tvq/bus.c\n   :doc: none\n"),
    (check_abi, "a", "What:\t\t/sys/a\nDate:\t\tMay 2000\n"
     "Contact:\ta@b\nDescription:\n\t\tNo kernel version.\n"),
    (check_abi, "a", "What:\t\t/sys/a\nDate:\t\tMay 2000\n"
     "KernelVersion:\t1\nContact:\ta@b\nDescription:\nText.\n"),
    (check_abi, "a", "What:\nDate:\t\tMay 2000\nKernelVersion:\t1\n"
     "Contact:\ta@b\nDescription:\n\t\tText.\n"),
    (check_paths, "README.md", "See scripts/no-such-script.\n"),
    (check_paths, "README.md", "See `Documentation/none.rst`.\n"),
    (check_paths, "Documentation/a.rst", "See none.rst.\n"),
    (check_tests, "a.rst", "   * - a_requirement\n     - no_such_test\n"),
    (check_tests, "a.rst", "   * - one\n     - none here,\n       but_there\n"),
    (check_parity, "Documentation/parity.rst", "Nothing.\n"),
)


def main():
    for role in ROLES:
        roles.register_local_role(role, roles.GenericRole(role, nodes.literal))
    directives.register_directive("toctree", Toctree)
    directives.register_directive("kernel-doc", KernelDoc)

    findings = []
    for check, name, text in FAULTS:
        if not check(name, text):
            findings.append("checker is blind: %s: %s" % (check.__name__, text))
    documents = sorted(Path("Documentation").rglob("*.rst"))
    for path in documents:
        findings += check_rst(str(path), path.read_text())
        findings += check_parity(str(path), path.read_text())
    for path in documents + sorted(Path(".").rglob("*.md")):
        findings += check_paths(str(path), path.read_text())
    path = Path("Documentation/admin-conformance.rst")
    findings += check_tests(str(path), path.read_text())
    index = Path("Documentation/index.rst").read_text().split()
    for path in documents:
        if path.name != "index.rst" and path.stem not in index:
            findings.append("Documentation/index.rst does not have %s" %
                            path.name)
    abi = sorted(path for path in Path("Documentation/ABI").rglob("*")
                 if path.is_file())
    if not abi or not documents:
        findings.append("checker is blind: no ABI file or no document")
    for path in abi:
        findings += check_abi(str(path), path.read_text())
    findings += kernel_abi(sys.argv[1], "Documentation/ABI")
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


sys.exit(main())
