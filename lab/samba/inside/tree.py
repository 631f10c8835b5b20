"""Bring a source tree to where it is built, and patch it. The user's tree is only read.

Times are kept and nothing is touched that is equal, so the build system sees only what changed.
Patches are applied anew each time: what they changed comes back from the source first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

Say = Callable[[str], None]


class Failed(Exception):
    """Something that the user must know; its text is shown."""


def output_of(argv: Sequence[str], cwd: Path | None = None) -> tuple[int, str]:
    """Run to the end; return the exit code and what was said on both streams."""
    ran = subprocess.run(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return ran.returncode, ran.stdout.decode(errors="replace")


def copy(source: Path, tree: Path, leave_out: Iterable[str], marks: Sequence[str]) -> None:
    """Make `tree` as `source` is; a file of equal size and time is taken for equal.

    `leave_out` are patterns of paths (fnmatch) that are neither copied nor removed; `marks` are
    files that tell that it is the right kind of tree.
    """
    missing = [mark for mark in marks if not (source / mark).exists()]
    if missing:
        raise Failed(f"the source is not what it should be: it lacks {', '.join(missing)}")
    patterns = tuple(leave_out)
    tree.mkdir(parents=True, exist_ok=True)
    try:
        _mirror(source, tree, "", patterns)
    except OSError as error:
        raise Failed(f"the source cannot be copied: {error.filename}: {error.strerror}") from None


def _mirror(source: Path, target: Path, below: str, leave_out: tuple[str, ...]) -> None:
    def kept(name: str) -> bool:
        return not any(fnmatch(below + name, pattern) for pattern in leave_out)

    wanted = {entry.name: entry for entry in os.scandir(source) if kept(entry.name)}
    present = {entry.name: entry for entry in os.scandir(target) if kept(entry.name)}
    for name, there in present.items():
        if name not in wanted or _kind(wanted[name]) != _kind(there):
            _remove(there)
    for name, entry in wanted.items():
        place = target / name
        if entry.is_symlink():
            link = os.readlink(entry.path)
            if not place.is_symlink() or os.readlink(place) != link:
                place.unlink(missing_ok=True)
                place.symlink_to(link)
        elif entry.is_dir():
            place.mkdir(exist_ok=True)
            _mirror(Path(entry.path), place, f"{below}{name}/", leave_out)
        elif entry.is_file() and not _equal(entry, place):
            # Not over the old file: it may be one that its mode protects.
            place.unlink(missing_ok=True)
            shutil.copy2(entry.path, place)


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    return (entry.is_symlink(), entry.is_dir(follow_symlinks=False))


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)


def _equal(entry: os.DirEntry[str], place: Path) -> bool:
    try:
        there = place.stat()
    except FileNotFoundError:
        return False
    here = entry.stat()
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def apply_patches(tree: Path, patches: Iterable[Path], say: Say) -> None:
    """Apply each with patch -p1; Failed names the first hunk that does not fit."""
    for patch in patches:
        argv = ["patch", "-p1", "--forward", "--no-backup-if-mismatch", "--reject-file=-"]
        code, said = output_of([*argv, f"--input={patch}"], tree)
        if code != 0:
            raise Failed(explain_patch(name_of(patch), said))
        files = re.findall(r"^patching file (.+)$", said, re.MULTILINE)
        say(f"patch {name_of(patch)}: {', '.join(files)}")


def name_of(patch: Path) -> str:
    """A patch as the user calls it: it was mounted as NUMBER-name."""
    return patch.name.partition("-")[2] or patch.name


def explain_patch(name: str, said: str) -> str:
    """What patch(1) said, as one sentence with file and hunk."""
    file = ""
    for line in said.splitlines():
        if match := re.match(r"(?:patching|checking) file (.+?)(?: \(.*\))?$", line):
            file = match[1]
        elif match := re.match(r"Hunk #(\d+) FAILED at (\d+)", line):
            return f"patch {name} does not apply: hunk #{match[1]} of {file}, at line {match[2]}"
        elif "previously applied" in line:
            return f"patch {name} is in the source already (or reversed): {file}"
        elif match := re.match(r"can't find file to patch at input line (\d+)", line):
            wanted = re.findall(r"^\|(?:---|\+\+\+) (\S+)", said, re.MULTILINE)
            return f"patch {name} is for a file that is not there: {' '.join(wanted[-1:])}"
    return f"patch {name} does not apply:\n{_last(said, 5)}"


def _last(said: str, count: int) -> str:
    return "\n".join(line for line in said.splitlines()[-count:])
