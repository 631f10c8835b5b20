"""Apply a series of patches to a copy of a source tree, and say which hunk does not fit.

`git apply` first: exact, and it knows everything that git writes. Then patch(1), which forgives a
context that moved. What a patch does outside of ksmbd's part of the tree (documentation, another
subsystem) is left out and named: the copy does not have those files.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_FILE = re.compile(r"^diff --git a/(\S+) b/(\S+)$", re.MULTILINE)
_PLAIN = re.compile(r"^--- (\S+).*\n\+\+\+ (\S+)", re.MULTILINE)
_NEW = re.compile(r"^--- /dev/null\b", re.MULTILINE)
_HUNK = re.compile(r"^Hunk #(\d+) FAILED at (\d+)", re.MULTILINE)
_FUZZ = re.compile(r"^Hunk #\d+ succeeded at .*$", re.MULTILINE)


class DoesNotApply(Exception):
    """A patch of the series does not apply; the message names file and hunk."""


@dataclass(frozen=True)
class Section:
    """What a patch says about one file."""

    old: str
    new: str
    text: str


@dataclass(frozen=True)
class Applied:
    """What came of one patch; `notes` are words for the user."""

    files: tuple[str, ...]
    notes: tuple[str, ...]


def sections(text: str) -> list[Section]:
    """Split a patch, as git or diff -u wrote it, into its files; mail around it is dropped."""
    marks = list(_FILE.finditer(text)) or list(_PLAIN.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), _end(text)]
    return [
        Section(mark.group(1), mark.group(2), text[mark.start() : end])
        for mark, end in zip(marks, ends, strict=False)
    ]


def _end(text: str) -> int:
    """Where the last file's part ends: at a mail's signature, if there is one."""
    found = re.search(r"^-- \n", text, re.MULTILINE)
    return found.start() if found else len(text)


def place(section: Section, root: Path, server: str) -> str | None:
    """Return where in the tree a section's file is, None if the tree has no part of it.

    A patch for a kernel tree fits an out-of-tree ksmbd, and the other way round, when the part of
    the path that differs is taken off or put in front.
    """
    for name in (section.new, section.old):
        path = PurePosixPath(name)
        below = PurePosixPath(*path.parts[1:]) if path.parts[0] in ("a", "b") else path
        candidates = [below, path, PurePosixPath(server) / below]
        if below.parts[:3] == ("fs", "smb", "server"):
            candidates.append(PurePosixPath(*below.parts[3:]))
        for candidate in candidates:
            if (root / candidate).is_file():
                return str(candidate)
        # A new file: its folder must be there.
        if name == section.new and _NEW.search(section.text.partition("\n@@")[0]):
            for candidate in candidates:
                # At the root there are ksmbd's own files only where ksmbd is all of the tree.
                ours = server == "." or candidate.parent != PurePosixPath(".")
                if ours and (root / candidate).parent.is_dir():
                    return str(candidate)
    return None


def rewritten(section: Section, path: str) -> str:
    """Return a section's text with `path` as its file, both sides."""
    lines = section.text.split("\n")
    head = next((i for i, line in enumerate(lines) if line.startswith("@@")), len(lines))
    for index, line in enumerate(lines[:head]):
        if line.startswith("diff --git "):
            lines[index] = f"diff --git a/{path} b/{path}"
        elif line.startswith("--- ") and "/dev/null" not in line:
            lines[index] = f"--- a/{path}"
        elif line.startswith("+++ ") and "/dev/null" not in line:
            lines[index] = f"+++ b/{path}"
    return "\n".join(lines)


def _run(argv: list[str], root: Path, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=root, input=text, text=True, capture_output=True, check=False)


def apply(name: str, text: str, root: Path, server: str) -> Applied:
    """Apply one patch to the tree at `root`; raise DoesNotApply."""
    found = sections(text)
    if not found:
        raise DoesNotApply(f"{name}: there is no diff in it")
    files, notes, todo = [], [], []
    for section in found:
        path = place(section, root, server)
        if path is None:
            notes.append(f"{name}: left out {section.new}, no part of ksmbd's build")
        else:
            files.append(path)
            todo.append(rewritten(section, path))
    if not todo:
        raise DoesNotApply(f"{name}: it changes no file of ksmbd")
    whole = "".join(part if part.endswith("\n") else part + "\n" for part in todo)
    if _run(["git", "apply", "-p1", "-"], root, whole).returncode != 0:
        notes += _forgiving(name, files, todo, root)
    return Applied(tuple(files), tuple(notes))


def _forgiving(name: str, files: list[str], todo: list[str], root: Path) -> list[str]:
    """Apply with patch(1), file by file; return what it had to forgive."""
    notes = []
    for path, part in zip(files, todo, strict=True):
        # More fuzz than one line finds a place for nearly every hunk, and often the wrong one.
        argv = ["patch", "-p1", "--forward", "--fuzz=1", "--no-backup-if-mismatch", "-r", "-"]
        done = _run(argv, root, part if part.endswith("\n") else part + "\n")
        if done.returncode != 0:
            raise DoesNotApply(_why(name, path, part, done.stdout + done.stderr))
        notes += [f"{name}: {path}: {line}" for line in _FUZZ.findall(done.stdout)]
    return notes


def _why(name: str, path: str, part: str, said: str) -> str:
    hunks = ["@@" + text for text in re.split(r"^@@", part, flags=re.MULTILINE)[1:]]
    failed = [(int(number), line) for number, line in _HUNK.findall(said)]
    if not failed:
        if "previously applied" in said or "Reversed" in said:
            return f"{name}: {path}: it seems to be applied already"
        return f"{name}: {path}: {said.strip().splitlines()[-1] if said.strip() else 'refused'}"
    words = ", ".join(f"hunk {number} (line {line})" for number, line in failed)
    shown = hunks[failed[0][0] - 1].rstrip() if failed[0][0] <= len(hunks) else ""
    return f"{name}: {path}: {words} of {len(hunks)} does not apply; the first is\n{shown}"
