"""Access masks: generic rights, and what may be had of a file ([MS-FSA] 2.1.5.1.2.1).

Most users act with the rights of this process. One with `Credentials` has no more than the mode
bits of a file leave to its uid and groups; the process has to have those rights as well.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
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
_ANY_GENERIC: Final = sum(generic for generic, _ in _GENERIC)
_READONLY: Final = int(FileAttributes.FILE_ATTRIBUTE_READONLY)
_READ_DATA: Final = int(AccessMask.FILE_READ_DATA | AccessMask.FILE_EXECUTE)
_WRITE_DATA: Final = int(AccessMask.FILE_WRITE_DATA | AccessMask.FILE_APPEND_DATA)
_MAXIMUM: Final = int(AccessMask.MAXIMUM_ALLOWED)
_SYSTEM: Final = int(AccessMask.ACCESS_SYSTEM_SECURITY)


_READ_MODE: Final = 4
_WRITE_MODE: Final = 2
_SEARCH_MODE: Final = 1
_WRITES: Final = int(
    AccessMask.FILE_WRITE_DATA
    | AccessMask.FILE_APPEND_DATA
    | AccessMask.FILE_WRITE_EA
    | AccessMask.FILE_WRITE_ATTRIBUTES
    | AccessMask.FILE_DELETE_CHILD
)
_OWNERS: Final = int(AccessMask.WRITE_DAC | AccessMask.WRITE_OWNER)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom the mode bits of a file speak of."""

    uid: int
    gid: int
    groups: frozenset[int] = frozenset()

    def bits(self, status: os.stat_result) -> int:
        """The three bits of the mode that are this user's: read 4, write 2, search 1."""
        if status.st_uid == self.uid:
            return status.st_mode >> 6 & 7
        if status.st_gid == self.gid or status.st_gid in self.groups:
            return status.st_mode >> 3 & 7
        return status.st_mode & 7

    def may_search(self, status: os.stat_result) -> bool:
        return bool(self.bits(status) & _SEARCH_MODE)

    def may_list(self, status: os.stat_result) -> bool:
        """Whether the names in a directory may be had, and what is there looked at."""
        return self.bits(status) & (_READ_MODE | _SEARCH_MODE) == _READ_MODE | _SEARCH_MODE

    def may_change(self, status: os.stat_result) -> bool:
        """Whether names in a directory may be made and removed."""
        return self.bits(status) & (_WRITE_MODE | _SEARCH_MODE) == _WRITE_MODE | _SEARCH_MODE

    def may_remove(self, parent: os.stat_result, status: os.stat_result) -> bool:
        """Whether the name of a file in `parent` may be removed, its sticky bit minded."""
        if not self.may_change(parent):
            return False
        sticky = parent.st_mode & stat.S_ISVTX
        return not sticky or self.uid in (parent.st_uid, status.st_uid)


def of_mode(user: Credentials, status: os.stat_result, parent: os.stat_result | None) -> int:
    """The rights that mode bits leave to `user`; `parent` is None for the root of a share."""
    bits = user.bits(status)
    rights = ALL
    if not bits & _READ_MODE:
        rights &= ~int(AccessMask.FILE_READ_DATA)
    if not bits & _WRITE_MODE:
        rights &= ~_WRITES
    if not bits & _SEARCH_MODE:
        rights &= ~int(AccessMask.FILE_EXECUTE)
    if status.st_uid != user.uid:
        rights &= ~_OWNERS
    if parent is None or not user.may_remove(parent, status):
        rights &= ~int(AccessMask.DELETE)
    return rights


def specific(desired: int) -> int:
    """Generic bits replaced by what they stand for on a file ([MS-SMB2] 2.2.13.1)."""
    if not desired & _ANY_GENERIC:
        return desired
    for generic, rights in _GENERIC:
        if desired & generic:
            desired = desired & ~generic | rights
    return desired


def maximal(path: str, attributes: int, *, directory: bool) -> int:
    """All that this server's user, and the READONLY attribute, leave of a file at `path`."""
    rights = ALL
    if not os.access(path, os.R_OK):
        rights &= ~_READ_DATA
    readonly = attributes & _READONLY and not directory
    if readonly or not os.access(path, os.W_OK):
        rights &= ~_WRITE_DATA
    return rights


def granted(desired: int, available: int) -> int:
    """The access that an open gets, or ACCESS_DENIED."""
    wanted = specific(desired)
    if wanted & _SYSTEM:
        raise StatusError(NtStatus.STATUS_PRIVILEGE_NOT_HELD)
    if wanted & _MAXIMUM:
        wanted = wanted & ~_MAXIMUM | available
    if not wanted or wanted & ~available:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    return wanted
