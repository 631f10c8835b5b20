"""Paths of a share to open files: beneath its root only, and blind to case.

Each step goes through openat2(2) with RESOLVE_BENEATH from the root of the share, so neither
`..` nor a symbolic link, whenever it is put there, leads out of it. The exact spelling is tried
first; only if that fails is a directory listed for a name that differs in case.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from notify_server.fs.errors import status_error
from notify_server.fs.names import fold
from notify_server.fs.syscalls import openat2
from notify_server.wire.status import NtStatus, StatusError

_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)
_REMEMBERED: Final = 256  # listings
_TICK_NS: Final = 20_000_000  # two changes within a clock tick may bear the same time stamp
_DOUBT: Final = 1.0  # seconds for which a listing that may miss a change beside is believed


@dataclass(slots=True)
class Found:
    """Where a path leads; `close` what is open."""

    parent: int
    """O_PATH of the directory that holds the name, -1 for the root of the share itself."""
    name: str
    """The last component as on disk, or as it was asked for."""
    fd: int
    """O_PATH of what is there, -1 if nothing."""
    above: os.stat_result | None = None
    """What `parent` was like when nothing was found in it."""

    def close(self) -> None:
        for fd in (self.parent, self.fd):
            if fd >= 0:
                os.close(fd)
        self.parent = self.fd = -1

    def take(self) -> int:
        """The caller has `fd` now."""
        fd, self.fd = self.fd, -1
        return fd


class Resolver:
    """Paths below one root. Not thread-safe: the store calls it under its lock."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._listings: dict[tuple[int, int], _Listing] = {}

    def find(self, components: tuple[str, ...]) -> Found:
        """Raises OBJECT_PATH_NOT_FOUND unless all but the last component lead to a directory."""
        if not components:
            return Found(-1, "", self.open("."))
        above, name = components[:-1], components[-1]
        try:
            return self._in("/".join(above) or ".", name)
        except StatusError:
            return self._in(self._spelled(above), name)

    def _in(self, directory: str, name: str) -> Found:
        try:
            parent = self.open(directory, os.O_DIRECTORY)
        except OSError as error:
            if error.errno in _ABSENT:
                raise StatusError(NtStatus.STATUS_OBJECT_PATH_NOT_FOUND) from error
            raise status_error(error) from error
        try:
            found = openat2(self._root, os.fsencode(f"{directory}/{name}"), os.O_PATH)
            if found >= 0:
                return Found(parent, name, found)
            if -found not in _ABSENT:
                raise _failed(-found, name)
            status = os.fstat(parent)
            spelled = self._listed(parent, status, name)
            if spelled is None:
                return Found(parent, name, -1, status)
            try:
                return Found(parent, spelled, self.open(f"{directory}/{spelled}"))
            except FileNotFoundError:
                return Found(parent, name, -1, status)  # the listing was older
        except OSError as error:
            os.close(parent)
            raise status_error(error) from error

    def _spelled(self, components: tuple[str, ...]) -> str:
        """The directories of a path as they are spelled on disk."""
        path = "."
        for name in components:
            try:
                os.close(self.open(f"{path}/{name}", os.O_DIRECTORY))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise status_error(error) from error
                parent = self.open(path, os.O_DIRECTORY)
                try:
                    spelled = self._listed(parent, os.fstat(parent), name)
                finally:
                    os.close(parent)
                if spelled is None:
                    raise StatusError(NtStatus.STATUS_OBJECT_PATH_NOT_FOUND) from None
                name = spelled
            path = f"{path}/{name}"
        return path

    def open(self, path: str, flags: int = 0) -> int:
        fd = openat2(self._root, os.fsencode(path), os.O_PATH | flags)
        if fd < 0:
            raise _failed(-fd, path)
        return fd

    def _listed(self, directory: int, status: os.stat_result, name: str) -> str | None:
        """A name that differs only in case; the listing is kept while the directory is as it was.

        One that could be older than its time stamp says is listed again after a while.
        """
        listing = self._listings.get((status.st_dev, status.st_ino))
        if listing is None or not listing.holds(_stamp(status)):
            listing = self._list(directory, status)
        return listing.folded.get(fold(name))

    def _list(self, directory: int, status: os.stat_result) -> _Listing:
        names = os.listdir(f"/proc/self/fd/{directory}")
        listing = _Listing(_stamp(status), {fold(each): each for each in names})
        if time.time_ns() - status.st_mtime_ns < _TICK_NS:
            listing.doubt()
        while len(self._listings) >= _REMEMBERED:
            del self._listings[next(iter(self._listings))]
        self._listings[status.st_dev, status.st_ino] = listing
        return listing

    @contextlib.contextmanager
    def changing(self, directory: int, *, add: str = "", drop: str = "") -> Iterator[None]:
        """Around our own change to a directory: keeps its listing true without reading it again.

        A change beside the server that comes in between is found when the doubt has lasted.
        """
        before = os.fstat(directory)
        yield
        self.changed(directory, before, add=add, drop=drop)

    def changed(
        self, directory: int, before: os.stat_result, *, add: str = "", drop: str = ""
    ) -> None:
        """The same, after the change; `before` is what the directory was like until then."""
        listing = self._listings.get((before.st_dev, before.st_ino))
        if listing is None or not listing.holds(_stamp(before)):
            return
        if drop and listing.folded.get(fold(drop)) == drop:
            del listing.folded[fold(drop)]
        if add:
            listing.folded[fold(add)] = add
        listing.stamp = _stamp(os.fstat(directory))
        listing.doubt()


class _Listing:
    """The names of a directory, folded, and when they were so."""

    __slots__ = ("doubtful_since", "folded", "stamp")

    def __init__(self, stamp: tuple[int, int], folded: dict[str, str]) -> None:
        self.stamp = stamp
        self.folded = folded
        self.doubtful_since: float | None = None

    def doubt(self) -> None:
        if self.doubtful_since is None:
            self.doubtful_since = time.monotonic()

    def holds(self, stamp: tuple[int, int]) -> bool:
        if self.stamp != stamp:
            return False
        since = self.doubtful_since
        return since is None or time.monotonic() - since < _DOUBT


def _failed(code: int, path: str) -> OSError:
    if code == errno.EXDEV:  # it would lead out of the share
        code = errno.ELOOP
    return OSError(code, os.strerror(code), path)


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_ctime_ns
