"""A share on a directory of this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from notify_server.fs import access, security, times, xattrs
from notify_server.fs.api import (
    Attributes,
    BasicInformation,
    Ea,
    Entry,
    Handle,
    Opened,
    OpenRequest,
    Stream,
    Volume,
)
from notify_server.fs.errors import status_error
from notify_server.fs.feed import ChangeFeed, Kind, Operation
from notify_server.fs.handle import LocalHandle, attributes_of
from notify_server.fs.names import ParsedName, expression, parse, to_wire
from notify_server.fs.opens import OpenFiles
from notify_server.fs.resolve import Found, Resolver
from notify_server.fs.syscalls import RENAME_NOREPLACE, birth_time_ns, renameat2
from notify_server.fs.watched import join
from notify_server.notify.change import DirectoryDoomed
from notify_server.notify.classes import BASIC_BITS, added, basic_changed, done, removed, renamed
from notify_server.notify.classes import Operation as Done
from notify_server.wire.constants import (
    AccessMask,
    CreateAction,
    CreateDisposition,
    CreateOptions,
)
from notify_server.wire.fscc import FileAttributes, FileSystemAttributes
from notify_server.wire.status import NtStatus, StatusError

_T = TypeVar("_T")

_WRITE_DATA: Final = AccessMask.FILE_WRITE_DATA | AccessMask.FILE_APPEND_DATA
_READ_DATA: Final = AccessMask.FILE_READ_DATA | AccessMask.FILE_EXECUTE
_LIST: Final = AccessMask.FILE_LIST_DIRECTORY
_READONLY: Final = int(FileAttributes.FILE_ATTRIBUTE_READONLY)
_ARCHIVE: Final = int(FileAttributes.FILE_ATTRIBUTE_ARCHIVE)
_DIRECTORY: Final = int(FileAttributes.FILE_ATTRIBUTE_DIRECTORY)
_NORMAL: Final = int(FileAttributes.FILE_ATTRIBUTE_NORMAL)
_TEMPORARY: Final = int(FileAttributes.FILE_ATTRIBUTE_TEMPORARY)
_KEPT_BY_OVERWRITE: Final = int(
    FileAttributes.FILE_ATTRIBUTE_HIDDEN | FileAttributes.FILE_ATTRIBUTE_SYSTEM
)

_OPENING: Final = (CreateDisposition.FILE_OPEN, CreateDisposition.FILE_OPEN_IF)
_MUST_EXIST: Final = (CreateDisposition.FILE_OPEN, CreateDisposition.FILE_OVERWRITE)
_SECTOR: Final = 512


class LocalStore:
    """Implements `api.Store`."""

    def __init__(self, root: str, feed: ChangeFeed, files: OpenFiles, label: str = "") -> None:
        self.root = os.path.realpath(root)
        self._root_fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._feed = feed
        self._files = files
        self._resolver = Resolver(self._root_fd)
        self._label = label

    def dispose(self) -> None:
        """Give back what the store itself holds open."""
        os.close(self._root_fd)

    # Opening

    def open(self, request: OpenRequest) -> Opened:
        name = parse(request.path)
        _check_request(request, name)
        with _statuses(), self._files.lock:
            found = self._resolver.find(name.components)
            try:
                if found.fd < 0:
                    return self._create(request, name, found)
                return self._open_existing(request, name, found)
            finally:
                found.close()

    def _create(self, request: OpenRequest, name: ParsedName, found: Found) -> Opened:
        """[MS-FSA] 2.1.5.1.1."""
        if request.disposition in _MUST_EXIST:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)
        parent = self._files.get(_key(os.fstat(found.parent)))
        if parent is not None and parent.delete_pending:
            raise StatusError(NtStatus.STATUS_DELETE_PENDING)
        is_directory = bool(request.options & CreateOptions.FILE_DIRECTORY_FILE)
        if request.attributes & _READONLY and request.options & CreateOptions.FILE_DELETE_ON_CLOSE:
            raise StatusError(NtStatus.STATUS_CANNOT_DELETE)
        for ea in request.eas:
            xattrs.check_ea(ea)
        granted = access.granted(request.desired_access, access.ALL)
        directory = os.readlink(f"/proc/self/fd/{found.parent}")
        with self._feed.operation() as operation:
            operation.expect(directory, found.name, Kind.CREATE)
            fd = self._make(found, is_directory=is_directory, granted=granted, name=name)
            try:
                handle = self._handle(
                    request, fd, name.stream, granted, access.ALL, is_directory=is_directory
                )
                self._furnish(request, handle, operation, directory, found.name)
                if name.stream:
                    self._expect_attrib(operation, directory, found.name)
                    xattrs.write_stream(handle.proc, name.stream, b"")
            except BaseException:
                os.close(fd)
                self._unmake(found, is_directory=is_directory)
                raise
            key = to_wire(directory), to_wire(found.name)
            operation.happened(added(*key, is_directory=is_directory))
            if name.stream:
                operation.happened(done(Done.STREAM_ADDED, key[0], f"{key[1]}:{name.stream}"))
        return self._opened(handle, CreateAction.FILE_CREATED, join(directory, found.name))

    def _make(
        self, found: Found, *, is_directory: bool, granted: AccessMask, name: ParsedName
    ) -> int:
        path = os.fsencode(found.name)
        if is_directory:
            os.mkdir(path, dir_fd=found.parent)
            flags = os.O_RDONLY | os.O_DIRECTORY
        else:
            mode = os.O_RDWR if granted & _READ_DATA or not granted & _WRITE_DATA else os.O_WRONLY
            flags = mode | os.O_CREAT | os.O_EXCL
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o666, dir_fd=found.parent)

    def _unmake(self, found: Found, *, is_directory: bool) -> None:
        with contextlib.suppress(OSError):
            remove = os.rmdir if is_directory else os.unlink
            remove(os.fsencode(found.name), dir_fd=found.parent)

    def _furnish(
        self,
        request: OpenRequest,
        handle: LocalHandle,
        operation: Operation,
        directory: str,
        name: str,
    ) -> None:
        """Attributes, EAs and security of a file that is new or overwritten."""
        wanted = int(request.attributes) & xattrs.STORED_ATTRIBUTES
        usual = 0 if handle.is_directory else _ARCHIVE
        if not handle.stream and (wanted | usual) != usual:
            self._expect_attrib(operation, directory, name)
            born = birth_time_ns(handle.fd)
            xattrs.set_dos(handle.proc, wanted | usual, times.from_ns(born) if born else 0)
        for ea in request.eas:
            self._expect_attrib(operation, directory, name)
            xattrs.set_ea(handle.proc, ea)
        if request.security_descriptor:
            self._expect_attrib(operation, directory, name)
            os.setxattr(handle.proc, xattrs.SECURITY, request.security_descriptor)
        if request.allocation_size and not handle.is_directory and not handle.stream:
            with contextlib.suppress(OSError):
                os.posix_fallocate(handle.fd, 0, 0)

    def _open_existing(self, request: OpenRequest, name: ParsedName, found: Found) -> Opened:
        """[MS-FSA] 2.1.5.1.2."""
        path = f"/proc/self/fd/{found.fd}"
        status = os.fstat(found.fd)
        is_directory = stat.S_ISDIR(status.st_mode)
        if not is_directory and not stat.S_ISREG(status.st_mode):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        stream = name.stream
        if stream:
            kept = xattrs.find_stream(path, stream)
            if kept is None and request.disposition in _MUST_EXIST:
                raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)
            exists, stream = kept is not None, kept or stream
        else:
            exists = True
        _check_kind(request, stream, is_directory=is_directory)
        if exists and request.disposition == CreateDisposition.FILE_CREATE:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        overwriting = exists and request.disposition not in _OPENING
        dos = xattrs.get_dos(path)
        attributes = dos[0] if dos else 0
        available = access.maximal(path, attributes, directory=is_directory)
        wanted = access.specific(int(request.desired_access))
        if overwriting:
            self._check_overwrite(request, stream, attributes)
            wanted |= int(AccessMask.FILE_WRITE_DATA) if not stream else 0
        granted = access.granted(int(request.desired_access), available)
        if overwriting and not available & AccessMask.FILE_WRITE_DATA:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        if request.options & CreateOptions.FILE_DELETE_ON_CLOSE:
            _check_deletable(self, status, attributes)
        key = _key(status)
        checked = int(granted) | (int(AccessMask.FILE_WRITE_DATA) if overwriting else 0)
        self._files.check(key, stream, checked, int(request.share_access))

        fd = self._reopen(found, granted, overwriting and not stream, is_directory=is_directory)
        handle = self._handle(
            request, fd, stream, granted, available, is_directory=is_directory and not stream
        )
        try:
            real = os.readlink(handle.proc)
            directory, _, last = real.rpartition("/")
            action = CreateAction.FILE_OPENED
            if not exists:
                self._add_stream(handle, directory, last)
                action = CreateAction.FILE_CREATED
            elif overwriting:
                self._overwrite(request, handle, directory, last)
                action = (
                    CreateAction.FILE_SUPERSEDED
                    if request.disposition == CreateDisposition.FILE_SUPERSEDE
                    else CreateAction.FILE_OVERWRITTEN
                )
        except BaseException:
            os.close(fd)
            raise
        return self._opened(handle, action, real)

    def _check_overwrite(self, request: OpenRequest, stream: str, attributes: int) -> None:
        if stream:
            return
        if attributes & _READONLY:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        if attributes & _KEPT_BY_OVERWRITE & ~int(request.attributes):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        for ea in request.eas:
            xattrs.check_ea(ea)

    def _reopen(
        self, found: Found, granted: AccessMask, truncating: bool, *, is_directory: bool
    ) -> int:
        """A descriptor that can do what was granted; O_PATH where that is no I/O.

        Through /proc, so that it is the very inode that was checked.
        """
        path = f"/proc/self/fd/{found.fd}"
        if is_directory:
            if not granted & _LIST:
                return found.take()
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        reads, writes = granted & _READ_DATA, granted & _WRITE_DATA or truncating
        if not reads and not writes:
            return found.take()
        mode = (os.O_RDWR if reads else os.O_WRONLY) if writes else os.O_RDONLY
        return os.open(path, mode | os.O_CLOEXEC)

    def _overwrite(
        self, request: OpenRequest, handle: LocalHandle, directory: str, name: str
    ) -> None:
        """Empty a file, its EAs and streams; or empty a stream."""
        key = to_wire(directory), to_wire(name)
        with self._feed.operation() as operation:
            if handle.stream:
                self._expect_attrib(operation, directory, name)
                xattrs.write_stream(handle.proc, handle.stream, b"")
                operation.happened(
                    done(Done.STREAM_OVERWRITTEN, key[0], f"{key[1]}:{handle.stream}")
                )
                return
            operation.expect(directory, name, Kind.MODIFY)
            os.ftruncate(handle.fd, 0)
            for present in xattrs.names(handle.proc):
                if xattrs.is_ea(present) or present.startswith((xattrs.STREAM, xattrs.DOS)):
                    self._expect_attrib(operation, directory, name)
                    os.removexattr(handle.proc, present)
            self._furnish(request, handle, operation, directory, name)
            operation.happened(done(Done.OVERWRITTEN, *key))

    def _add_stream(self, handle: LocalHandle, directory: str, name: str) -> None:
        with self._feed.operation() as operation:
            self._expect_attrib(operation, directory, name)
            xattrs.write_stream(handle.proc, handle.stream, b"")
            operation.happened(
                done(Done.STREAM_ADDED, to_wire(directory), f"{to_wire(name)}:{handle.stream}")
            )

    def _handle(
        self,
        request: OpenRequest,
        fd: int,
        stream: str,
        granted: AccessMask,
        available: int,
        *,
        is_directory: bool,
    ) -> LocalHandle:
        handle = LocalHandle(
            fd,
            self.root,
            stream,
            granted,
            AccessMask(available),
            request.share_access,
            is_directory=is_directory,
        )
        handle.delete_on_close = bool(request.options & CreateOptions.FILE_DELETE_ON_CLOSE)
        return handle

    def _opened(self, handle: LocalHandle, action: CreateAction, path: str) -> Opened:
        handle.file = self._files.add(_key(os.fstat(handle.fd)), path, handle)
        return Opened(handle, action, self.attributes(handle))

    # Closing, and what it deletes

    def close(self, handle: Handle) -> None:
        local = _local(handle)
        if local.fd < 0:
            return
        with contextlib.suppress(StatusError, OSError), self._files.lock:
            try:
                if local.delete_on_close:
                    self._delete_on_close(local)
                if self._files.remove(local.file, local) and local.file.delete_pending:
                    self._delete(local)
            finally:
                if local.watched is not None:
                    self._feed.unwatch(local.watched)
                    local.watched = None
                fd, local.fd = local.fd, -1
                os.close(fd)

    def _delete_on_close(self, handle: LocalHandle) -> None:
        """[MS-FSA] 2.1.5.5 phase 1: a directory only if it is empty by now."""
        if handle.stream:
            self._delete_stream(handle)
        elif not handle.is_directory or not os.listdir(handle.proc):
            self._doom(handle)

    def _doom(self, handle: LocalHandle) -> None:
        if not handle.file.delete_pending:
            handle.file.delete_pending = True
            if handle.is_directory:
                self._feed.tell(DirectoryDoomed(to_wire(handle.file.path)))

    def _delete(self, handle: LocalHandle) -> None:
        directory, name = handle.where()
        parent = self._parent(handle, directory, name)
        try:
            with self._feed.operation() as operation:
                operation.expect(directory, name, Kind.DELETE)
                remove = os.rmdir if handle.is_directory else os.unlink
                remove(os.fsencode(name), dir_fd=parent)
                operation.happened(
                    removed(to_wire(directory), to_wire(name), is_directory=handle.is_directory)
                )
        finally:
            os.close(parent)

    def _delete_stream(self, handle: LocalHandle) -> None:
        directory, name = handle.where()
        with self._feed.operation() as operation:
            self._expect_attrib(operation, directory, name)
            xattrs.remove_stream(handle.proc, handle.stream)
            operation.happened(
                done(Done.STREAM_REMOVED, to_wire(directory), f"{to_wire(name)}:{handle.stream}")
            )

    def _parent(self, handle: LocalHandle, directory: str, name: str) -> int:
        """O_PATH of the directory that holds the handle's file, which must still be there."""
        parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            there = os.stat(os.fsencode(name), dir_fd=parent, follow_symlinks=False)
            if _key(there) != handle.file.key:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        except OSError:
            os.close(parent)
            raise
        return parent

    def set_delete_pending(self, handle: Handle, pending: bool) -> None:
        local = _local(handle)
        with _statuses(), self._files.lock:
            if local.stream:
                local.delete_on_close = pending
                return
            if not pending:
                if local.file.delete_pending:
                    local.file.delete_pending = False
                    self._feed.tell(DirectoryDoomed(to_wire(local.file.path), undone=True))
                return
            dos = xattrs.get_dos(local.proc)
            _check_deletable(self, os.fstat(local.fd), dos[0] if dos else 0)
            if local.is_directory and os.listdir(local.proc):
                raise StatusError(NtStatus.STATUS_DIRECTORY_NOT_EMPTY)
            self._doom(local)

    # Data

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        local = _local(handle)
        with _statuses():
            if local.stream:
                return xattrs.read_stream(local.proc, local.stream)[offset : offset + length]
            return os.pread(local.fd, length, offset)

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        local = _local(handle)
        with _statuses():
            if local.stream:
                return self._write_stream(local, offset, data)
            if self._feed.idle and local.held_write_time is None:
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
        with self._files.lock:
            old = xattrs.read_stream(handle.proc, handle.stream)
            new = old.ljust(offset, b"\0")[:offset] + data + old[offset + len(data) :]
            what = Done.STREAM_EXTENDED if len(new) > len(old) else Done.STREAM_WRITTEN
            self._set_stream(handle, new, what)
        return len(data)

    def _set_stream(self, handle: LocalHandle, value: bytes, what: Done) -> None:
        directory, name = handle.where()
        with self._feed.operation() as operation:
            self._expect_attrib(operation, directory, name)
            xattrs.write_stream(handle.proc, handle.stream, value)
            operation.happened(done(what, to_wire(directory), f"{to_wire(name)}:{handle.stream}"))

    def _modify(self, handle: LocalHandle, what: Done, change: Callable[[], object]) -> None:
        """Change data, keep a held write time, and tell."""
        directory, name = handle.where()
        with self._feed.operation() as operation:
            operation.expect(directory, name, Kind.MODIFY)
            change()
            if handle.held_write_time is not None:
                self._expect_attrib(operation, directory, name)
                status = os.fstat(handle.fd)
                os.utime(handle.proc, ns=(status.st_atime_ns, handle.held_write_time))
            operation.happened(done(what, to_wire(directory), to_wire(name)))

    def flush(self, handle: Handle) -> None:
        local = _local(handle)
        if not local.stream and not local.is_directory:
            with _statuses():
                os.fdatasync(local.fd)

    def set_end_of_file(self, handle: Handle, size: int) -> None:
        local = _local(handle)
        with _statuses():
            if local.is_directory:
                raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
            if local.stream:
                if size > STREAM_LIMIT:
                    raise StatusError(NtStatus.STATUS_DISK_FULL)
                with self._files.lock:
                    old = xattrs.read_stream(local.proc, local.stream)
                    new = old[:size].ljust(size, b"\0")
                    self._set_stream(local, new, Done.STREAM_RESIZED)
                return
            self._modify(local, Done.RESIZED, lambda: os.ftruncate(local.fd, size))

    def set_allocation_size(self, handle: Handle, size: int) -> None:
        local = _local(handle)
        if size < self.attributes(handle).end_of_file:
            self.set_end_of_file(local, size)

    # Information

    def attributes(self, handle: Handle) -> Attributes:
        local = _local(handle)
        with _statuses():
            size = None
            if local.stream:
                size = len(xattrs.read_stream(local.proc, local.stream))
            status = os.fstat(local.fd)
            return attributes_of(local.proc, status, local.fd, stream_size=size, file=local.file)

    def set_basic(self, handle: Handle, information: BasicInformation) -> None:
        local = _local(handle)
        with _statuses(), self._files.lock:
            directory, name = local.where()
            bits = 0
            with self._feed.operation() as operation:
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
        self._expect_attrib(operation, directory, name)
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
            self._expect_attrib(operation, directory, name)
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

    def _expect_attrib(self, operation: Operation, directory: str, name: str) -> None:
        operation.expect(directory, name, Kind.ATTRIB)

    # Names

    def rename(self, handle: Handle, path: str, replace: bool) -> None:
        local = _local(handle)
        if local.stream or path.startswith(":"):
            self._rename_stream(local, path, replace)
            return
        name = parse(path)
        if name.stream or not name.components:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
        with _statuses(), self._files.lock:
            old_directory, old_name = local.where()
            old = join(old_directory, old_name)
            if old == self.root:
                raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
            if local.is_directory and any(True for _ in self._files.below(old)):
                # [MS-FSA] 2.1.5.15.11: a directory with open files in it stays.
                raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
            target = self._resolver.find(name.components)
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
        new_directory = os.readlink(f"/proc/self/fd/{target.parent}")
        old, new = join(old_directory, old_name), join(new_directory, new_name)
        if old == new:
            return
        if new.startswith(old + "/"):
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
        replaced = False
        if target.fd >= 0 and _key(os.fstat(target.fd)) != handle.file.key:
            self._check_replaceable(target, replace)
            # The name that is there differs in case, maybe: it must go, not stay beside.
            replaced, new_name = True, target.name
            new = join(new_directory, new_name)
        parent = self._parent(handle, old_directory, old_name)
        try:
            with self._feed.operation() as operation:
                operation.expect(old_directory, old_name, Kind.MOVED_FROM)
                operation.expect(new_directory, new_name, Kind.MOVED_TO)
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
        self._files.moved(old, new)

    def _check_replaceable(self, target: Found, replace: bool) -> None:
        if not replace:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        status = os.fstat(target.fd)
        dos = xattrs.get_dos(f"/proc/self/fd/{target.fd}")
        if (
            stat.S_ISDIR(status.st_mode)
            or self._files.get(_key(status)) is not None
            or (dos and dos[0] & _READONLY)
        ):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)

    def _rename_stream(self, handle: LocalHandle, path: str, replace: bool) -> None:
        new = parse("x" + path).stream if path.startswith(":") else ""
        if not handle.stream or not new:
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
        with _statuses(), self._files.lock:
            there = xattrs.find_stream(handle.proc, new)
            if there is not None and there != handle.stream:
                if not replace:
                    raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
                xattrs.remove_stream(handle.proc, there)
            directory, name = handle.where()
            key, file = to_wire(directory), to_wire(name)
            with self._feed.operation() as operation:
                value = xattrs.read_stream(handle.proc, handle.stream)
                self._expect_attrib(operation, directory, name)
                xattrs.remove_stream(handle.proc, handle.stream)
                self._expect_attrib(operation, directory, name)
                xattrs.write_stream(handle.proc, new, value)
                operation.happened(
                    done(Done.STREAM_REMOVED, key, f"{file}:{handle.stream}"),
                    done(Done.STREAM_ADDED, key, f"{file}:{new}"),
                )
            handle.stream = new

    def link(self, handle: Handle, path: str, replace: bool) -> None:
        local = _local(handle)
        name = parse(path)
        if local.is_directory:
            raise StatusError(NtStatus.STATUS_FILE_IS_A_DIRECTORY)
        if name.stream or not name.components or local.stream:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
        with _statuses(), self._files.lock:
            target = self._resolver.find(name.components)
            try:
                directory = os.readlink(f"/proc/self/fd/{target.parent}")
                if target.fd >= 0:
                    self._check_replaceable(target, replace)
                    os.unlink(os.fsencode(target.name), dir_fd=target.parent)
                with self._feed.operation() as operation:
                    operation.expect(directory, target.name, Kind.CREATE)
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

    def entries(self, handle: Handle, pattern: str) -> list[Entry]:
        local = _local(handle)
        wanted = expression(pattern)
        with _statuses():
            fd = os.open(local.proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                found = [Entry(".", self.attributes(local)), Entry("..", self.attributes(local))]
                found = [entry for entry in found if wanted.fullmatch(entry.name)]
                for name in os.listdir(fd):
                    shown = to_wire(name)
                    if wanted.fullmatch(shown):
                        entry = self._entry(fd, name, shown)
                        if entry is not None:
                            found.append(entry)
                return found
            finally:
                os.close(fd)

    def _entry(self, directory: int, name: str, shown: str) -> Entry | None:
        """None for what went meanwhile, is no file or directory, or leads out of the share."""
        try:
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                status = os.fstat(fd)
                if stat.S_ISLNK(status.st_mode):
                    os.close(fd)
                    fd = self._followed(directory, name)
                    status = os.fstat(fd)
                if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
                    return None
                file = self._files.get(_key(status))
                return Entry(shown, attributes_of(f"/proc/self/fd/{fd}", status, fd, file=file))
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None

    def _followed(self, directory: int, name: str) -> int:
        path = os.readlink(f"/proc/self/fd/{directory}")
        relative = os.path.relpath(path, self.root)
        try:
            return self._resolver.open(f"{relative}/{name}")
        except OSError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error

    # Extended attributes, streams, security

    def eas(self, handle: Handle) -> list[Ea]:
        with _statuses():
            return xattrs.eas(_local(handle).proc)

    def set_eas(self, handle: Handle, eas: Sequence[Ea]) -> None:
        local = _local(handle)
        for ea in eas:
            xattrs.check_ea(ea)
        with _statuses(), self._files.lock:
            directory, name = local.where()
            with self._feed.operation() as operation:
                for ea in eas:
                    self._expect_attrib(operation, directory, name)
                    xattrs.set_ea(local.proc, ea)
                if eas:
                    operation.happened(done(Done.EA_CHANGED, to_wire(directory), to_wire(name)))

    def streams(self, handle: Handle) -> list[Stream]:
        local = _local(handle)
        with _statuses():
            found = []
            status = os.fstat(local.fd)
            if stat.S_ISREG(status.st_mode):
                found.append(Stream("::$DATA", status.st_size, status.st_blocks * 512))
            for stream, size in xattrs.streams(local.proc):
                found.append(Stream(xattrs.stream_label(stream), size, -(-size // 8) * 8))
            return found

    def security_descriptor(self, handle: Handle, information: int) -> bytes:
        local = _local(handle)
        with _statuses():
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
        local = _local(handle)
        with _statuses(), self._files.lock:
            merged = security.merge(self._descriptor(local), information, sd)
            directory, name = local.where()
            with self._feed.operation() as operation:
                self._expect_attrib(operation, directory, name)
                os.setxattr(local.proc, xattrs.SECURITY, merged)
                operation.happened(done(Done.SECURITY_CHANGED, to_wire(directory), to_wire(name)))

    # The volume, and watching

    def volume(self) -> Volume:
        with _statuses():
            room = os.fstatvfs(self._root_fd)
            status = os.fstat(self._root_fd)
        sectors = max(1, room.f_frsize // _SECTOR)
        return Volume(
            label=self._label,
            serial_number=(status.st_dev ^ status.st_ino) & 0xFFFFFFFF,
            creation_time=times.from_ns(birth_time_ns(self._root_fd) or status.st_ctime_ns),
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

    def watch(self, handle: Handle, tree: bool) -> str:
        local = _local(handle)
        with _statuses():
            if local.file.delete_pending:
                raise StatusError(NtStatus.STATUS_DELETE_PENDING)
            path = os.readlink(local.proc)
            if local.watched is None:
                local.watched = self._feed.watch(path, local.fd, tree, self.root)
            return to_wire(path)


STREAM_LIMIT: Final = 64 * 1024


def _local(handle: Handle) -> LocalHandle:
    assert isinstance(handle, LocalHandle)
    return handle


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _statuses() -> Iterator[None]:
    """OSErrors become StatusErrors."""
    try:
        yield
    except OSError as error:
        raise status_error(error) from error


def _check_request(request: OpenRequest, name: ParsedName) -> None:
    """What can be said before looking at the disk ([MS-FSA] 2.1.5.1 phase 1)."""
    options, disposition = request.options, request.disposition
    directory = bool(options & CreateOptions.FILE_DIRECTORY_FILE)
    if directory and options & CreateOptions.FILE_NON_DIRECTORY_FILE:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if directory and disposition not in (*_OPENING, CreateDisposition.FILE_CREATE):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if directory and name.stream:
        raise StatusError(NtStatus.STATUS_NOT_A_DIRECTORY)
    if options & CreateOptions.FILE_DELETE_ON_CLOSE:
        wanted = access.specific(int(request.desired_access))
        if not wanted & (AccessMask.DELETE | AccessMask.MAXIMUM_ALLOWED):
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if directory and request.attributes & _TEMPORARY:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)


def _check_kind(request: OpenRequest, stream: str, *, is_directory: bool) -> None:
    options = request.options
    if options & CreateOptions.FILE_DIRECTORY_FILE and not is_directory:
        if request.disposition == CreateDisposition.FILE_CREATE:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        raise StatusError(NtStatus.STATUS_NOT_A_DIRECTORY)
    if is_directory and not stream:
        if options & CreateOptions.FILE_NON_DIRECTORY_FILE:
            raise StatusError(NtStatus.STATUS_FILE_IS_A_DIRECTORY)
        if request.disposition not in _OPENING:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)


def _check_deletable(store: LocalStore, status: os.stat_result, attributes: int) -> None:
    if attributes & _READONLY:
        raise StatusError(NtStatus.STATUS_CANNOT_DELETE)
    if os.path.samestat(status, os.stat(store.root)):
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)


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


def _write_all(fd: int, data: bytes, offset: int) -> int:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
    return len(data)
