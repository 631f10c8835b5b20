"""Times, attributes, extended attributes, security ([MS-FSA] 2.1.5.12 to 2.1.5.17)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

from notify_server.fs import security, times, xattrs
from notify_server.fs.api import BasicInformation, Ea, Handle, Stream
from notify_server.fs.feed import Operation
from notify_server.fs.handle import LocalHandle
from notify_server.fs.local.base import StoreBase, as_local, expect_attrib, statuses
from notify_server.fs.names import to_wire
from notify_server.notify.classes import BASIC_BITS, basic_changed, done
from notify_server.notify.classes import Operation as Done
from notify_server.wire.fscc import FileAttributes
from notify_server.wire.status import NtStatus, StatusError

_DIRECTORY: Final = int(FileAttributes.FILE_ATTRIBUTE_DIRECTORY)
_TEMPORARY: Final = int(FileAttributes.FILE_ATTRIBUTE_TEMPORARY)


class Information(StoreBase):
    """What is known of a file besides its data and its name."""

    def set_basic(self, handle: Handle, information: BasicInformation) -> None:
        local = as_local(handle)
        with statuses(), self.files.lock:
            directory, name = local.where()
            bits = 0
            with self.feed.operation() as operation:
                bits |= self._set_dos(local, information, operation, directory, name)
                bits |= self._set_times(local, information, operation, directory, name)
                if bits:
                    operation.happened(basic_changed(to_wire(directory), to_wire(name), bits))
            change_time = times.signed(information.change_time)
            if change_time > 0:
                local.file.change_time = (change_time, os.fstat(local.fd).st_ctime_ns)

    def _set_dos(
        self,
        handle: LocalHandle,
        information: BasicInformation,
        operation: Operation,
        directory: str,
        name: str,
    ) -> int:
        """Attributes and creation time, which are kept together; the filter bits of both."""
        wanted = int(information.file_attributes)
        creation_time = times.signed(information.creation_time)
        if wanted & _DIRECTORY and not handle.is_directory:
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
        if wanted & _TEMPORARY and handle.is_directory:
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
        if not wanted and creation_time <= 0:
            return 0
        now = self.attributes(handle)
        attributes = wanted or int(now.file_attributes)
        expect_attrib(operation, directory, name)
        xattrs.set_dos(
            handle.proc, attributes, creation_time if creation_time > 0 else now.creation_time
        )
        return (BASIC_BITS["file_attributes"] if wanted else 0) | (
            BASIC_BITS["creation_time"] if creation_time > 0 else 0
        )

    def _set_times(
        self,
        handle: LocalHandle,
        information: BasicInformation,
        operation: Operation,
        directory: str,
        name: str,
    ) -> int:
        write_time = times.signed(information.last_write_time)
        access_time = times.signed(information.last_access_time)
        status = os.fstat(handle.fd)
        bits = 0
        if write_time > 0:
            bits |= BASIC_BITS["last_write_time"]
        if access_time > 0:
            bits |= BASIC_BITS["last_access_time"]
        if bits:
            expect_attrib(operation, directory, name)
            os.utime(
                handle.proc,
                ns=(
                    times.to_ns(access_time) if access_time > 0 else status.st_atime_ns,
                    times.to_ns(write_time) if write_time > 0 else status.st_mtime_ns,
                ),
            )
        if write_time == times.RELEASE:
            handle.held_write_time = None
        elif write_time > 0 or write_time == times.HOLD:
            # A time that was set explicitly is not changed by writes on the same handle
            # ([MS-FSA] 2.1.5.15.2, UserSetModificationTime).
            handle.held_write_time = (
                times.to_ns(write_time) if write_time > 0 else status.st_mtime_ns
            )
        return bits

    def eas(self, handle: Handle) -> list[Ea]:
        with statuses():
            return xattrs.eas(as_local(handle).proc)

    def set_eas(self, handle: Handle, eas: Sequence[Ea]) -> None:
        local = as_local(handle)
        for ea in eas:
            xattrs.check_ea(ea)
        with statuses(), self.files.lock:
            directory, name = local.where()
            with self.feed.operation() as operation:
                for ea in eas:
                    expect_attrib(operation, directory, name)
                    xattrs.set_ea(local.proc, ea)
                if eas:
                    operation.happened(done(Done.EA_CHANGED, to_wire(directory), to_wire(name)))

    def streams(self, handle: Handle) -> list[Stream]:
        local = as_local(handle)
        with statuses():
            found = []
            status = os.fstat(local.fd)
            if stat.S_ISREG(status.st_mode):
                found.append(Stream("::$DATA", status.st_size, status.st_blocks * 512))
            for stream, size in xattrs.streams(local.proc):
                found.append(Stream(xattrs.stream_label(stream), size, -(-size // 8) * 8))
            return found

    def security_descriptor(self, handle: Handle, information: int) -> bytes:
        local = as_local(handle)
        with statuses():
            return security.select(self._descriptor(local), information)

    def _descriptor(self, handle: LocalHandle) -> bytes:
        try:
            return os.getxattr(handle.proc, xattrs.SECURITY)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise
        status = os.fstat(handle.fd)
        return security.default_descriptor(
            status.st_uid, status.st_gid, directory=handle.is_directory
        )

    def set_security_descriptor(self, handle: Handle, information: int, sd: bytes) -> None:
        local = as_local(handle)
        with statuses(), self.files.lock:
            merged = security.merge(self._descriptor(local), information, sd)
            directory, name = local.where()
            with self.feed.operation() as operation:
                expect_attrib(operation, directory, name)
                os.setxattr(local.proc, xattrs.SECURITY, merged)
                operation.happened(done(Done.SECURITY_CHANGED, to_wire(directory), to_wire(name)))
