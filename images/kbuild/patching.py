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

from diffs import NONE, Malformed, Section, mails

_HUNK = re.compile(r"^Hunk #(\d+) FAILED at (\d+)", re.MULTILINE)
_FUZZ = re.compile(r"^Hunk #\d+ succeeded at .*$", re.MULTILINE)


def _shown(text: str) -> str:
    """A patch's own words as they can be printed, whatever bytes it has."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class DoesNotApply(Exception):
    """A patch of the series does not apply; the message names file and hunk."""

    def __init__(self, words: str) -> None:
        super().__init__(_shown(words))


@dataclass(frozen=True)
class Applied:
    """What came of one patch; `notes` are words for the user."""

    files: tuple[str, ...]
    notes: tuple[str, ...]


def _below(name: str) -> PurePosixPath:
    """A file's name without the folder that git puts before it."""
    path = PurePosixPath(name)
    return PurePosixPath(*path.parts[1:]) if path.parts[0] in ("a", "b") else path


def place(section: Section, root: Path, server: str) -> str | None:
    """Return where in the tree a section's file is, None if the tree has no part of it.

    A patch for a kernel tree fits an out-of-tree ksmbd, and the other way round, when the part of
    the path that differs is taken off or put in front.
    """
    for name in (section.new, section.old):
        path = PurePosixPath(name)
        below = _below(name)
        candidates = [below, path, PurePosixPath(server) / below]
        if below.parts[:3] == ("fs", "smb", "server"):
            candidates.append(PurePosixPath(*below.parts[3:]))
        for candidate in candidates:
            if (root / candidate).is_file():
                return str(candidate)
        # A new file: its folder must be there.
        if name == section.new and section.made:
            for candidate in candidates:
                # At the root there are ksmbd's own files only where ksmbd is all of the tree.
                ours = server == "." or candidate.parent != PurePosixPath(".")
                if ours and (root / candidate).parent.is_dir():
                    return str(candidate)
    return None


def rewritten(section: Section, path: str) -> str:
    """Return a section's text with `path` as its file, both sides."""
    ours = {
        "diff --git ": f"a/{path} b/{path}",
        "--- ": NONE if section.made else f"a/{path}",
        "+++ ": NONE if section.gone else f"b/{path}",
    }
    head = [
        next((start + ours[start] for start in ours if line.startswith(start)), line)
        for line in section.head
    ]
    return "".join(f"{line}\n" for line in (*head, *section.hunks))


def _run(argv: list[str], root: Path, text: str) -> subprocess.CompletedProcess[str]:
    # A patch may have bytes that are no UTF-8; they go through as they came.
    return subprocess.run(
        argv, cwd=root, input=text, capture_output=True, check=False,
        encoding="utf-8", errors="surrogateescape",
    )  # fmt: skip


def apply(name: str, text: str, root: Path, server: str) -> Applied:
    """Apply one patch to the tree at `root`; raise DoesNotApply."""
    try:
        found = mails(text)
    except Malformed as error:
        raise DoesNotApply(f"{name}: {error}") from None
    if not found:
        raise DoesNotApply(f"{name}: there is no diff in it")
    files: list[str] = []
    notes: list[str] = []
    for mail in found:
        todo = {}
        for section in mail:
            path = place(section, root, server)
            if path is None:
                notes.append(f"{name}: left out {_below(section.new)}, no part of ksmbd's build")
            else:
                todo[path] = section
        notes += _applied(name, todo, root)
        files += todo
    if not files:
        raise DoesNotApply(f"{name}: it changes no file of ksmbd")
    return Applied(tuple(dict.fromkeys(files)), tuple(map(_shown, notes)))


def _applied(name: str, todo: dict[str, Section], root: Path) -> list[str]:
    """Apply one mail's part, exactly or else forgiving; return what had to be forgiven."""
    parts = {path: rewritten(section, path) for path, section in todo.items()}
    if (
        not parts
        or _run(["git", "apply", "-p1", "-"], root, "".join(parts.values())).returncode == 0
    ):
        return []
    notes = []
    for path, part in parts.items():
        # More fuzz than one line finds a place for nearly every hunk, and often the wrong one.
        argv = ["patch", "-p1", "--forward", "--fuzz=1", "--no-backup-if-mismatch", "-r", "-"]
        done = _run(argv, root, part)
        if done.returncode != 0:
            raise DoesNotApply(_why(name, path, todo[path].hunks, done.stdout + done.stderr))
        notes += [f"{name}: {path}: {line}" for line in _FUZZ.findall(done.stdout)]
    return notes


def _why(name: str, path: str, hunks: tuple[str, ...], said: str) -> str:
    failed = [(int(number), line) for number, line in _HUNK.findall(said)]
    if not failed:
        if "previously applied" in said or "Reversed" in said:
            return f"{name}: {path}: it seems to be applied already"
        return f"{name}: {path}: {said.strip().splitlines()[-1] if said.strip() else 'refused'}"
    words = ", ".join(f"hunk {number} (line {line})" for number, line in failed)
    shown = hunks[failed[0][0] - 1].rstrip() if failed[0][0] <= len(hunks) else ""
    return f"{name}: {path}: {words} of {len(hunks)} does not apply; the first is\n{shown}"
