"""Paths of a share to open files: beneath its root only, and blind to case.

Each step goes through openat2(2) with RESOLVE_BENEATH from the root of the share, so neither
`..` nor a symbolic link, whenever it is put there, leads out of it. The exact spelling is tried
first; only if that fails is a directory listed for a name that differs in case.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import Final

from notify_server.fs.errors import status_error
from notify_server.fs.names import fold
from notify_server.fs.syscalls import openat2
from notify_server.wire.status import NtStatus, StatusError

_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)
_REMEMBERED: Final = 256


@dataclass(slots=True)
class Found:
    """Where a path leads; `close` what is open."""

    parent: int
    """O_PATH of the directory that holds the name, -1 for the root of the share itself."""
    name: str
    """The last component as on disk, or as it was asked for."""
    fd: int
    """O_PATH of what is there, -1 if nothing."""

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
        self._folded: dict[tuple[int, int], tuple[int, int, dict[str, str]]] = {}

    def find(self, components: tuple[str, ...]) -> Found:
        """Raises OBJECT_PATH_NOT_FOUND unless all but the last component lead to a directory."""
        if not components:
            return Found(-1, "", self.open("."))
        above, name = components[:-1], components[-1]
        with contextlib.suppress(StatusError):
            return self._in("/".join(above) or ".", name)
        return self._in(self._spelled(above), name)

    def _in(self, directory: str, name: str) -> Found:
        try:
            parent = self.open(directory, os.O_DIRECTORY)
        except OSError as error:
            if error.errno in _ABSENT:
                raise StatusError(NtStatus.STATUS_OBJECT_PATH_NOT_FOUND) from error
            raise status_error(error) from error
        try:
            try:
                return Found(parent, name, self.open(f"{directory}/{name}"))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
            spelled = self._listed(parent, name)
            if spelled is None:
                return Found(parent, name, -1)
            return Found(parent, spelled, self.open(f"{directory}/{spelled}"))
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
                    spelled = self._listed(parent, name)
                finally:
                    os.close(parent)
                if spelled is None:
                    raise StatusError(NtStatus.STATUS_OBJECT_PATH_NOT_FOUND) from None
                name = spelled
            path = f"{path}/{name}"
        return path

    def open(self, path: str, flags: int = 0) -> int:
        try:
            return openat2(self._root, os.fsencode(path), os.O_PATH | flags)
        except OSError as error:
            if error.errno == errno.EXDEV:  # it would lead out of the share
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from error
            raise

    def _listed(self, directory: int, name: str) -> str | None:
        """A name that differs only in case; the listing is kept while the directory is as it was.

        A directory that changed within the clock tick of its listing is listed again.
        """
        status = os.fstat(directory)
        key = (status.st_dev, status.st_ino)
        known = self._folded.get(key)
        if known is None or known[:2] != (status.st_mtime_ns, status.st_ctime_ns):
            names = os.listdir(f"/proc/self/fd/{directory}")
            folded = {fold(each): each for each in names}
            known = (status.st_mtime_ns, status.st_ctime_ns, folded)
            while len(self._folded) >= _REMEMBERED:
                del self._folded[next(iter(self._folded))]
            self._folded[key] = known
        return known[2].get(fold(name))
