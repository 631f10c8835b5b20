"""What all parts of a store share."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from notify_server.fs import xattrs
from notify_server.fs.access import Credentials, Rights
from notify_server.fs.api import Attributes, Handle
from notify_server.fs.errors import status_error
from notify_server.fs.feed import ChangeFeed, Kind, Operation
from notify_server.fs.handle import LocalHandle, attributes_of
from notify_server.fs.names import to_disk
from notify_server.fs.opens import OpenFiles
from notify_server.fs.resolve import Resolver
from notify_server.fs.watched import join
from notify_server.wire.fscc import FileAttributes
from notify_server.wire.status import NtStatus, StatusError

_PATH_MAX: Final = 4096  # bytes, with a NUL (limits.h)
_READONLY: Final = int(FileAttributes.FILE_ATTRIBUTE_READONLY)


class StoreBase:
    """The root of a share, and what its parts need of each other."""

    def __init__(self, root: str, feed: ChangeFeed, files: OpenFiles, label: str = "") -> None:
        self.root = os.path.realpath(root)
        self.root_fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.feed = feed
        self.files = files
        self.resolver = Resolver(self.root_fd)
        self._label = label
        status = os.fstat(self.root_fd)
        self.serial_number = (status.st_dev ^ status.st_ino) & 0xFFFFFFFF

    def dispose(self) -> None:
        """Give back what the store itself holds open."""
        os.close(self.root_fd)

    def attributes(self, handle: Handle) -> Attributes:
        local = as_local(handle)
        try:
            return self.attributes_at(local, os.fstat(local.fd))
        except OSError as error:
            raise status_error(error) from error

    def attributes_at(
        self, handle: LocalHandle, status: os.stat_result, *, bare: bool = False
    ) -> Attributes:
        """Attributes of a file that fstat was just asked about; raises OSError."""
        path = handle.proc
        size = len(xattrs.read_stream(path, handle.stream)) if handle.stream else None
        return attributes_of(
            path,
            status,
            handle.fd,
            stream_size=size,
            file=handle.file,
            bare=bare,
            delete_pending=handle.delete_pending,
        )

    def check_reachable(self, user: Credentials, directory: int) -> None:
        """ACCESS_DENIED unless `user` may search a directory, and all those above it."""
        if not self._reaches(user, os.readlink(f"/proc/self/fd/{directory}")):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)

    def check_changeable(self, handle: LocalHandle, directory: int) -> None:
        """ACCESS_DENIED unless who opened `handle` may make a name in a directory."""
        user = handle.credentials
        if user is None:
            return
        self.check_reachable(user, directory)
        if not user.may_change(Rights.of(directory)):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)

    def check_not_doomed(self, directory: os.stat_result) -> None:
        """DELETE_PENDING if nothing may be put in a directory any more."""
        file = self.files.get(key_of(directory))
        if file is not None and file.doomed:
            raise StatusError(NtStatus.STATUS_DELETE_PENDING)

    def may_list(self, handle: Handle, key: str) -> bool:
        user = as_local(handle).credentials
        if user is None:
            return True
        path = "/".join(to_disk(part) for part in key.split("/"))
        try:
            return self._reaches(user, path) and user.may_list(Rights.of(path))
        except OSError:  # it is gone: nobody can tell any more
            return False

    def _reaches(self, user: Credentials, path: str) -> bool:
        """Whether `user` may search `path` and what is above it, up to the root of the share."""
        inside = self.relative(path)
        steps = () if inside == "." else inside.split("/")
        at = self.root
        reaches = user.may_search(Rights.of(at))
        for step in steps:
            at = join(at, step)
            reaches = reaches and user.may_search(Rights.of(at))
        return reaches

    def relative(self, path: str) -> str:
        """An absolute path from the root of the share; ENOENT for one that is not in it."""
        if path == self.root:
            return "."
        inside = join(self.root, "")
        if not path.startswith(inside):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return path[len(inside) :]

    def parent_of(self, handle: LocalHandle, directory: str, name: str) -> int:
        """O_PATH of the directory that holds the handle's file, which must still be there.

        A file that somebody moved out of the share is nobody's to delete or rename over SMB.
        """
        return self.holder_of(handle.file.key, directory, name)

    def holder_of(self, key: tuple[int, int], directory: str, name: str) -> int:
        """O_PATH of the directory that holds a file by that name; ENOENT if it holds another."""
        parent = self.resolver.open(self.relative(directory), os.O_DIRECTORY)
        try:
            there = os.stat(os.fsencode(name), dir_fd=parent, follow_symlinks=False)
            if key_of(there) != key:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        except OSError:
            os.close(parent)
            raise
        return parent


def as_local(handle: Handle) -> LocalHandle:
    assert isinstance(handle, LocalHandle)
    return handle


def is_sole(status: os.stat_result) -> bool:
    """Whether a file has no more than the one link: directories never have."""
    return status.st_nlink <= 1 or stat.S_ISDIR(status.st_mode)


def key_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def new_path(directory: str, name: str) -> str:
    """Of a name that is about to be given; ENAMETOOLONG if the kernel could not say it again.

    Such a file could be neither opened nor deleted by its path.
    """
    path = join(directory, name)
    if len(os.fsencode(path)) >= _PATH_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
    return path


@contextlib.contextmanager
def statuses() -> Iterator[None]:
    """OSErrors become StatusErrors."""
    try:
        yield
    except OSError as error:
        raise status_error(error) from error


def check_deletable(store: StoreBase, status: os.stat_result, attributes: int) -> None:
    if attributes & _READONLY:
        raise StatusError(NtStatus.STATUS_CANNOT_DELETE)
    if os.path.samestat(status, os.stat(store.root)):
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)


def expect_attrib(operation: Operation, directory: str, name: str) -> None:
    """The next system call changes the inode."""
    operation.expect(directory, name, Kind.ATTRIB)
