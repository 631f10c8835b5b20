"""The source tree while somebody edits it: which of its files were saved.

Looked at now and then rather than watched by the kernel: a look at ksmbd's two hundred files costs
a few milliseconds, works on every file system, and does not care how an editor saves (in place, by
renaming a new file over the old one, by deleting first). What counts is that two looks agree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

# Of a kernel tree only these are part of the module (before 6.4 the second pair); elsewhere it is
# the whole folder.
SERVERS = ("fs/smb/server", "fs/ksmbd")
KERNEL_PARTS = (*SERVERS, "fs/smb/common", "fs/smbfs_common", "fs/nls")
SUFFIXES = (".c", ".h", ".S", ".asn1")
NAMES = ("Makefile", "Kconfig", "Kbuild")
SETTLE_S = 0.3
# Written by the build where somebody builds in the tree itself.
GENERATED = (".mod.c", ".asn1.c", ".asn1.h")

Snapshot = Mapping[str, tuple[int, int, int]]  # path -> time of change, size, inode


def parts(root: Path) -> list[Path]:
    """The folders below `root` that belong to the module."""
    if not any((root / server).is_dir() for server in SERVERS):
        return [root]
    return [root / part for part in KERNEL_PARTS if (root / part).is_dir()]


def look(root: Path) -> Snapshot:
    """The source files of the module as they are now. Temporary files of editors are none."""
    snapshot = {}
    for part in parts(root):
        for path in _files(part):
            try:
                stat = os.stat(path)
            except OSError:
                continue  # renamed away this moment; the next look sees what became of it
            name = os.path.relpath(path, root)
            snapshot[name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return snapshot


def _files(folder: Path) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if is_source(name):
                yield os.path.join(where, name)


def is_source(name: str) -> bool:
    """Whether a file of that name goes into the module: no backup, lock or swap file does."""
    if name.startswith((".", "#")) or name.endswith(GENERATED):
        return False
    return name.endswith(SUFFIXES) or name in NAMES


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    """The files that are new, gone or other than before."""
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


class Saves:
    """Tells, of one look after the other, when something was saved and has come to rest."""

    def __init__(self, start: Snapshot, settle: float = SETTLE_S) -> None:
        self._told = start
        self._last = start
        self._since = 0.0
        self._settle = settle

    def take(self, snapshot: Snapshot, now: float) -> list[str]:
        """The files saved since the last time that any were told; [] while they still change."""
        if snapshot != self._last:
            self._last, self._since = snapshot, now
            return []
        if now - self._since < self._settle:
            return []
        files = changed(self._told, self._last)
        self._told = self._last
        return files
