"""The files that are open: share modes, and deletion when the last one closes. Pure.

One table serves all shares of a server, by inode, so a file that two shares show is one file.
Its lock is the store's: whatever must be true from looking a file up until it is open, or from
the last close until it is gone, happens under it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final, Protocol

from notify_server.fs import times
from notify_server.wire.constants import AccessMask, ShareAccess
from notify_server.wire.status import NtStatus, StatusError

_READ: Final = int(AccessMask.FILE_READ_DATA | AccessMask.FILE_EXECUTE)
_WRITE: Final = int(AccessMask.FILE_WRITE_DATA | AccessMask.FILE_APPEND_DATA)
_DELETE: Final = int(AccessMask.DELETE)
_CHECKED: Final = _READ | _WRITE | _DELETE

# What an open does, and the share bit that others must have granted for it.
_CONFLICTS: Final = (
    (_READ, int(ShareAccess.FILE_SHARE_READ)),
    (_WRITE, int(ShareAccess.FILE_SHARE_WRITE)),
    (_DELETE, int(ShareAccess.FILE_SHARE_DELETE)),
)
_EVERY: Final = range(len(_CONFLICTS))
_DELETING: Final = 2


class OpenFile(Protocol):
    """What the table wants to know of an open."""

    stream: str

    @property
    def granted_access(self) -> int: ...

    @property
    def share_access(self) -> int: ...


class _Use:
    """How the opens of one stream use it, and what they do not share: a count for each conflict."""

    __slots__ = ("denied", "done", "opens")

    def __init__(self) -> None:
        self.opens = 0
        self.done = [0] * len(_CONFLICTS)
        self.denied = [0] * len(_CONFLICTS)

    def count(self, access: int, share: int, by: int) -> None:
        """An open came (`by` 1) or went (-1)."""
        self.opens += by
        for index, (does, granted) in enumerate(_CONFLICTS):
            if access & does:
                self.done[index] += by
            if not share & granted:
                self.denied[index] += by

    def conflicts(self, index: int, access: int, share: int) -> bool:
        does, granted = _CONFLICTS[index]
        return bool(
            (self.denied[index] and access & does) or (self.done[index] and not share & granted)
        )


class File:
    """An inode that is open. What its opens do is counted, so that many of them cost no more."""

    __slots__ = ("change_time", "delete_pending", "descriptor", "key", "opens", "path", "uses")

    def __init__(self, key: tuple[int, int], path: str) -> None:
        self.key = key
        self.path = path
        """Absolute, as on disk; follows renames made through the stores."""
        self.opens = 0
        self.uses: dict[str, _Use] = {}
        """By stream, for the opens that read, write or delete: the others conflict with nobody."""
        self.delete_pending = False
        self.descriptor: object = None
        """What the store keeps open for all opens of a directory together."""
        self.change_time: tuple[int, int] | None = None
        """A ChangeTime that was set, and the ctime that it stands for: Linux cannot set one."""

    def keep_change_time(self, before: int, now: int) -> None:
        """The inode's ctime, in ns, moved for a reason that is no ChangeTime's to tell."""
        told = times.from_ns(before)
        if self.change_time is not None and self.change_time[1] == before:
            told = self.change_time[0]
        self.change_time = told, now


class OpenFiles:
    """All open files of a server; use under `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._files: dict[tuple[int, int], File] = {}

    def get(self, key: tuple[int, int]) -> File | None:
        return self._files.get(key)

    def check(self, key: tuple[int, int], stream: str, access: int, share: int) -> None:
        """Share modes and delete pending ([MS-FSA] 2.1.5.1.2, 2.1.5.1.2.2)."""
        file = self._files.get(key)
        if file is None:
            return
        if file.delete_pending:
            raise StatusError(NtStatus.STATUS_DELETE_PENDING)
        if not access & _CHECKED:
            return
        for name, use in file.uses.items():
            # Deleting a file takes its streams along, so DELETE on one stream concerns all.
            concerned = _EVERY if name == stream else (_DELETING,)
            if any(use.conflicts(index, access, share) for index in concerned):
                raise StatusError(NtStatus.STATUS_SHARING_VIOLATION)

    def add(self, key: tuple[int, int], path: str, open_file: OpenFile) -> File:
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = File(key, path)
        file.opens += 1
        self._count(file, open_file, 1)
        return file

    def remove(self, file: File, open_file: OpenFile) -> bool:
        """Whether that was the last one."""
        file.opens -= 1
        self._count(file, open_file, -1)
        if file.opens:
            return False
        del self._files[file.key]
        return True

    def rename_stream(self, file: File, open_file: OpenFile, stream: str) -> None:
        """An open stream has another name from now on."""
        self._count(file, open_file, -1)
        open_file.stream = stream
        self._count(file, open_file, 1)

    def _count(self, file: File, open_file: OpenFile, by: int) -> None:
        access = open_file.granted_access
        if not access & _CHECKED:
            return
        use = file.uses.get(open_file.stream)
        if use is None:
            use = file.uses[open_file.stream] = _Use()
        use.count(access, open_file.share_access, by)
        if not use.opens:
            del file.uses[open_file.stream]

    def below(self, path: str) -> Iterator[File]:
        """Open files in a directory, at any depth."""
        inside = path + "/"
        return (file for file in self._files.values() if file.path.startswith(inside))

    def moved(self, old: str, new: str) -> None:
        """A rename was made through a store."""
        for file in list(self.below(old)):
            file.path = new + file.path[len(old) :]
        for file in self._files.values():
            if file.path == old:
                file.path = new

    def __len__(self) -> int:
        return sum(file.opens for file in self._files.values())
