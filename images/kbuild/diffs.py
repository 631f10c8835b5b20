"""Read patches: into mails, and these into what they say about each file.

A hunk ends where its `@@` line says, so that neither a signature nor another mail becomes part of
it. What a patch says is never dropped silently: a hunk that is cut off is an error, and so is a
file without a change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_GIT = "diff --git "
# What may stand between `diff --git` and the first hunk.
_HEAD = (
    *("old mode ", "new mode ", "new file mode ", "deleted file mode "),
    *("similarity index ", "dissimilarity index "),
    *("rename from ", "rename to ", "copy from ", "copy to "),
    *("index ", "--- ", "+++ ", "Binary files ", "GIT binary patch"),
)
_BINARY = ("Binary files ", "GIT binary patch")
_WHOLE = ("rename to ", "copy to ", "new mode ", "new file mode ", "deleted file mode ")
_EMPTY = "e69de29"  # git's name of an empty file's content
# Which side a line names, and the folder that it leaves out.
_NAMES = {
    **{"rename from ": ("--- ", "a/"), "copy from ": ("--- ", "a/"), "--- ": ("--- ", "")},
    **{"rename to ": ("+++ ", "b/"), "copy to ": ("+++ ", "b/"), "+++ ": ("+++ ", "")},
}
_AT = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
# How diff -N says that a file is not there, in any time zone.
_EPOCH = re.compile(r"\t(1970-01-01|1969-12-31) ")
NONE = "/dev/null"


class Malformed(Exception):
    """It is not what git or diff -u writes."""


@dataclass(frozen=True)
class Section:
    """What a patch says about one file: names as they are written, head, and hunks."""

    old: str
    new: str
    head: tuple[str, ...]
    hunks: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What the file is called, its new name first."""
        known = (self.new, self.old)
        return tuple(dict.fromkeys(name for name in known if name != NONE))

    @property
    def made(self) -> bool:
        """Whether the file is new."""
        return self.old == NONE or self._says("new file mode ")

    @property
    def gone(self) -> bool:
        """Whether the file is deleted."""
        return self.new == NONE or self._says("deleted file mode ")

    @property
    def moved(self) -> bool:
        """Whether the file is made from another one."""
        return self.copied or self._says("rename from ")

    @property
    def copied(self) -> bool:
        """Whether the other one stays."""
        return self._says("copy from ")

    @property
    def binary(self) -> bool:
        """Whether its lines cannot be read."""
        return self._says(*_BINARY)

    @property
    def empty(self) -> bool:
        """Whether it changes nothing: hunks are missing that its head promises."""
        if self.hunks or self.binary:
            return False
        content = any(line.startswith("index ") and _EMPTY not in line for line in self.head)
        return content or not self._says(*_WHOLE)

    def _says(self, *starts: str) -> bool:
        return any(line.startswith(starts) for line in self.head)


def mails(text: str) -> list[list[Section]]:
    """Split a patch into mails, and each into its files; raise Malformed.

    Anything between two diffs parts mails, also a file's second diff: renames and copies tell of
    files as they were before the mail.
    """
    lines = text.removesuffix("\n").split("\n")
    found: list[list[Section]] = []
    at, fresh = 0, True
    while at < len(lines):
        begin, at = at, _head_end(lines, at)
        if begin == at:
            if _AT.match(lines[at]):
                raise Malformed(f"line {at + 1}: a hunk without the name of its file")
            at, fresh = at + 1, True
            continue
        head = lines[begin:at]
        old, new = _names(head)
        hunks, at = _hunks(lines, at, old if new == NONE else new)
        section = Section(old, new, tuple(head), tuple(hunks))
        if section.empty:
            raise Malformed(f"{section.names[0]}: no change follows its name")
        if fresh or any(new == before.new for before in found[-1]):
            found.append([])
        found[-1].append(section)
        fresh = False
    return found


def _head_end(lines: list[str], at: int) -> int:
    """Where the head ends that begins at a line; that line itself if none does."""
    if lines[at].startswith(_GIT):
        end = at + 1
        while end < len(lines) and lines[end].startswith(_HEAD):
            end += 1
        return end
    marks = ("--- ", "+++ ", "@@ ")
    here = lines[at : at + len(marks)]
    plain = len(here) == len(marks) and all(map(str.startswith, here, marks))
    return at + 2 if plain else at


def _hunks(lines: list[str], at: int, name: str) -> tuple[list[str], int]:
    """Return the hunks that begin at a line, and where they end."""
    hunks: list[str] = []
    while at < len(lines) and (mark := _AT.match(lines[at])):
        end = _hunk_end(lines, at + 1, *(int(count or 1) for count in mark.groups()))
        if end is None:
            raise Malformed(
                f"{name}: hunk {len(hunks) + 1} has not as many lines as its @@ line says; "
                "it is cut off, or was edited by hand"
            )
        hunks.append("\n".join(lines[at:end]))
        at = end
    return hunks, at


def _hunk_end(lines: list[str], at: int, old: int, new: int) -> int | None:
    """Where a hunk with so many lines of both sides ends; None if it has others."""
    while at < len(lines):
        kind = lines[at][:1] or " "  # mailers take the space from an empty line
        if kind != "\\":  # no newline at the end
            if kind not in " +-" or (old <= 0 and new <= 0):
                break
            old -= kind != "+"
            new -= kind != "-"
        at += 1
    after = lines[at] if at < len(lines) else ""
    more = after.startswith("+") or (after.startswith("-") and not after.startswith("--"))
    return None if (old, new) != (0, 0) or more else at


def _names(head: list[str]) -> tuple[str, str]:
    """Return the old and the new name, each with the first folder that git or the user gave it."""
    both = head[0].removeprefix(_GIT)
    # Without other lines both are the same name, in which there may be spaces.
    middle = both.find(" ") if both.count(" ") == 1 else len(both) // 2
    names = {"--- ": both[:middle], "+++ ": both[middle + 1 :]}
    for line in head:
        for start, (side, first) in _NAMES.items():
            if line.startswith(start):
                name = line.removeprefix(start)
                names[side] = NONE if _EPOCH.search(name) else first + name.partition("\t")[0]
    return names["--- "].strip('"'), names["+++ "].strip('"')
