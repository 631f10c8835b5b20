"""Access masks: generic rights, and what may be had of a file ([MS-FSA] 2.1.5.1.2.1).

Most users act with the rights of this process. One with `Credentials` has no more than the mode
bits of a file, or its POSIX ACL, leave to its uid and groups; the process has to have those rights
as well.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from struct import Struct
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
_POSIX_ACL: Final = "system.posix_acl_access"
_ACL_HEAD: Final = 4  # a_version
_ACL_ENTRY: Final = Struct("<HHI")  # e_tag, e_perm, e_id (linux/posix_acl_xattr.h)
_ACL_USER, _ACL_GROUP_OBJ, _ACL_GROUP = 0x02, 0x04, 0x08


@dataclass(frozen=True, slots=True)
class Rights:
    """What decides on a file: whose it is and its mode bits, and its POSIX ACL if it has one."""

    status: os.stat_result
    acl: bytes = b""

    @classmethod
    def of(cls, file: int | str) -> Rights:
        """Those of a descriptor, or of what a path names, itself; raises OSError."""
        if isinstance(file, int):
            return cls(os.fstat(file), _acl(f"/proc/self/fd/{file}", follow=True))
        return cls(os.lstat(file), _acl(file, follow=False))


def _acl(path: str, *, follow: bool) -> bytes:
    try:
        value = os.getxattr(path, _POSIX_ACL, follow_symlinks=follow)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return b""
        raise
    if (len(value) - _ACL_HEAD) % _ACL_ENTRY.size:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)
    return value


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom the mode bits of a file speak of."""

    uid: int
    gid: int
    groups: frozenset[int] = frozenset()

    def bits(self, rights: Rights) -> int:
        """The three bits of the mode that are this user's: read 4, write 2, search 1."""
        status = rights.status
        if status.st_uid == self.uid:
            return status.st_mode >> 6 & 7
        if rights.acl:
            return self._bits_of_acl(rights)
        if self._is_in(status.st_gid):
            return status.st_mode >> 3 & 7
        return status.st_mode & 7

    def _is_in(self, gid: int) -> bool:
        return gid == self.gid or gid in self.groups

    def _bits_of_acl(self, rights: Rights) -> int:
        """The same by an ACL (acl(5)), whose mask has the place of the group's bits in the mode.

        What a user has by several groups adds up, as it does in several opens there.
        """
        mask = rights.status.st_mode >> 3 & 7
        groups = None
        for tag, bits, who in _ACL_ENTRY.iter_unpack(rights.acl[_ACL_HEAD:]):
            if tag == _ACL_USER and who == self.uid:
                return int(bits) & mask
            owning = tag == _ACL_GROUP_OBJ and self._is_in(rights.status.st_gid)
            if owning or (tag == _ACL_GROUP and self._is_in(who)):
                groups = (groups or 0) | bits & mask
        return rights.status.st_mode & 7 if groups is None else groups

    def may_search(self, rights: Rights) -> bool:
        return bool(self.bits(rights) & _SEARCH_MODE)

    def may_list(self, rights: Rights) -> bool:
        """Whether the names in a directory may be had, and what is there looked at."""
        return self.bits(rights) & (_READ_MODE | _SEARCH_MODE) == _READ_MODE | _SEARCH_MODE

    def may_change(self, rights: Rights) -> bool:
        """Whether names in a directory may be made and removed."""
        return self.bits(rights) & (_WRITE_MODE | _SEARCH_MODE) == _WRITE_MODE | _SEARCH_MODE

    def may_remove(self, parent: Rights, status: os.stat_result) -> bool:
        """Whether the name of a file in `parent` may be removed, its sticky bit minded."""
        if not self.may_change(parent):
            return False
        sticky = parent.status.st_mode & stat.S_ISVTX
        return not sticky or self.uid in (parent.status.st_uid, status.st_uid)


def of_mode(user: Credentials, file: Rights, parent: Rights | None) -> int:
    """The rights that mode bits or an ACL leave to `user`; `parent` is None for the root of a
    share."""
    bits = user.bits(file)
    rights = ALL
    if not bits & _READ_MODE:
        rights &= ~int(AccessMask.FILE_READ_DATA)
    if not bits & _WRITE_MODE:
        rights &= ~_WRITES
    if not bits & _SEARCH_MODE:
        rights &= ~int(AccessMask.FILE_EXECUTE)
    if file.status.st_uid != user.uid:
        rights &= ~_OWNERS
    if parent is None or not user.may_remove(parent, file.status):
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
