"""Renaming and linking ([MS-FSA] 2.1.5.15.6, 2.1.5.15.11)."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from notify_server.fs import xattrs
from notify_server.fs.access import Rights
from notify_server.fs.api import Handle
from notify_server.fs.feed import Kind
from notify_server.fs.handle import LocalHandle
from notify_server.fs.local.base import (
    StoreBase,
    as_local,
    expect_attrib,
    key_of,
    new_path,
    statuses,
)
from notify_server.fs.names import parse, to_wire
from notify_server.fs.resolve import Found
from notify_server.fs.syscalls import RENAME_NOREPLACE, renameat2
from notify_server.fs.watched import join
from notify_server.notify.classes import Operation as Done
from notify_server.notify.classes import added, done, removed, renamed
from notify_server.wire.constants import AccessMask, ShareAccess
from notify_server.wire.fscc import FileAttributes
from notify_server.wire.status import NtStatus, StatusError

_READONLY: Final = int(FileAttributes.FILE_ATTRIBUTE_READONLY)

_ADD_FILE: Final = int(AccessMask.FILE_ADD_FILE)
_READ_WRITE: Final = int(ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE)


class Naming(StoreBase):
    """Store.rename and Store.link."""

    def rename(self, handle: Handle, path: str, replace: bool) -> None:
        local = as_local(handle)
        if local.stream or path.startswith(":"):
            self._rename_stream(local, path, replace)
            return
        name = parse(path)
        if name.stream or not name.components:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
        with statuses(), self.files.lock:
            old_directory, old_name = local.where()
            old = join(old_directory, old_name)
            if old == self.root:
                raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
            if local.is_directory and any(True for _ in self.files.below(old)):
                # [MS-FSA] 2.1.5.15.11: a directory with open files in it stays.
                raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
            target = self.resolver.find(name.components)
            try:
                self._rename(local, old_directory, old_name, target, name.components[-1], replace)
            finally:
                target.close()

    def _rename(
        self,
        handle: LocalHandle,
        old_directory: str,
        old_name: str,
        target: Found,
        new_name: str,
        replace: bool,
    ) -> None:
        self.check_changeable(handle, target.parent)
        new_directory = os.readlink(f"/proc/self/fd/{target.parent}")
        old, new = join(old_directory, old_name), new_path(new_directory, new_name)
        if old == new:
            return
        if new.startswith(old + "/"):
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
        self._check_target(target)
        replaced = False
        if target.fd >= 0 and key_of(os.fstat(target.fd)) != handle.file.key:
            self._check_replaceable(handle, target, replace)
            # The name that is there differs in case, maybe: it must go, not stay beside.
            replaced, new_name = True, target.name
            new = join(new_directory, new_name)
        parent = self.parent_of(handle, old_directory, old_name)
        before = os.fstat(handle.fd).st_ctime_ns
        try:
            with self.feed.operation() as operation:
                with (
                    self.resolver.changing(parent, drop=old_name),
                    self.resolver.changing(target.parent, add=new_name),
                    operation.call(
                        (old_directory, old_name, Kind.MOVED_FROM),
                        (new_directory, new_name, Kind.MOVED_TO),
                    ),
                ):
                    _rename_at(parent, old_name, target.parent, new_name, replace=replaced)
                keys = to_wire(new_directory), to_wire(new_name)
                if replaced:
                    operation.happened(removed(*keys, is_directory=False))
                operation.happened(
                    *renamed(
                        to_wire(old_directory),
                        to_wire(old_name),
                        *keys,
                        is_directory=handle.is_directory,
                    )
                )
        finally:
            os.close(parent)
        # A rename is no change of the file; smbtorture smb2.rename.simple_modtime.
        handle.file.keep_change_time(before, os.fstat(handle.fd).st_ctime_ns)
        self.files.moved(old, new)

    def _check_replaceable(self, handle: LocalHandle, target: Found, replace: bool) -> None:
        if not replace:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        status = os.fstat(target.fd)
        user = handle.credentials
        if user is not None and not user.may_remove(Rights.of(target.parent), status):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        dos = xattrs.get_dos(f"/proc/self/fd/{target.fd}")
        if (
            stat.S_ISDIR(status.st_mode)
            or self.files.get(key_of(status)) is not None
            or (dos and dos[0] & _READONLY)
        ):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)

    def _check_target(self, target: Found) -> None:
        """Windows opens the directory that gets the name, and shares reading and writing;
        smbtorture smb2.rename counts on it."""
        self.files.check(key_of(os.fstat(target.parent)), "", _ADD_FILE, _READ_WRITE)

    def _rename_stream(self, handle: LocalHandle, path: str, replace: bool) -> None:
        """`:name` renames a stream, `::$DATA` makes it the file's data."""
        if not path.startswith(":"):
            self._refuse_stream_path(path)
        if not handle.stream:
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
        new = parse("x" + path).stream
        with statuses(), self.files.lock:
            if not new:
                self._stream_to_data(handle, replace)
                return
            if new == handle.stream:
                return
            there = xattrs.find_stream(handle.proc, new)
            if there is not None and there != handle.stream:
                if not replace:
                    raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
                xattrs.remove_stream(handle.proc, there)
            directory, name = handle.where()
            key, file = to_wire(directory), to_wire(name)
            with self.feed.operation() as operation:
                value = xattrs.read_stream(handle.proc, handle.stream)
                expect_attrib(operation, directory, name)
                xattrs.remove_stream(handle.proc, handle.stream)
                expect_attrib(operation, directory, name)
                try:
                    xattrs.write_stream(handle.proc, new, value)
                except BaseException:  # a name too long, a disk that is full by now
                    xattrs.write_stream(handle.proc, handle.stream, value)
                    raise
                operation.happened(
                    done(Done.STREAM_REMOVED, key, f"{file}:{handle.stream}"),
                    done(Done.STREAM_ADDED, key, f"{file}:{new}"),
                )
            self.files.rename_stream(handle.file, handle, new)

    def _refuse_stream_path(self, path: str) -> None:
        """A stream stays in its file; but who cannot have the directory is told that first, as
        smbtorture smb2.streams.rename2 wants it."""
        name = parse(path)
        with statuses(), self.files.lock:
            target = self.resolver.find(name.components)
            try:
                if target.parent >= 0:
                    self._check_target(target)
            finally:
                target.close()
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)

    def _stream_to_data(self, handle: LocalHandle, replace: bool) -> None:
        if not stat.S_ISREG(os.fstat(handle.fd).st_mode):
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
        if not replace:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        if "" in handle.file.uses:  # somebody reads or writes the data that would go
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        directory, name = handle.where()
        key, file = to_wire(directory), to_wire(name)
        with self.feed.operation() as operation:
            value = xattrs.read_stream(handle.proc, handle.stream)
            operation.expect(directory, name, Kind.MODIFY)
            operation.expect(directory, name, Kind.MODIFY)
            with open(handle.proc, "wb") as data:
                data.write(value)
            expect_attrib(operation, directory, name)
            xattrs.remove_stream(handle.proc, handle.stream)
            operation.happened(
                done(Done.STREAM_REMOVED, key, f"{file}:{handle.stream}"),
                done(Done.RESIZED, key, file),
            )
        self.files.rename_stream(handle.file, handle, "")

    def link(self, handle: Handle, path: str, replace: bool) -> None:
        local = as_local(handle)
        name = parse(path)
        if local.is_directory:
            raise StatusError(NtStatus.STATUS_FILE_IS_A_DIRECTORY)
        if name.stream or not name.components or local.stream:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
        with statuses(), self.files.lock:
            target = self.resolver.find(name.components)
            try:
                self.check_changeable(local, target.parent)
                self.check_not_doomed(os.fstat(target.parent))
                directory = os.readlink(f"/proc/self/fd/{target.parent}")
                new_path(directory, target.name)
                if target.fd >= 0:
                    self._check_replaceable(local, target, replace)
                    os.unlink(os.fsencode(target.name), dir_fd=target.parent)
                with self.feed.operation() as operation:
                    with operation.call((directory, target.name, Kind.CREATE)):
                        os.link(
                            local.proc,
                            os.fsencode(target.name),
                            dst_dir_fd=target.parent,
                            follow_symlinks=True,
                        )
                    operation.happened(
                        added(to_wire(directory), to_wire(target.name), is_directory=False)
                    )
            finally:
                target.close()


def _rename_at(
    old_parent: int, old_name: str, new_parent: int, new_name: str, *, replace: bool
) -> None:
    old, new = os.fsencode(old_name), os.fsencode(new_name)
    if replace:
        os.rename(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)
        return
    try:
        renameat2(old_parent, old, new_parent, new, RENAME_NOREPLACE)
    except OSError as error:
        # A file system that cannot promise it: the store's lock keeps our own clients apart.
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        os.rename(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)
