"""An open file, directory or stream of a local directory, and what is known of a file."""

from __future__ import annotations

import os
import stat
from typing import Final

from notify_server.fs import times, xattrs
from notify_server.fs.access import Credentials
from notify_server.fs.api import Attributes, StreamKey
from notify_server.fs.feed import Watched
from notify_server.fs.names import to_wire
from notify_server.fs.opens import File, Link
from notify_server.fs.syscalls import birth_time_ns, is_removed
from notify_server.fs.watched import name_of, parent_of
from notify_server.wire.fscc import FileAttributes

_DIRECTORY: Final = int(FileAttributes.FILE_ATTRIBUTE_DIRECTORY)
_ARCHIVE: Final = int(FileAttributes.FILE_ATTRIBUTE_ARCHIVE)
_NORMAL: Final = int(FileAttributes.FILE_ATTRIBUTE_NORMAL)
_CLUSTER: Final = 4096
_DELETED: Final = " (deleted)"  # what the kernel appends to the path of a name that is gone


class Directory:
    """A descriptor of a directory that all handles of it share: none does I/O on it."""

    __slots__ = ("fd", "handles", "lists")

    def __init__(self, fd: int, lists: bool) -> None:
        self.fd = fd
        self.lists = lists  # opened for reading, not with O_PATH
        self.handles = 0

    def release(self) -> None:
        """A handle is closed; the last one closes the descriptor."""
        self.handles -= 1
        if not self.handles:
            os.close(self.fd)


class LocalHandle:
    """Implements `api.Handle` and `opens.OpenFile`."""

    __slots__ = (
        "credentials",
        "delete_on_close",
        "directory",
        "fd",
        "file",
        "granted_access",
        "held_write_time",
        "is_directory",
        "link",
        "maximal_access",
        "root",
        "share_access",
        "stream",
        "watched",
    )

    file: File
    link: Link

    def __init__(
        self,
        fd: int,
        root: str,
        stream: str,
        granted_access: int,
        maximal_access: int,
        share_access: int,
        *,
        is_directory: bool,
    ) -> None:
        self.fd = fd
        self.directory: Directory | None = None  # whose `fd` it is, if it is shared
        self.root = root
        self.stream = stream
        self.granted_access = granted_access
        self.maximal_access = maximal_access
        self.share_access = share_access
        self.is_directory = is_directory
        self.credentials: Credentials | None = None
        self.delete_on_close = False
        self.held_write_time: int | None = None
        self.watched: Watched | None = None

    @property
    def proc(self) -> str:
        """A path to the very file, also where its descriptor allows no I/O."""
        return f"/proc/self/fd/{self.fd}"

    def close_descriptor(self) -> None:
        """Give up the descriptor, or this handle's part in it."""
        fd, self.fd = self.fd, -1
        if self.directory is not None:
            self.directory.release()
        else:
            os.close(fd)

    @property
    def delete_pending(self) -> bool:
        return self.link.delete_pending or self.stream in self.file.doomed_streams

    @property
    def watch_key(self) -> str:
        return to_wire(self.watched.path) if self.watched is not None else ""

    @property
    def key(self) -> StreamKey:
        return (*self.file.key, self.stream)

    @property
    def path(self) -> str:
        relative = to_wire(self.link.path[len(self.root) :]).lstrip("/").replace("/", "\\")
        return f"{relative}:{self.stream}" if self.stream else relative

    def where(self) -> tuple[str, str]:
        """(directory, name) as on disk now, whoever renamed it; where it was, once it is removed.

        The kernel's own events go on to say that name, too.
        """
        path = os.readlink(self.proc)
        if path.endswith(_DELETED) and not self._is_at(path):
            path = path.removesuffix(_DELETED)
        return parent_of(path), name_of(path)

    @property
    def is_removed(self) -> bool:
        """Whether no name leads to the directory any more."""
        return is_removed(self.fd)

    def _is_at(self, path: str) -> bool:
        try:
            return os.path.samestat(os.lstat(path), os.fstat(self.fd))
        except OSError:
            return False


def attributes_of(
    path: str,
    status: os.stat_result,
    fd: int,
    *,
    stream_size: int | None = None,
    file: File | None = None,
    bare: bool = False,
    delete_pending: bool = False,
) -> Attributes:
    """What is known of the file at `path`; `fd` is the same file, for its time of birth.

    `bare`: it is known to have no extended attributes. `delete_pending` is its handle's.
    """
    present = [] if bare else xattrs.names(path)
    dos = xattrs.get_dos(path) if xattrs.DOS in present else None
    is_directory = stat.S_ISDIR(status.st_mode)
    stored, creation_time = dos if dos is not None else (0 if is_directory else _ARCHIVE, 0)
    if not creation_time:
        born = birth_time_ns(fd)
        creation_time = times.from_ns(
            min(status.st_mtime_ns, status.st_ctime_ns) if born is None else born
        )
    change_time = times.from_ns(status.st_ctime_ns)
    if file is not None and file.change_time is not None:
        told, stands_for = file.change_time
        if stands_for == status.st_ctime_ns:
            change_time = told
    if stream_size is not None:
        size, allocated = stream_size, -(-stream_size // 8) * 8
    elif is_directory:
        size, allocated = 0, 0
    else:
        size, allocated = status.st_size, status.st_blocks * 512
        if allocated < size:  # delayed allocation, inline data, compression
            allocated = -(-size // _CLUSTER) * _CLUSTER
    doomed = file.doomed if file is not None else 0
    return Attributes(
        creation_time=creation_time,
        last_access_time=times.from_ns(status.st_atime_ns),
        last_write_time=times.from_ns(status.st_mtime_ns),
        change_time=change_time,
        file_attributes=stored | (_DIRECTORY if is_directory else 0) or _NORMAL,
        end_of_file=size,
        allocation_size=allocated,
        # A link that is to be deleted does not count any more ([MS-FSCC] 2.4.41).
        number_of_links=max(0, (1 if is_directory else status.st_nlink) - doomed),
        index_number=status.st_ino,
        ea_size=xattrs.ea_size(path, present) if present else 0,
        delete_pending=delete_pending,
    )
