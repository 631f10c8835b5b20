"""Access masks: generic rights, and what may be had of a file ([MS-FSA] 2.1.5.1.2.1)."""

from __future__ import annotations

import os
from typing import Final

from notify_server.wire.constants import AccessMask
from notify_server.wire.fscc import FileAttributes
from notify_server.wire.status import NtStatus, StatusError

ALL: Final = 0x001F01FF
_GENERIC: Final = (
    (int(AccessMask.GENERIC_ALL), ALL),
    (int(AccessMask.GENERIC_READ), 0x00120089),
    (int(AccessMask.GENERIC_WRITE), 0x00120116),
    (int(AccessMask.GENERIC_EXECUTE), 0x001200A0),
)
_READ_DATA: Final = int(AccessMask.FILE_READ_DATA | AccessMask.FILE_EXECUTE)
_WRITE_DATA: Final = int(AccessMask.FILE_WRITE_DATA | AccessMask.FILE_APPEND_DATA)
_MAXIMUM: Final = int(AccessMask.MAXIMUM_ALLOWED)
_SYSTEM: Final = int(AccessMask.ACCESS_SYSTEM_SECURITY)


def specific(desired: int) -> int:
    """Generic bits replaced by what they stand for on a file ([MS-SMB2] 2.2.13.1)."""
    for generic, rights in _GENERIC:
        if desired & generic:
            desired = desired & ~generic | rights
    return desired


def maximal(path: str, attributes: int, *, directory: bool) -> int:
    """All that this server's user, and the READONLY attribute, leave of a file at `path`."""
    rights = ALL
    if not os.access(path, os.R_OK):
        rights &= ~_READ_DATA
    readonly = attributes & FileAttributes.FILE_ATTRIBUTE_READONLY and not directory
    if readonly or not os.access(path, os.W_OK):
        rights &= ~_WRITE_DATA
    return rights


def granted(desired: int, available: int) -> AccessMask:
    """The access that an open gets, or ACCESS_DENIED."""
    wanted = specific(desired)
    if wanted & _SYSTEM:
        raise StatusError(NtStatus.STATUS_PRIVILEGE_NOT_HELD)
    if wanted & _MAXIMUM:
        wanted = wanted & ~_MAXIMUM | available
    if not wanted or wanted & ~available:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    return AccessMask(wanted)
