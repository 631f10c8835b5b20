"""What NTFS keeps with a file and Linux does not: in user extended attributes.

    user.NAME                        an EA
    user.notify_server.dos           DOS attributes and creation time
    user.notify_server.sd            security descriptor, self-relative
    user.notify_server.stream.NAME   a named stream, whole; the file system bounds its size

Files are named by `/proc/self/fd/N`, which works for descriptors opened with O_PATH. A file
system without user attributes loses attributes and creation time in silence and refuses the rest.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Final

from notify_server.fs.api import Ea
from notify_server.fs.names import STREAM_TYPE, fold
from notify_server.wire.fscc import FileAttributes
from notify_server.wire.status import NtStatus, StatusError

_OWN: Final = "user.notify_server."
DOS: Final = _OWN + "dos"
SECURITY: Final = _OWN + "sd"
STREAM: Final = _OWN + "stream."
_FOREIGN: Final = ("user.DOSATTRIB", "user.DosStream.", "user.SAMBA_")  # Samba's own
_DOS_FORMAT: Final = struct.Struct("<IQ")

_NO_XATTRS: Final = (errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.ENOENT)
_EA_NAME: Final = frozenset(range(0x20, 0x7F)) - frozenset(b'"*+,/:;<=>?[\\]|')

STORED_ATTRIBUTES: Final = int(
    FileAttributes.FILE_ATTRIBUTE_READONLY
    | FileAttributes.FILE_ATTRIBUTE_HIDDEN
    | FileAttributes.FILE_ATTRIBUTE_SYSTEM
    | FileAttributes.FILE_ATTRIBUTE_ARCHIVE
    | FileAttributes.FILE_ATTRIBUTE_TEMPORARY
    | FileAttributes.FILE_ATTRIBUTE_OFFLINE
    | FileAttributes.FILE_ATTRIBUTE_NOT_CONTENT_INDEXED
)


def names(path: str) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return []
        raise


def get_dos(path: str) -> tuple[int, int] | None:
    """(attributes, creation time), None where nothing is kept."""
    try:
        value = os.getxattr(path, DOS)
    except OSError as error:
        if error.errno in (*_NO_XATTRS, errno.ENODATA):
            return None
        raise
    if len(value) != _DOS_FORMAT.size:
        return None
    attributes, creation_time = _DOS_FORMAT.unpack(value)
    return attributes & STORED_ATTRIBUTES, creation_time


def set_dos(path: str, attributes: int, creation_time: int) -> bool:
    """Whether it could be kept."""
    try:
        os.setxattr(path, DOS, _DOS_FORMAT.pack(attributes & STORED_ATTRIBUTES, creation_time))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSPC):
            return False
        raise
    return True


def is_ea(name: str) -> bool:
    return name.startswith("user.") and not name.startswith((_OWN, *_FOREIGN))


def eas(path: str) -> list[Ea]:
    found = []
    for name in names(path):
        if is_ea(name):
            value = os.getxattr(path, name)
            found.append(Ea(os.fsencode(name.removeprefix("user.")), value))
    return found


def ea_size(path: str, present: list[str]) -> int:
    """EaSize: the bytes that the list takes ([MS-FSCC] 2.4.12)."""
    each = [(name, os.getxattr(path, name)) for name in present if is_ea(name)]
    if not each:
        return 0
    return 4 + sum(4 + len(name.removeprefix("user.")) + 1 + len(value) for name, value in each)


def check_ea(ea: Ea) -> None:
    """[MS-FSCC] 2.4.16; raises INVALID_EA_NAME."""
    if not ea.name or len(ea.name) > 250 or not _EA_NAME.issuperset(ea.name):
        raise StatusError(NtStatus.STATUS_INVALID_EA_NAME)
    if not is_ea("user." + ea.name.decode("ascii")):
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)


def set_ea(path: str, ea: Ea) -> bool:
    """Set or, with an empty value, delete; whether there was something to do."""
    wanted = "user." + ea.name.decode("ascii")
    for name in names(path):
        if is_ea(name) and fold(name) == fold(wanted):
            if name != wanted or not ea.value:
                os.removexattr(path, name)
            if not ea.value:
                return True
    if not ea.value:
        return False
    os.setxattr(path, wanted, ea.value)
    return True


def streams(path: str) -> list[tuple[str, int]]:
    """(name, size) of each named stream."""
    return [
        (name.removeprefix(STREAM), len(os.getxattr(path, name)))
        for name in names(path)
        if name.startswith(STREAM)
    ]


def find_stream(path: str, stream: str) -> str | None:
    """A stream's name as it is kept."""
    for name in names(path):
        if name.startswith(STREAM) and fold(name.removeprefix(STREAM)) == fold(stream):
            return name.removeprefix(STREAM)
    return None


def read_stream(path: str, stream: str) -> bytes:
    return os.getxattr(path, STREAM + stream)


def write_stream(path: str, stream: str, value: bytes) -> None:
    try:
        os.setxattr(path, STREAM + stream, value)
    except OSError as error:
        if error.errno in (errno.E2BIG, errno.ERANGE, errno.ENOSPC):
            raise StatusError(NtStatus.STATUS_DISK_FULL) from error
        raise


def remove_stream(path: str, stream: str) -> None:
    os.removexattr(path, STREAM + stream)


def stream_label(stream: str) -> str:
    """`:name:$DATA`, as FileStreamInformation lists it."""
    return f":{stream}:{STREAM_TYPE}"
