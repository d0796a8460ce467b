# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""C sources as the style checks look at them: by regular expression.

That is enough because the sources are in the kernel's style: a function's
body is between a "{" and a "}" that stand alone in the first column.
"""
import re
from collections import namedtuple
from pathlib import Path

Function = namedtuple("Function", "name static returns first body last")

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
_ATTRIBUTES = {"__printf", "__attribute__", "__acquires", "__releases",
               "__must_hold"}


def load(top="."):
    """All C files of the checkout, by path."""
    sources = {}
    for root in ("drivers", "include", "tests"):
        for path in sorted((Path(top) / root).rglob("*.[ch]")):
            sources[str(path.relative_to(top))] = path.read_text()
    return sources


def strip(text):
    """The text without comments and strings; lines stay where they are."""
    def blank(match):
        token = match.group(0)
        if token[0] == '"':
            return '""'
        return re.sub(r"[^\n]", " ", token)
    return _TOKEN.sub(blank, text)


def without_preprocessor(text):
    lines = []
    directive = False
    for line in strip(text).split("\n"):
        directive = directive or line.lstrip().startswith("#")
        lines.append("" if directive else line)
        directive = directive and line.endswith("\\")
    return "\n".join(lines)


def functions(text):
    """The functions that are defined in it; lines count from 0."""
    lines = without_preprocessor(text).split("\n")
    found = []
    for body, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        first = body
        while first and lines[first - 1].strip() and \
                not re.search(r"[;}]\s*$", lines[first - 1]):
            first -= 1
        head = " ".join(lines[first:body])
        for match in re.finditer(r"(\w+)\s*\(", head):
            if match.group(1) not in _ATTRIBUTES:
                break
        else:
            continue
        before = head[:match.start()]
        last = body
        while last + 1 < len(lines) and lines[last].rstrip() != "}":
            last += 1
        found.append(Function(match.group(1),
                              bool(re.search(r"\bstatic\b", before)),
                              not re.search(r"\bvoid\s*$", before.rstrip()),
                              first, body, last))
    return found


def comment_above(text, line):
    """The comment that ends on the line above, or an empty string."""
    lines = text.split("\n")
    end = line - 1
    if end < 0 or not lines[end].rstrip().endswith("*/"):
        return ""
    start = end
    while start >= 0 and "/*" not in lines[start]:
        start -= 1
    if not lines[start].lstrip().startswith("/*"):
        return ""  # it belongs to the code before it
    return "\n".join(lines[start:end + 1])
