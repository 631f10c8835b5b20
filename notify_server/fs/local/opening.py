"""Opening, creating, overwriting ([MS-FSA] 2.1.5.1)."""

from __future__ import annotations

import os
import stat
from typing import Final

from notify_server.fs import access, security, times, xattrs
from notify_server.fs.access import Credentials, Rights
from notify_server.fs.api import Opened, OpenRequest
from notify_server.fs.errors import status_error
from notify_server.fs.feed import Kind, Operation
from notify_server.fs.handle import Directory, LocalHandle
from notify_server.fs.local.base import (
    StoreBase,
    check_deletable,
    expect_attrib,
    is_sole,
    key_of,
    new_path,
)
from notify_server.fs.names import ParsedName, parse, to_wire
from notify_server.fs.resolve import Found
from notify_server.fs.syscalls import birth_time_ns, reserve
from notify_server.fs.watched import name_of, parent_of
from notify_server.notify.classes import Operation as Done
from notify_server.notify.classes import added, done
from notify_server.wire.constants import AccessMask, CreateAction, CreateDisposition, CreateOptions
from notify_server.wire.fscc import FileAttributes
from notify_server.wire.status import NtStatus, StatusError

_WRITE_DATA: Final = int(AccessMask.FILE_WRITE_DATA)
_WRITES: Final = int(AccessMask.FILE_WRITE_DATA | AccessMask.FILE_APPEND_DATA)
_READS: Final = int(AccessMask.FILE_READ_DATA | AccessMask.FILE_EXECUTE)
_LIST: Final = int(AccessMask.FILE_LIST_DIRECTORY)
_DELETE: Final = int(AccessMask.DELETE)
_DELETE_CHILD: Final = int(AccessMask.FILE_DELETE_CHILD)
_READ_ATTRIBUTES: Final = int(AccessMask.FILE_READ_ATTRIBUTES)
_MAXIMUM_ALLOWED: Final = int(AccessMask.MAXIMUM_ALLOWED)
_DIRECTORY_FILE: Final = int(CreateOptions.FILE_DIRECTORY_FILE)
_NON_DIRECTORY_FILE: Final = int(CreateOptions.FILE_NON_DIRECTORY_FILE)
_DELETE_ON_CLOSE: Final = int(CreateOptions.FILE_DELETE_ON_CLOSE)
_READONLY: Final = int(FileAttributes.FILE_ATTRIBUTE_READONLY)
_ARCHIVE: Final = int(FileAttributes.FILE_ATTRIBUTE_ARCHIVE)
_TEMPORARY: Final = int(FileAttributes.FILE_ATTRIBUTE_TEMPORARY)
_KEPT_BY_OVERWRITE: Final = int(
    FileAttributes.FILE_ATTRIBUTE_HIDDEN | FileAttributes.FILE_ATTRIBUTE_SYSTEM
)

_OPENING: Final = (CreateDisposition.FILE_OPEN, CreateDisposition.FILE_OPEN_IF)
_MUST_EXIST: Final = (CreateDisposition.FILE_OPEN, CreateDisposition.FILE_OVERWRITE)


def _allowed(found: Found, present: list[str]) -> int:
    """What kept security descriptors leave of the rights ([MS-FSA] 2.1.5.1.2.1).

    Whoever may delete a directory's children may delete this one, and whoever may list it may read
    its attributes.
    """
    rights = _allowed_by_own(found.fd) if xattrs.SECURITY in present else access.ALL
    if found.parent < 0 or rights == access.ALL:
        return rights
    above = _allowed_by_own(found.parent)
    if above & _DELETE_CHILD:
        rights |= _DELETE
    if above & _LIST:
        rights |= _READ_ATTRIBUTES
    return rights


def _allowed_by_own(fd: int) -> int:
    try:
        descriptor = os.getxattr(f"/proc/self/fd/{fd}", xattrs.SECURITY)
    except OSError:  # none was ever set, or there are no extended attributes here
        return access.ALL
    try:
        return security.allowed(descriptor)
    except StatusError:  # damaged beside us: nobody could mend it if it locked everyone out
        return access.ALL


def _inherited(parent: int, *, directory: bool) -> bytes:
    """The descriptor that a new file in `parent` gets, if any."""
    try:
        above = os.getxattr(f"/proc/self/fd/{parent}", xattrs.SECURITY)
    except OSError:
        return b""
    try:
        return security.inherited(above, os.geteuid(), os.getegid(), directory=directory)
    except StatusError:
        return b""


class Opening(StoreBase):
    """Store.open."""

    def open(self, request: OpenRequest) -> Opened:
        name = parse(request.path)
        _check_request(request, name)
        try:
            with self.files.lock:
                found = self.resolver.find(name.components)
                try:
                    if request.credentials is not None and found.parent >= 0:
                        self._check_way(request.credentials, found)
                    if found.fd < 0:
                        return self._create(request, name, found)
                    return self._open_existing(request, name, found)
                finally:
                    found.close()
        except OSError as error:
            raise status_error(error) from error

    def _check_way(self, user: Credentials, found: Found) -> None:
        """ACCESS_DENIED unless `user` may come to the name, and to where a symbolic link leads.

        From here on `found.parent` is the directory of what was found, not that of the link: it is
        there that the file would be deleted.
        """
        self.check_reachable(user, found.parent)
        if found.fd < 0:
            return
        real = os.readlink(f"/proc/self/fd/{found.fd}")
        directory = parent_of(real)
        if real != self.root and directory == os.readlink(f"/proc/self/fd/{found.parent}"):
            return
        os.close(found.parent)
        found.parent = -1
        if real != self.root:
            key = key_of(os.fstat(found.fd))
            found.parent = self.holder_of(key, directory, name_of(real))
            self.check_reachable(user, found.parent)

    def _create(self, request: OpenRequest, name: ParsedName, found: Found) -> Opened:
        """[MS-FSA] 2.1.5.1.1."""
        if request.disposition in _MUST_EXIST:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)
        above = found.above or os.fstat(found.parent)
        user = request.credentials
        if user is not None and not user.may_change(Rights.of(found.parent)):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        self.check_not_doomed(above)
        is_directory = bool(request.options & _DIRECTORY_FILE)
        if request.attributes & _READONLY and request.options & _DELETE_ON_CLOSE:
            raise StatusError(NtStatus.STATUS_CANNOT_DELETE)
        for ea in request.eas:
            xattrs.check_ea(ea)
        granted = access.granted(request.desired_access, access.ALL)
        descriptor = request.security_descriptor or _inherited(found.parent, directory=is_directory)
        directory = os.readlink(f"/proc/self/fd/{found.parent}")
        real = new_path(directory, found.name)
        with self.feed.operation() as operation:
            fd = self._make(found, operation, directory, is_directory=is_directory, granted=granted)
            try:
                self.resolver.changed(found.parent, above, add=found.name)
                handle = self._handle(
                    request, fd, name.stream, granted, access.ALL, is_directory=is_directory
                )
                bare = self._furnish(request, handle, operation, directory, found.name, descriptor)
                if name.stream:
                    expect_attrib(operation, directory, found.name)
                    xattrs.write_stream(handle.proc, name.stream, b"")
                    bare = False
            except BaseException:
                os.close(fd)
                self._unmake(found, directory, is_directory=is_directory)
                raise
            key = to_wire(directory), to_wire(found.name)
            operation.happened(added(*key, is_directory=is_directory))
            if name.stream:
                operation.happened(done(Done.STREAM_ADDED, key[0], f"{key[1]}:{name.stream}"))
        return self._opened(handle, CreateAction.FILE_CREATED, real, os.fstat(fd), bare=bare)

    def _make(
        self,
        found: Found,
        operation: Operation,
        directory: str,
        *,
        is_directory: bool,
        granted: int,
    ) -> int:
        path = os.fsencode(found.name)
        echo = (directory, found.name, Kind.CREATE)
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        if not is_directory:
            flags |= os.O_RDWR if granted & _READS or not granted & _WRITES else os.O_WRONLY
            with operation.call(echo):
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=found.parent)
        with operation.call(echo):
            os.mkdir(path, dir_fd=found.parent)
        try:
            return os.open(path, flags | os.O_RDONLY | os.O_DIRECTORY, dir_fd=found.parent)
        except BaseException:
            self._unmake(found, directory, is_directory=True)
            raise

    def _unmake(self, found: Found, directory: str, *, is_directory: bool) -> None:
        """Take back what was made; nobody was told of it, and nobody is told that it goes."""
        with self.feed.operation() as operation:
            try:
                with operation.call((directory, found.name, Kind.DELETE)):
                    remove = os.rmdir if is_directory else os.unlink
                    remove(os.fsencode(found.name), dir_fd=found.parent)
            except OSError:  # somebody has put something in it: it stays
                key = to_wire(directory), to_wire(found.name)
                operation.happened(added(*key, is_directory=is_directory))

    def _furnish(
        self,
        request: OpenRequest,
        handle: LocalHandle,
        operation: Operation,
        directory: str,
        name: str,
        descriptor: bytes,
    ) -> bool:
        """Attributes, EAs and security of a file that is new or overwritten; False if it got any.

        The file system gives a new file no user attributes, so one that got none has none.
        """
        wanted = request.attributes & xattrs.STORED_ATTRIBUTES
        usual = 0 if handle.is_directory else _ARCHIVE
        bare = not request.eas and not descriptor
        if not handle.stream and (wanted | usual) != usual:
            expect_attrib(operation, directory, name)
            born = birth_time_ns(handle.fd)
            xattrs.set_dos(handle.proc, wanted | usual, times.from_ns(born) if born else 0)
            bare = False
        for ea in request.eas:
            expect_attrib(operation, directory, name)
            xattrs.set_ea(handle.proc, ea)
        if descriptor:
            expect_attrib(operation, directory, name)
            os.setxattr(handle.proc, xattrs.SECURITY, descriptor)
        if request.allocation_size and not handle.is_directory and not handle.stream:
            operation.expect(directory, name, Kind.MODIFY)
            reserve(handle.fd, request.allocation_size)
        return bare

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
        _check_kind(request, name, is_directory=is_directory)
        if exists and request.disposition == CreateDisposition.FILE_CREATE:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        overwriting = exists and request.disposition not in _OPENING
        present = xattrs.names(path)
        dos = xattrs.get_dos(path) if xattrs.DOS in present else None
        attributes = dos[0] if dos else 0
        available = access.maximal(path, attributes, directory=is_directory)
        available &= _allowed(found, present)
        if request.credentials is not None:
            above = Rights.of(found.parent) if found.parent >= 0 else None
            available &= access.of_mode(request.credentials, Rights.of(found.fd), above)
        wanted = access.specific(request.desired_access)
        if overwriting:
            self._check_overwrite(request, stream, attributes)
            wanted |= _WRITE_DATA if not stream else 0
        granted = access.granted(request.desired_access, available)
        if (overwriting or not exists) and not available & _WRITE_DATA:
            # A new stream is written to the file as well.
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        if request.options & _DELETE_ON_CLOSE:
            check_deletable(self, status, attributes)
            if not granted & _DELETE:  # MAXIMUM_ALLOWED asked for it, and did not get it
                raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        key = key_of(status)
        checked = granted | (_WRITE_DATA if overwriting else 0)
        if request.before is not None:
            request.before((*key, stream))
        real = os.readlink(path)
        self.files.check(key, stream, checked, request.share_access, real, sole=is_sole(status))

        if is_directory and not stream:
            shared = self._directory(found, key, real, granted)
            handle = self._handle(request, shared.fd, "", granted, available, is_directory=True)
            handle.directory = shared
            shared.handles += 1
            return self._opened(handle, CreateAction.FILE_OPENED, real, status)
        fd = self._reopen(found, granted, overwriting and not stream, is_directory=is_directory)
        handle = self._handle(request, fd, stream, granted, available, is_directory=False)
        try:
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
            if action != CreateAction.FILE_OPENED:
                status = os.fstat(fd)
        except BaseException:
            os.close(fd)
            raise
        return self._opened(handle, action, real, status)

    def _check_overwrite(self, request: OpenRequest, stream: str, attributes: int) -> None:
        if stream:
            return
        if attributes & _READONLY:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        if attributes & _KEPT_BY_OVERWRITE & ~request.attributes:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        for ea in request.eas:
            xattrs.check_ea(ea)

    def _reopen(self, found: Found, granted: int, truncating: bool, *, is_directory: bool) -> int:
        """A descriptor that can do what was granted; O_PATH where that is no I/O.

        Through /proc, so that it is the very inode that was checked.
        """
        path = f"/proc/self/fd/{found.fd}"
        if is_directory:
            if not granted & _LIST:
                return found.take()
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        reads, writes = granted & _READS, granted & _WRITES or truncating
        if not reads and not writes:
            return found.take()
        mode = (os.O_RDWR if reads else os.O_WRONLY) if writes else os.O_RDONLY
        return os.open(path, mode | os.O_CLOEXEC)

    def _overwrite(
        self, request: OpenRequest, handle: LocalHandle, directory: str, name: str
    ) -> None:
        """Empty a file, its EAs and streams; or empty a stream."""
        key = to_wire(directory), to_wire(name)
        with self.feed.operation() as operation:
            if handle.stream:
                expect_attrib(operation, directory, name)
                xattrs.write_stream(handle.proc, handle.stream, b"")
                operation.happened(
                    done(Done.STREAM_OVERWRITTEN, key[0], f"{key[1]}:{handle.stream}")
                )
                return
            operation.expect(directory, name, Kind.MODIFY)
            os.ftruncate(handle.fd, 0)
            for present in xattrs.names(handle.proc):
                if xattrs.is_ea(present) or present.startswith((xattrs.STREAM, xattrs.DOS)):
                    expect_attrib(operation, directory, name)
                    os.removexattr(handle.proc, present)
            self._furnish(request, handle, operation, directory, name, request.security_descriptor)
            operation.happened(done(Done.OVERWRITTEN, *key))

    def _add_stream(self, handle: LocalHandle, directory: str, name: str) -> None:
        with self.feed.operation() as operation:
            expect_attrib(operation, directory, name)
            xattrs.write_stream(handle.proc, handle.stream, b"")
            operation.happened(
                done(Done.STREAM_ADDED, to_wire(directory), f"{to_wire(name)}:{handle.stream}")
            )

    def _handle(
        self,
        request: OpenRequest,
        fd: int,
        stream: str,
        granted: int,
        available: int,
        *,
        is_directory: bool,
    ) -> LocalHandle:
        handle = LocalHandle(
            fd,
            self.root,
            stream,
            granted,
            available,
            request.share_access,
            is_directory=is_directory,
        )
        handle.credentials = request.credentials
        handle.delete_on_close = bool(request.options & _DELETE_ON_CLOSE)
        return handle

    def _directory(self, found: Found, key: tuple[int, int], path: str, granted: int) -> Directory:
        """The descriptor that all handles of this directory share, as far as it can do what was
        granted and is of the same place (a directory may be mounted in two)."""
        lists = bool(granted & _LIST)
        file = self.files.get(key)
        shared = file.descriptor if file is not None else None
        if (
            isinstance(shared, Directory)
            and shared.handles
            and (shared.lists or not lists)
            and os.readlink(f"/proc/self/fd/{shared.fd}") == path
        ):
            return shared
        return Directory(self._reopen(found, granted, False, is_directory=True), lists)

    def _opened(
        self,
        handle: LocalHandle,
        action: CreateAction,
        path: str,
        status: os.stat_result,
        *,
        bare: bool = False,
    ) -> Opened:
        handle.file = self.files.add(key_of(status), path, handle, sole=is_sole(status))
        try:
            if handle.directory is not None:
                handle.file.descriptor = handle.directory
            return Opened(handle, action, self.attributes_at(handle, status, bare=bare))
        except BaseException:
            self.files.remove(handle.file, handle)
            handle.close_descriptor()
            raise


def _check_request(request: OpenRequest, name: ParsedName) -> None:
    """What can be said before looking at the disk ([MS-FSA] 2.1.5.1 phase 1)."""
    options, disposition = request.options, request.disposition
    directory = bool(options & _DIRECTORY_FILE)
    if directory and options & _NON_DIRECTORY_FILE:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if directory and disposition not in (*_OPENING, CreateDisposition.FILE_CREATE):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if directory and name.says_data:
        raise StatusError(NtStatus.STATUS_NOT_A_DIRECTORY)
    if options & _DELETE_ON_CLOSE:
        wanted = access.specific(request.desired_access)
        if not wanted & (_DELETE | _MAXIMUM_ALLOWED):
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if directory and request.attributes & _TEMPORARY:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)


def _check_kind(request: OpenRequest, name: ParsedName, *, is_directory: bool) -> None:
    options = request.options
    if options & _DIRECTORY_FILE and not is_directory:
        if request.disposition == CreateDisposition.FILE_CREATE:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        raise StatusError(NtStatus.STATUS_NOT_A_DIRECTORY)
    if is_directory and not name.stream:
        if options & _NON_DIRECTORY_FILE or name.says_data:
            raise StatusError(NtStatus.STATUS_FILE_IS_A_DIRECTORY)
        if request.disposition not in _OPENING:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
