"""Build smbd: copy the source, patch it, configure if need be, make what changed.

    build_smbd.py REQUEST.json

The request names `source` (a folder, or "" for Debian's source package that the image carries),
`patches`, `configure`, `flags` (of the compiler), `tree` and `jobs`. The tree keeps waf's memory
(bin/), which goes by content: what is equal is not compiled again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lab.samba.inside import symbols
from lab.samba.inside.elf import build_id
from lab.samba.inside.talk import note, run, tell
from lab.samba.inside.tree import Failed, apply_patches, copy, output_of
from lab.samba.inside.unpacking import unpacked_debian

MARKS = ("source3/smbd/server.c", "wscript", "buildtools/bin/waf")
# waf's own, and what a build in the user's tree has left there
LEAVE_OUT = ("bin", ".git", ".lock-w*", ".lab-*", "*.pyc", "*__pycache__")
STAMP = ".lab-configured"
CONFIGURED = "bin/c4che/default_cache.py"
SMBD = "bin/smbd"
SYSTEM = ".lab-system"


def configure(tree: Path, request: dict[str, Any], env: dict[str, str]) -> bool:
    """Run ./configure if it has not run with these options; return whether it ran."""
    stamp = json.dumps([request["configure"], request["flags"], request["image"]])
    done = tree / STAMP
    if (tree / CONFIGURED).exists() and done.exists() and done.read_text() == stamp:
        return False
    done.unlink(missing_ok=True)
    tell("phase", name="configure")
    argv = ["./configure", *request["configure"]]
    print("$", *argv, flush=True)
    if run(argv, tree, env) != 0:
        tell("failed", phase="configure", text="./configure failed")
        raise SystemExit(1)
    done.write_text(stamp)
    return True


def closure(tree: Path) -> tuple[dict[str, list[str]], list[str]]:
    """What a running smbd needs: of the tree {as it is found: [where it lies, build id]}, and
    libraries of the system.

    waf leaves links in bin/ whose targets are only right where it was built.
    """
    _, said = output_of(["ldd", str(tree / SMBD)])
    missing = re.findall(r"^\s*(\S+) => not found", said, re.MULTILINE)
    if missing:
        raise Failed(f"smbd lacks libraries: {', '.join(missing)}")
    loaded = re.findall(r"(/\S+) \(0x", said)
    # Links are there before what they lead to is built.
    modules = [str(path) for path in sorted((tree / "bin/modules").rglob("*.so")) if path.exists()]
    found = [str(tree / SMBD), *modules, *(path for path in loaded if path.startswith(f"{tree}/"))]
    inside = {}
    for path in found:
        real = Path(path).resolve()
        name = os.path.relpath(path, tree)
        inside[name] = [os.path.relpath(real, tree), build_id(real.read_bytes())]
    return inside, [path for path in loaded if not path.startswith(f"{tree}/")]


def keep_system_libraries(tree: Path, paths: list[str]) -> None:
    """Lay copies of the system's libraries beside the tree: the node may lack some of them."""
    kept = tree / SYSTEM
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    for path in paths:
        if not re.search(r"/(ld-linux|libc\.so|libm\.so|libdl|libpthread)", path):
            shutil.copy2(Path(path).resolve(), kept / Path(path).name)


def main(argv: list[str]) -> int:
    """Build; the last thing told is the result."""
    request = json.loads(Path(argv[0]).read_text())
    tree = Path(request["tree"])
    env = {**os.environ, "CFLAGS": request["flags"], "PYTHONDONTWRITEBYTECODE": "1"}
    seconds: dict[str, float] = {}
    try:
        began = time.monotonic()
        tell("phase", name="copy")
        source = Path(request["source"]) if request["source"] else unpacked_debian("samba")
        copy(source, tree, LEAVE_OUT, MARKS)
        apply_patches(tree, map(Path, request["patches"]), note)
        seconds["copy"] = time.monotonic() - began

        began = time.monotonic()
        configured = configure(tree, request, env)
        seconds["configure"] = time.monotonic() - began if configured else 0.0

        began = time.monotonic()
        tell("phase", name="make")
        # SIGINT: waf then writes down what it has done, and the next build goes on from there.
        if run(["make", f"-j{request['jobs']}", SMBD], tree, env, signal.SIGINT) != 0:
            tell("failed", phase="make", text=f"make {SMBD} failed")
            return 1
        seconds["make"] = time.monotonic() - began
        files, system = closure(tree)
        keep_system_libraries(tree, system)
        symbols.write(tree, files)
    except Failed as error:
        tell("failed", phase="copy", text=str(error))
        return 1
    _, version = output_of([str(tree / SMBD), "--version"])
    tell(
        "result",
        version=version.strip().removeprefix("Version "),
        files=files,
        system=system,
        seconds=seconds,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
