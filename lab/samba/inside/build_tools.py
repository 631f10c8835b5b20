"""Build ksmbd-tools: copy the source, autogen.sh, configure, make.

    build_tools.py REQUEST.json

The request names `source` (a folder), `tree` and `jobs`. The result is one program: ksmbd.mountd
and its siblings are links to it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lab.samba.inside.elf import build_id
from lab.samba.inside.talk import run, tell
from lab.samba.inside.tree import Failed, copy, output_of

MARKS = ("configure.ac", "tools/tools.c", "mountd/mountd.c")
# What autogen.sh, configure and make leave behind stays in the copy.
LEAVE_OUT = (
    *(".git", ".lab-*", "*.o", "*.a", "*.lo", "*.la", "*/.libs", "*/.deps", "autom4te.cache"),
    *("configure", "config.*", "libtool", "ltmain.sh", "aclocal.m4", "stamp-h1"),
    *("*Makefile", "*Makefile.in", "ar-lib", "compile", "depcomp", "install-sh", "missing"),
    *("tools/ksmbd.tools", "*.service"),
)
CONFIGURE = ("--prefix=/usr", "--sysconfdir=/etc", "--with-rundir=/run", "--disable-krb5")
PROGRAM = "tools/ksmbd.tools"


def options(tree: Path) -> list[str]:
    """The lab's options that this configure knows: Kerberos can be left out in some versions."""
    _, known = output_of(["./configure", "--help"], tree)
    krb5 = "--enable-krb5" in known or "--disable-krb5" in known
    return [option for option in CONFIGURE if krb5 or option != "--disable-krb5"]


def steps(tree: Path) -> Iterator[list[str]]:
    """What makes the Makefile. Each is asked for when the one before it is done: configure tells
    what it knows once autogen.sh has made it."""
    yield ["sh", "./autogen.sh"]
    yield ["./configure", *options(tree)]


def main(arguments: list[str]) -> int:
    """Build; the last thing told is the result."""
    request = json.loads(Path(arguments[0]).read_text())
    tree = Path(request["tree"])
    began = time.monotonic()
    try:
        tell("phase", name="copy")
        copy(Path(request["source"]), tree, LEAVE_OUT, MARKS)
        if not (tree / "Makefile").exists():
            tell("phase", name="configure")
            for argv in steps(tree):
                print("$", *argv, flush=True)
                if run(argv, tree, os.environ) != 0:
                    tell("failed", phase="configure", text=f"{' '.join(argv)} failed")
                    return 1
        tell("phase", name="make")
        if run(["make", f"-j{request['jobs']}"], tree, os.environ) != 0:
            tell("failed", phase="make", text="make failed")
            return 1
        program = tree / PROGRAM
        if not program.is_file():
            raise Failed(f"make has not made {PROGRAM}: is this a ksmbd-tools of before 3.4.3?")
    except Failed as error:
        tell("failed", phase="copy", text=str(error))
        return 1
    said = output_of([str(program)])[1] + (tree / "include/version.h").read_text()
    version = re.search(r'KSMBD_TOOLS_VERSION "([^"]+)"', said)
    tell(
        "result",
        version=version[1] if version else "",
        build_id=build_id(program.read_bytes()),
        seconds=time.monotonic() - began,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
