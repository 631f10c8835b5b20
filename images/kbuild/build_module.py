"""Build ksmbd.ko: stage the sources, patch the copy, make, and say what came out.

    build_module.py --source DIR --headers DIR --work DIR --shown DIR [--patch FILE]...

Runs in the kbuild container as the user who called `lab`; --source is mounted read-only. What the
compiler says goes to stdout as it comes. Lines that begin with `LAB ` are JSON for `lab`: a note,
a failure, or what was built. --shown is the path of --source outside of the container, which debug
information and messages shall have.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import patching
import staging
from symbol_versions import dumped, mismatches

OPTIONS = (
    "CONFIG_SMB_SERVER=m",
    # Tells builds apart: Debian's kernels give no srcversion to their own modules.
    "CONFIG_MODULE_SRCVERSION_ALL=y",
    # Nobody here reads a module's BTF, and making it costs a second.
    "CONFIG_DEBUG_INFO_BTF_MODULES=",
)


def tell(kind: str, **what: Any) -> None:
    """Say something to `lab`."""
    print("LAB " + json.dumps({"kind": kind, **what}), flush=True)


class Failed(Exception):
    """A failure that `lab` has words for."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(detail)
        self.what = what


def stage(source: Path, work: Path, patches: list[Path]) -> tuple[Path, staging.Layout, list[str]]:
    """Bring the build tree up to date; return it, its layout and the files that changed."""
    try:
        layout = staging.layout_of(source)
        files = list(staging.files_of(source, layout))
        origin = source
        if patches:
            origin = work / "patched"
            shutil.rmtree(origin, ignore_errors=True)
            _copy(source, origin, files)
            _patch(origin, layout, patches)
            files = list(staging.files_of(origin, layout))
        changed = staging.synchronise(origin, work / "tree", files, work / "manifest")
    except staging.NotKsmbd as error:
        raise Failed("not-ksmbd", str(error)) from None
    except PermissionError as error:
        raise Failed("unreadable", f"{error.filename}: {error.strerror}") from None
    return work / "tree", layout, [str(path) for path in changed]


def _patch(origin: Path, layout: staging.Layout, patches: list[Path]) -> None:
    for patch in patches:
        try:
            applied = patching.apply(
                patch.name.partition("-")[2],  # mounted as NUMBER-NAME
                patch.read_text(encoding="utf-8", errors="surrogateescape"),
                origin,
                layout.server,
            )
        except patching.DoesNotApply as error:
            raise Failed("patch", str(error)) from None
        for note in applied.notes:
            tell("note", text=note)


def _copy(source: Path, target: Path, files: list[Path]) -> None:
    for inside in files:
        place = target / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((source / inside).read_bytes())


def compile_asn1(tree: Path, server: Path, headers: Path) -> None:
    """Make x.asn1.c and x.asn1.h of each x.asn1; Debian's headers have no compiler for it."""
    grammars = sorted(server.glob("*.asn1"))
    if not grammars:
        return
    compiler, code = tree / "asn1_compiler", tree / "scripts/asn1_compiler.c"
    ready = headers / "scripts/asn1_compiler"
    if ready.exists():
        compiler = ready
    elif not code.exists():
        raise Failed("not-ksmbd", "it has *.asn1 files but no scripts/asn1_compiler.c")
    elif not compiler.exists() or compiler.stat().st_mtime < code.stat().st_mtime:
        run(["gcc", "-O1", f"-I{tree}/include", "-o", str(compiler), str(code)])
    for grammar in grammars:
        made = [grammar.with_name(grammar.name + suffix) for suffix in (".c", ".h")]
        if not all(
            path.exists() and path.stat().st_mtime >= grammar.stat().st_mtime for path in made
        ):
            # The names that its output includes come from its own arguments: run it in place.
            run([str(compiler), grammar.name, made[0].name, made[1].name], cwd=server)


def run(argv: list[str], cwd: Path | None = None) -> None:
    """Run a step of the build; its output is ours."""
    if subprocess.run(argv, cwd=cwd, check=False, stderr=subprocess.STDOUT).returncode != 0:
        raise Failed("compile", f"{argv[0]} failed")


def make(server: Path, tree: Path, headers: Path, shown: str, jobs: str) -> None:
    """Run the kernel's build for the module."""
    # make hands them to a shell; a folder of the user's may have a space in its name
    maps = (f"-fdebug-prefix-map={tree}={shown}", f"-fmacro-prefix-map={tree}/=")
    flags = shlex.join(maps)
    run(
        [
            *("make", "--no-print-directory", f"-j{jobs}", "-C", str(headers)),
            *(f"M={server}", f"KCFLAGS={flags}", *OPTIONS, "modules"),
        ]
    )


def main(argv: list[str]) -> int:
    """Return 0 if there is a module, 1 if not; why is in the last `LAB` line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("source", "headers", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--shown", required=True)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--patch", type=Path, action="append", default=[])
    arguments = parser.parse_args(argv)
    begun = time.monotonic()
    marker = arguments.work / "building"
    try:
        if staging.drop_unfinished(arguments.work / "tree", marker):
            tell("note", text="the build before this one was interrupted; going on from there")
        tree, layout, changed = stage(arguments.source, arguments.work, arguments.patch)
        tell("staged", layout=layout.name, changed=changed)
        server = tree / layout.server
        built = server / "ksmbd.ko"
        built.unlink(missing_ok=True)  # the one of the last build is none of this one
        marker.touch()
        compile_asn1(tree, server, arguments.headers)
        make(server, tree, arguments.headers, arguments.shown, arguments.jobs)
        marker.unlink()
        if not built.exists():
            raise Failed("not-ksmbd", "the build made no ksmbd.ko")
        finish(built, arguments.work, arguments.headers)
    except Failed as error:
        if error.what == "compile":
            marker.unlink(missing_ok=True)  # make itself removes what it could not finish
        tell("failed", what=error.what, detail=str(error))
        return 1
    tell("done", seconds=round(time.monotonic() - begun, 2))
    return 0


def finish(built: Path, work: Path, headers: Path) -> None:
    """Lay out/ksmbd.ko (stripped) and out/ksmbd.debug.ko, and check the symbols' versions."""
    out = work / "out"
    out.mkdir(exist_ok=True)
    shutil.copyfile(built, out / "ksmbd.debug.ko")
    run(["objcopy", "--strip-debug", str(built), str(out / "ksmbd.ko")])
    table = headers / "Module.symvers"
    if not table.exists():
        return
    versions = dumped(
        subprocess.run(
            ["modprobe", "--dump-modversions", str(out / "ksmbd.ko")],
            capture_output=True, text=True, check=False,
        ).stdout
    )  # fmt: skip
    wrong = mismatches(versions, table.read_text())
    if wrong:
        raise Failed("versions", "\n".join(wrong))


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
