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


class Link:
    """A name of a file, as far as it is open by that name ([MS-FSA] 2.1.1.5).

    It is the link that a deletion dooms, and that goes with its last handle.
    """

    __slots__ = ("delete_pending", "opens", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        """Absolute, as on disk; follows renames made through the stores."""
        self.opens = 0
        self.delete_pending = False


class OpenFile(Protocol):
    """What the table wants to know of an open."""

    stream: str
    link: Link

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

    __slots__ = ("change_time", "descriptor", "doomed_streams", "key", "links", "streams", "uses")

    def __init__(self, key: tuple[int, int]) -> None:
        self.key = key
        self.links: list[Link] = []
        self.streams: dict[str, int] = {}
        """The named streams that are open, and by how many handles."""
        self.doomed_streams: set[str] = set()
        self.uses: dict[str, _Use] = {}
        """By stream, for the opens that read, write or delete: the others conflict with nobody."""
        self.descriptor: object = None
        """What the store keeps open for all opens of a directory together."""
        self.change_time: tuple[int, int] | None = None
        """A ChangeTime that was set, and the ctime that it stands for: Linux cannot set one."""

    @property
    def doomed(self) -> int:
        """How many of its links are to be deleted."""
        return sum(link.delete_pending for link in self.links)

    def link(self, path: str, *, sole: bool) -> Link | None:
        """An open link. The `sole` link of a file is that wherever it was moved beside us."""
        for link in self.links:
            if link.path == path:
                return link
        return self.links[0] if sole and len(self.links) == 1 else None

    def take_doomed(self, stream: str) -> bool:
        """Whether a stream is to be deleted now, which is said once."""
        if stream not in self.doomed_streams or stream in self.streams:
            return False
        self.doomed_streams.remove(stream)
        return True

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

    def check(
        self,
        key: tuple[int, int],
        stream: str,
        access: int,
        share: int,
        path: str = "",
        *,
        sole: bool = True,
    ) -> None:
        """Share modes and delete pending ([MS-FSA] 2.1.5.1.2, 2.1.5.1.2.2)."""
        file = self._files.get(key)
        if file is None:
            return
        link = file.link(path, sole=sole)
        if (link is not None and link.delete_pending) or stream in file.doomed_streams:
            raise StatusError(NtStatus.STATUS_DELETE_PENDING)
        if not access & _CHECKED:
            return
        for name, use in file.uses.items():
            # Deleting a file takes its streams along, so DELETE on one stream concerns all.
            concerned = _EVERY if name == stream else (_DELETING,)
            if any(use.conflicts(index, access, share) for index in concerned):
                raise StatusError(NtStatus.STATUS_SHARING_VIOLATION)

    def add(
        self, key: tuple[int, int], path: str, open_file: OpenFile, *, sole: bool = True
    ) -> File:
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = File(key)
        link = file.link(path, sole=sole)
        if link is None:
            link = Link(path)
            file.links.append(link)
        link.opens += 1
        open_file.link = link
        self._count(file, open_file, 1)
        return file

    def remove(self, file: File, open_file: OpenFile) -> bool:
        """Whether that was the last one of the file."""
        link = open_file.link
        link.opens -= 1
        self._count(file, open_file, -1)
        if not link.opens:
            file.links.remove(link)
        if file.links:
            return False
        del self._files[file.key]
        return True

    def rename_stream(self, file: File, open_file: OpenFile, stream: str) -> None:
        """An open stream has another name from now on."""
        self._count(file, open_file, -1)
        if file.take_doomed(open_file.stream) and stream:
            file.doomed_streams.add(stream)
        open_file.stream = stream
        self._count(file, open_file, 1)

    def _count(self, file: File, open_file: OpenFile, by: int) -> None:
        if open_file.stream:
            opens = file.streams.pop(open_file.stream, 0) + by
            if opens:
                file.streams[open_file.stream] = opens
        access = open_file.granted_access
        if not access & _CHECKED:
            return
        use = file.uses.get(open_file.stream)
        if use is None:
            use = file.uses[open_file.stream] = _Use()
        use.count(access, open_file.share_access, by)
        if not use.opens:
            del file.uses[open_file.stream]

    def below(self, path: str) -> Iterator[Link]:
        """Open links in a directory, at any depth."""
        inside = path + "/"
        return (link for link in self._links() if link.path.startswith(inside))

    def moved(self, old: str, new: str) -> None:
        """A rename was made through a store."""
        for link in self.below(old):
            link.path = new + link.path[len(old) :]
        for link in self._links():
            if link.path == old:
                link.path = new

    def _links(self) -> Iterator[Link]:
        return (link for file in self._files.values() for link in file.links)

    def __len__(self) -> int:
        return sum(link.opens for link in self._links())
