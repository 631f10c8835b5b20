"""fanotify(7) as far as this server uses it: raw calls and the shape of its events. Linux ≥ 5.17.

The process needs CAP_SYS_ADMIN for marks on file systems and CAP_DAC_READ_SEARCH to find the
directory that a file handle means.
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)

CREATE: Final = 0x100
DELETE: Final = 0x200
MODIFY: Final = 0x2
ATTRIB: Final = 0x4
RENAME: Final = 0x10000000
ONDIR: Final = 0x40000000
Q_OVERFLOW: Final = 0x4000

_CLASS_NOTIF: Final = 0
_CLOEXEC: Final = 0x1
_NONBLOCK: Final = 0x2
_REPORT_DFID_NAME_TARGET: Final = 0x1E00
_MARK_ADD: Final = 0x1
_MARK_REMOVE: Final = 0x2
_MARK_FILESYSTEM: Final = 0x100

_INFO_FID: Final = 1
_INFO_DFID_NAME: Final = 2
_INFO_DFID: Final = 3
_INFO_OLD_DFID_NAME: Final = 10
_INFO_NEW_DFID_NAME: Final = 12

_METADATA: Final = struct.Struct("=IBBHQii")
_INFO: Final = struct.Struct("=BBH")
_HANDLE: Final = struct.Struct("=8sIi")  # fsid; handle_bytes, handle_type of a struct file_handle
_VERSION: Final = 3
_MAX_HANDLE: Final = 128

FileHandle = tuple[bytes, bytes]
"""fsid, and a struct file_handle: names a directory or file wherever it is."""


@dataclass(frozen=True, slots=True)
class FanotifyEvent:
    """What happened to a name; for RENAME also where it went."""

    mask: int
    pid: int
    directory: FileHandle | None = None
    name: str = ""
    new_directory: FileHandle | None = None
    new_name: str = ""
    target: FileHandle | None = None


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def init() -> int:
    """A notification group that reports directory, name and target; non-blocking."""
    flags = _CLASS_NOTIF | _CLOEXEC | _NONBLOCK | _REPORT_DFID_NAME_TARGET
    return _check(_libc.fanotify_init(flags, os.O_RDONLY), "fanotify_init")


def mark(group: int, path: str, mask: int, *, remove: bool = False) -> None:
    """Begin, or cease, to see all of the file system that holds `path`."""
    flags = (_MARK_REMOVE if remove else _MARK_ADD) | _MARK_FILESYSTEM
    result = _libc.fanotify_mark(
        group, ctypes.c_uint(flags), ctypes.c_uint64(mask), -100, os.fsencode(path)
    )
    _check(result, path)


def open_by_handle(mount: int, handle: FileHandle) -> int:
    """O_PATH of what a handle means; ESTALE if that is gone (open_by_handle_at(2))."""
    return _check(
        _libc.open_by_handle_at(mount, handle[1], os.O_PATH | os.O_CLOEXEC), "open_by_handle_at"
    )


def handle_of(fd: int) -> FileHandle:
    """The handle of an open file as events would name it (name_to_handle_at(2))."""
    buffer = ctypes.create_string_buffer(struct.pack("=Ii", _MAX_HANDLE, 0), 8 + _MAX_HANDLE)
    mount_id = ctypes.c_int()
    empty_path = 0x1000
    _check(
        _libc.name_to_handle_at(fd, b"", buffer, ctypes.byref(mount_id), empty_path),
        "name_to_handle_at",
    )
    (size,) = struct.unpack_from("=I", buffer)
    return fsid_of(fd), buffer.raw[: 8 + size]


def fsid_of(fd: int) -> bytes:
    """The file system's identity as events carry it."""
    return (os.fstatvfs(fd).f_fsid & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")


def parse(data: bytes) -> list[FanotifyEvent]:
    """The events of one read."""
    events = []
    offset = 0
    while offset + _METADATA.size <= len(data):
        length, version, _, head, mask, _fd, pid = _METADATA.unpack_from(data, offset)
        if version != _VERSION or length < head:
            raise OSError(f"fanotify speaks version {version}, not {_VERSION}")
        events.append(_parse_info(data[offset + head : offset + length], mask, pid))
        offset += length
    return events


def _parse_info(data: bytes, mask: int, pid: int) -> FanotifyEvent:
    found: dict[int, tuple[FileHandle, str]] = {}
    offset = 0
    while offset + _INFO.size <= len(data):
        kind, _, length = _INFO.unpack_from(data, offset)
        if length < _INFO.size:
            break
        body = data[offset + _INFO.size : offset + length]
        fsid, size, _type = _HANDLE.unpack_from(body)
        handle = fsid, body[8 : 16 + size]
        name = os.fsdecode(body[16 + size :].partition(b"\0")[0])
        found[kind] = handle, name
        offset += length
    none: tuple[FileHandle | None, str] = (None, "")
    old = found.get(_INFO_OLD_DFID_NAME) or found.get(_INFO_DFID_NAME) or found.get(_INFO_DFID)
    new = found.get(_INFO_NEW_DFID_NAME, none)
    target = found.get(_INFO_FID, none)
    directory, name = old or none
    return FanotifyEvent(mask, pid, directory, name, new[0], new[1], target[0])
