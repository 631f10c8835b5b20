"""Directories, the volume ([MS-FSA] 2.1.5.6, 2.1.5.13)."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Final

from notify_server.fs import times
from notify_server.fs.api import Entry, Handle, Volume
from notify_server.fs.handle import attributes_of
from notify_server.fs.local.base import StoreBase, as_local, key_of, statuses
from notify_server.fs.names import Expression, to_wire
from notify_server.fs.syscalls import birth_time_ns
from notify_server.wire.fscc import FileSystemAttributes
from notify_server.wire.status import NtStatus, StatusError

_SECTOR: Final = 512
_SELF: Final = (".", "..")


@contextlib.contextmanager
def _opened(handle: Handle) -> Iterator[int]:
    """A descriptor of a directory that can be read, whatever its handle's was opened for."""
    fd = os.open(as_local(handle).proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


class Listing(StoreBase):
    """Store.names, Store.entries and Store.volume."""

    def names(self, handle: Handle, pattern: str, limit: int) -> list[str]:
        wanted = Expression(pattern)
        found = [name for name in _SELF if wanted.matches(name)]
        with statuses(), _opened(handle) as fd, os.scandir(fd) as directory:
            for each in directory:
                if wanted.matches(to_wire(each.name)):
                    if len(found) >= limit:
                        raise StatusError(NtStatus.STATUS_INSUFFICIENT_RESOURCES)
                    found.append(each.name)
        return found

    def entries(self, handle: Handle, names: Iterable[str]) -> Iterator[Entry | None]:
        with statuses(), _opened(handle) as fd:
            for name in names:
                if name in _SELF:
                    yield Entry(name, self.attributes(handle))
                else:
                    yield self._entry(fd, name, to_wire(name))

    def _entry(self, directory: int, name: str, shown: str) -> Entry | None:
        """None for what went meanwhile, is no file or directory, or leads out of the share."""
        try:
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                os.close(fd)
                fd = self._followed(directory, name)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(fd)
            if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
                return None
            file = self.files.get(key_of(status))
            return Entry(shown, attributes_of(f"/proc/self/fd/{fd}", status, fd, file=file))
        finally:
            os.close(fd)

    def _followed(self, directory: int, name: str) -> int:
        path = os.readlink(f"/proc/self/fd/{directory}")
        relative = os.path.relpath(path, self.root)
        try:
            return self.resolver.open(f"{relative}/{name}")
        except OSError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error

    def volume(self) -> Volume:
        with statuses():
            room = os.fstatvfs(self.root_fd)
            status = os.fstat(self.root_fd)
        sectors = max(1, room.f_frsize // _SECTOR)
        return Volume(
            label=self._label,
            serial_number=self.serial_number,
            creation_time=times.from_ns(birth_time_ns(self.root_fd) or status.st_ctime_ns),
            total_units=room.f_blocks,
            available_units=room.f_bavail,
            sectors_per_unit=sectors,
            bytes_per_sector=_SECTOR,
            maximum_name_length=255,
            file_system_name="NTFS",  # clients use streams and EAs only if it says so
            attributes=FileSystemAttributes.FILE_CASE_PRESERVED_NAMES
            | FileSystemAttributes.FILE_UNICODE_ON_DISK
            | FileSystemAttributes.FILE_PERSISTENT_ACLS
            | FileSystemAttributes.FILE_NAMED_STREAMS
            | FileSystemAttributes.FILE_SUPPORTS_HARD_LINKS
            | FileSystemAttributes.FILE_SUPPORTS_EXTENDED_ATTRIBUTES,
        )
