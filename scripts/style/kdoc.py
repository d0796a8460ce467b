# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
"""Every function of the driver that is not static has kernel-doc, with its
context, and with what it returns unless that is nothing."""
import re
import sys

import csource

# With the part of the driver that they are appended to, each has to be found.
FAULTS = {
    "no kernel-doc": "int tvq_planted(int a)\n{\n\treturn a;\n}\n",
    "an ordinary comment":
        "/* tvq_planted() - no kernel-doc */\n"
        "int tvq_planted(int a)\n{\n\treturn a;\n}\n",
    "no context":
        "/**\n * tvq_planted() - a fault\n * @a: any\n *\n * Return: 0.\n */\n"
        "int tvq_planted(int a)\n{\n\treturn a;\n}\n",
    "no return":
        "/**\n * tvq_planted() - a fault\n * @a: any\n *\n"
        " * Context: any.\n */\n"
        "struct tvq_device *tvq_planted(int a,\n\t\t\t\tint b)\n"
        "{\n\treturn NULL;\n}\n",
    "another function's comment":
        "/**\n * tvq_other() - a fault\n *\n * Context: any.\n */\n"
        "void tvq_planted(void)\n{\n}\n",
}


def check(path, text):
    findings = []
    for fn in csource.functions(text):
        if fn.static:
            continue
        comment = csource.comment_above(text, fn.first)
        missing = []
        if not comment.startswith("/**"):
            missing.append("kernel-doc")
        else:
            if not re.search(r"^ \* %s\(\) - \S" % fn.name, comment, re.M):
                missing.append('"%s() - "' % fn.name)
            if not re.search(r"^ \* Context: \S", comment, re.M):
                missing.append('"Context:"')
            if fn.returns and not re.search(r"^ \* Return: \S", comment, re.M):
                missing.append('"Return:"')
        for what in missing:
            findings.append("%s:%d: %s() has no %s" %
                            (path, fn.first + 1, fn.name, what))
    return findings


def main():
    sources = {path: text for path, text in csource.load().items()
               if path.startswith("drivers/") and path.endswith(".c")}
    findings = []
    for what, fault in FAULTS.items():
        for path, text in sources.items():
            if not any("tvq_planted" in line
                       for line in check(path, text + "\n" + fault)):
                findings.append("checker is blind: %s in %s" % (what, path))
    if not any(not fn.static for text in sources.values()
               for fn in csource.functions(text)):
        findings.append("checker is blind: it finds no function at all")
    for path, text in sources.items():
        findings += check(path, text)
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


sys.exit(main())
