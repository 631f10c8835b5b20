"""The files that are open: share modes, and deletion when the last one closes. Pure.

One table serves all shares of a server, by inode, so a file that two shares show is one file.
Its lock is the store's: whatever must be true from looking a file up until it is open, or from
the last close until it is gone, happens under it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final, Protocol

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


class OpenFile(Protocol):
    """What the table wants to know of an open."""

    granted_access: AccessMask
    share_access: ShareAccess
    stream: str


class File:
    """An inode that is open."""

    __slots__ = ("change_time", "delete_pending", "key", "opens", "path")

    def __init__(self, key: tuple[int, int], path: str) -> None:
        self.key = key
        self.path = path
        """Absolute, as on disk; follows renames made through the stores."""
        self.opens: list[OpenFile] = []
        self.delete_pending = False
        self.change_time: tuple[int, int] | None = None
        """A ChangeTime that was set, and the ctime that it stands for: Linux cannot set one."""


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
        for other in file.opens:
            # Deleting a file takes its streams along, so DELETE on one stream concerns all.
            concerned = _CHECKED if other.stream == stream else _DELETE
            if not other.granted_access & _CHECKED:
                continue
            for does, granted in _CONFLICTS:
                if access & does & concerned and not other.share_access & granted:
                    raise StatusError(NtStatus.STATUS_SHARING_VIOLATION)
                if other.granted_access & does & concerned and not share & granted:
                    raise StatusError(NtStatus.STATUS_SHARING_VIOLATION)

    def add(self, key: tuple[int, int], path: str, open_file: OpenFile) -> File:
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = File(key, path)
        file.opens.append(open_file)
        return file

    def remove(self, file: File, open_file: OpenFile) -> bool:
        """Whether that was the last one."""
        file.opens.remove(open_file)
        if file.opens:
            return False
        del self._files[file.key]
        return True

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
        return sum(len(file.opens) for file in self._files.values())
