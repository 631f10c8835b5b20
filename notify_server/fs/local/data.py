"""Reading and writing data ([MS-FSA] 2.1.5.3, 2.1.5.4)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from notify_server.fs import xattrs
from notify_server.fs.api import Handle
from notify_server.fs.feed import Kind
from notify_server.fs.handle import LocalHandle
from notify_server.fs.local.base import StoreBase, as_local, expect_attrib, statuses
from notify_server.fs.names import to_wire
from notify_server.fs.syscalls import reserve
from notify_server.notify.classes import Operation as Done
from notify_server.notify.classes import done
from notify_server.wire.status import NtStatus, StatusError

STREAM_LIMIT: Final = 64 * 1024


class Data(StoreBase):
    """Reading, writing, resizing; streams are kept whole in an extended attribute."""

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        local = as_local(handle)
        with statuses():
            if local.stream:
                return xattrs.read_stream(local.proc, local.stream)[offset : offset + length]
            return os.pread(local.fd, length, offset)

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        local = as_local(handle)
        with statuses():
            if local.stream:
                return self._write_stream(local, offset, data)
            if self.feed.idle and local.held_write_time is None:
                return _write_all(local.fd, data, offset)
            size = os.fstat(local.fd).st_size
            extends = offset + len(data) > size
            self._modify(
                local,
                Done.EXTENDED if extends else Done.WRITTEN,
                lambda: _write_all(local.fd, data, offset),
            )
            return len(data)

    def _write_stream(self, handle: LocalHandle, offset: int, data: bytes) -> int:
        if offset + len(data) > STREAM_LIMIT:
            raise StatusError(NtStatus.STATUS_DISK_FULL)
        with self.files.lock:
            old = xattrs.read_stream(handle.proc, handle.stream)
            new = old.ljust(offset, b"\0")[:offset] + data + old[offset + len(data) :]
            what = Done.STREAM_EXTENDED if len(new) > len(old) else Done.STREAM_WRITTEN
            self._set_stream(handle, new, what)
        return len(data)

    def _set_stream(self, handle: LocalHandle, value: bytes, what: Done) -> None:
        directory, name = handle.where()
        with self.feed.operation() as operation:
            expect_attrib(operation, directory, name)
            xattrs.write_stream(handle.proc, handle.stream, value)
            operation.happened(done(what, to_wire(directory), f"{to_wire(name)}:{handle.stream}"))

    def _modify(self, handle: LocalHandle, what: Done, change: Callable[[], object]) -> None:
        """Change data, keep a held write time, and tell."""
        directory, name = handle.where()
        with self.feed.operation() as operation:
            operation.expect(directory, name, Kind.MODIFY)
            change()
            if handle.held_write_time is not None:
                expect_attrib(operation, directory, name)
                status = os.fstat(handle.fd)
                os.utime(handle.proc, ns=(status.st_atime_ns, handle.held_write_time))
            operation.happened(done(what, to_wire(directory), to_wire(name)))

    def flush(self, handle: Handle) -> None:
        local = as_local(handle)
        if not local.stream and not local.is_directory:
            with statuses():
                os.fdatasync(local.fd)

    def set_end_of_file(self, handle: Handle, size: int) -> None:
        local = as_local(handle)
        with statuses():
            if local.is_directory:
                raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
            if local.stream:
                if size > STREAM_LIMIT:
                    raise StatusError(NtStatus.STATUS_DISK_FULL)
                with self.files.lock:
                    old = xattrs.read_stream(local.proc, local.stream)
                    new = old[:size].ljust(size, b"\0")
                    self._set_stream(local, new, Done.STREAM_RESIZED)
                return
            self._modify(local, Done.RESIZED, lambda: os.ftruncate(local.fd, size))

    def set_allocation_size(self, handle: Handle, size: int) -> None:
        local = as_local(handle)
        if size < self.attributes(handle).end_of_file:
            self.set_end_of_file(local, size)
        elif not local.stream and not local.is_directory:
            with statuses(), self.feed.operation() as operation:
                operation.expect(*local.where(), Kind.MODIFY)
                reserve(local.fd, size)


def _write_all(fd: int, data: bytes, offset: int) -> int:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
    return len(data)
