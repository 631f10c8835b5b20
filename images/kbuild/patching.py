"""Apply a series of patches to a copy of a source tree, and say which hunk does not fit.

`git apply` first: exact, and it knows everything that git writes. Then patch(1), which forgives a
context that moved. What a patch does outside of ksmbd's part of the tree (documentation, another
subsystem) is left out and named: the copy does not have those files.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import staging
from diffs import NONE, Malformed, Section, mails

# ksmbd's own folder in a kernel, and the one that it shares with the client.
_FOLDERS = {
    "fs/smb/server": ("fs/smb/server", "fs/smb/common"),
    "fs/ksmbd": ("fs/ksmbd", "fs/smbfs_common"),
}
# What an out-of-tree ksmbd has not at its top, and what both have there.
_KERNEL = (
    *("arch", "block", "certs", "crypto", "Documentation", "drivers", "fs", "include", "init"),
    *("io_uring", "ipc", "kernel", "lib", "LICENSES", "mm", "net", "rust", "samples", "scripts"),
    *("security", "sound", "tools", "usr", "virt"),
)
_BOTH = ("Makefile", "Kconfig")

_REMEDY = "git format-patch --no-renames makes a patch that can be applied"
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


@dataclass(frozen=True)
class Tree:
    """The tree that is patched: where ksmbd is in it, and whether the patch is of ksmbd alone."""

    root: Path
    server: str
    alone: bool = False

    @property
    def home(self) -> Path:
        """ksmbd's own folder."""
        return self.root / self.server

    def has(self, path: PurePosixPath | str) -> bool:
        """Tell whether there is such a file."""
        return (self.root / path).is_file()

    def shown(self, name: str) -> str:
        """A file's name for the user, without the folder before it."""
        return str(_readings(name, self.home)[0])

    def place(self, name: str, *, made: bool) -> str | None:
        """Return where a file of a patch is, or would be; None if it is no part of ksmbd's build.

        A path says by itself that it is ksmbd's, or a file of that name is in the tree. At the top
        there are ksmbd's files only in a patch of ksmbd alone: the kernel has a Makefile, too.
        """
        readings = _readings(name, self.home)
        path = _own(name, self.server)
        if path is None:
            there = [each for each in readings if len(each.parts) > 1]
            there += [PurePosixPath(self.server, each) for each in readings if self.alone]
            path = next((each for each in there if self.has(each)), None)
        if path is None and self.alone and (made or self.server == "."):
            path = PurePosixPath(self.server, readings[0])
        return str(path) if path and staging.is_source(Path(path)) else None


def _readings(name: str, home: Path) -> list[PurePosixPath]:
    """A file's name without its first folder, and with it; the likelier one first.

    The first folder is a/ or w/ of git's or the user's linux-6.12.orig/, but with git's noprefix
    it may be ksmbd's own.
    """
    path = PurePosixPath(name)
    if len(path.parts) == 1:
        return [path]
    both = [PurePosixPath(*path.parts[1:]), path]
    return both[::-1] if (home / path.parts[0]).is_dir() else both


def _own(name: str, server: str) -> PurePosixPath | None:
    """Return where a kernel's path into ksmbd's folders leads in the tree; None if it is none.

    What stands before them does not matter: `diff -ur` may have been given whole paths.
    """
    # An out-of-tree ksmbd has no common folder.
    here = _FOLDERS.get(server, (server,))
    pairs = [pair for there in _FOLDERS.values() for pair in zip(there, here, strict=False)]
    parts = PurePosixPath(name).parts
    for path in (PurePosixPath(*parts[at:]) for at in range(len(parts))):
        for kernels, ours in pairs:
            if path.is_relative_to(kernels):
                return PurePosixPath(ours, path.relative_to(kernels))
    return None


def is_alone(sections: list[Section], tree: Tree) -> bool:
    """Tell whether a patch is of an out-of-tree ksmbd, whose files stand at the top."""
    names = [(name, section.made) for section in sections for name in section.names]
    paths = [(path, made) for name, made in names for path in _readings(name, tree.home)]
    tops = {path.parts[0] for path, _ in paths}
    if any(top in _KERNEL and not (tree.home / top).is_dir() for top in tops):
        return False
    if any(_own(name, tree.server) for name, _ in names):
        return False
    return tree.server == "." or any(
        (tree.home / path.parent).is_dir() if made else (tree.home / path).is_file()
        for path, made in paths
        if path.name not in _BOTH
    )


@dataclass(frozen=True)
class Part:
    """A section whose file was found in the tree; `source` is what it is renamed or copied from."""

    path: str
    source: str
    section: Section

    @property
    def text(self) -> str:
        """The section with the tree's paths, as `git apply` and patch(1) take it."""
        ours = {
            "diff --git ": f"a/{self.source} b/{self.path}",
            "--- ": NONE if self.section.made else f"a/{self.source}",
            "+++ ": NONE if self.section.gone else f"b/{self.path}",
            **{"rename from ": self.source, "copy from ": self.source},
            **{"rename to ": self.path, "copy to ": self.path},
        }
        head = [
            next((start + ours[start] for start in ours if line.startswith(start)), line)
            for line in self.section.head
        ]
        return "".join(f"{line}\n" for line in (*head, *self.section.hunks))


def fitted(section: Section, tree: Tree) -> Part | None:
    """Return a section with its place in the tree, None if the tree has no part of it."""
    if section.moved:
        return _moved(section, tree)
    places = [tree.place(name, made=section.made) for name in section.names]
    ours = [path for path in places if path]
    if not ours:
        return None
    path = next((path for path in ours if tree.has(path)), ours[0])
    if not section.made and not tree.has(path):
        raise DoesNotApply(f"{path}: the source has no such file")
    if section.binary or "\\" in path:
        raise DoesNotApply(f"{path}: neither a binary file nor a quoted name is taken")
    return Part(path, path, section)


def _moved(section: Section, tree: Tree) -> Part | None:
    source, path = tree.place(section.old, made=False), tree.place(section.new, made=True)
    if path is None and (source is None or section.copied):
        return None
    if path is None or source is None:
        shown = [tree.shown(name) for name in section.names]
        raise DoesNotApply(
            f"{shown[0]}: it is made from {shown[1]}, and one of them is no part of ksmbd's build; "
            + _REMEDY
        )
    return Part(path, source, section)


def _run(argv: list[str], root: Path, text: str) -> subprocess.CompletedProcess[str]:
    # Below a repository of somebody else's, git apply would pass over all files without a word.
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(root.resolve().parent)}
    # A patch may have bytes that are no UTF-8; they go through as they came.
    return subprocess.run(
        argv, cwd=root, env=environ, input=text, capture_output=True, check=False,
        encoding="utf-8", errors="surrogateescape",
    )  # fmt: skip


def apply(name: str, text: str, root: Path, server: str) -> Applied:
    """Apply one patch to the tree at `root`; raise DoesNotApply."""
    try:
        found = mails(text)
        if not found:
            raise DoesNotApply("there is no diff in it")
        tree = Tree(root, server)
        tree = replace(tree, alone=is_alone([section for mail in found for section in mail], tree))
        files: list[str] = []
        notes: list[str] = []
        for mail in found:
            more = _apply(mail, tree)
            files += more.files
            notes += more.notes
        if not files:
            raise DoesNotApply("it changes no file of ksmbd")
    except (Malformed, DoesNotApply) as error:
        raise DoesNotApply(f"{name}: {error}") from None
    return Applied(tuple(dict.fromkeys(files)), tuple(_shown(f"{name}: {note}") for note in notes))


def _apply(mail: list[Section], tree: Tree) -> Applied:
    """Apply one mail, exactly or else forgiving."""
    fits = [(section, fitted(section, tree)) for section in mail]
    parts = [part for _, part in fits if part]
    notes = [
        f"left out {tree.shown(section.names[0])}, no part of ksmbd's build"
        for section, part in fits
        if part is None
    ]
    if parts:
        exact = _run(["git", "apply", "-p1", "-"], tree.root, "".join(part.text for part in parts))
        if exact.returncode != 0:
            for part in parts:
                notes += _forgiving(part, tree, exact.stderr)
    return Applied(tuple(part.path for part in parts), tuple(notes))


def _forgiving(part: Part, tree: Tree, said: str) -> list[str]:
    """Apply a file's part with patch(1); return what had to be forgiven."""
    if part.section.moved:
        why = said.partition("\n")[0].removeprefix("error: ")
        raise DoesNotApply(
            f"{part.path}: it is made from {part.source}, for which all of the patch must fit "
            f"exactly, and it does not ({why}); {_REMEDY}"
        )
    if part.section.made and tree.has(part.path):
        raise DoesNotApply(
            f"{part.path}: the patch makes this file, but the source has it; is it applied already?"
        )
    # More fuzz than one line finds a place for nearly every hunk, and often the wrong one.
    argv = ["patch", "-p1", "--forward", "--fuzz=1", "--no-backup-if-mismatch", "-r", "-"]
    done = _run(argv, tree.root, part.text)
    if done.returncode != 0:
        raise DoesNotApply(f"{part.path}: {_why(part, done.stdout + done.stderr)}")
    return [f"{part.path}: {line}" for line in _FUZZ.findall(done.stdout)]


def _why(part: Part, said: str) -> str:
    if part.section.gone:
        return "the patch deletes this file, but the source's is not the one that it knows"
    hunks = part.section.hunks
    failed = [(int(number), line) for number, line in _HUNK.findall(said)]
    if not failed:
        if "previously applied" in said or "Reversed" in said:
            return "it seems to be applied already"
        return said.strip().splitlines()[-1] if said.strip() else "refused"
    words = ", ".join(f"hunk {number} (line {line})" for number, line in failed)
    shown = hunks[failed[0][0] - 1].rstrip() if failed[0][0] <= len(hunks) else ""
    return f"{words} of {len(hunks)} does not apply; the first is\n{shown}"
