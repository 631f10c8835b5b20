"""Security descriptors: a default one, and taking and replacing their parts ([MS-DTYP] 2.4.6).

They are kept and given back, not enforced: the files belong to the server's one user, and what a
session may do is decided by the share.
"""

from __future__ import annotations

import struct
from typing import Final

from notify_server.wire.constants import SecurityInformation
from notify_server.wire.status import NtStatus, StatusError

_HEAD: Final = struct.Struct("<BBHIIII")  # Revision, Sbz1, Control, Owner, Group, Sacl, Dacl
_SELF_RELATIVE: Final = 0x8000
_DACL_PRESENT: Final = 0x0004
_SACL_PRESENT: Final = 0x0010
_DACL_CONTROL: Final = 0x1504  # present, auto-inherited, auto-inherit-req, protected
_SACL_CONTROL: Final = 0x2A10
_MAXIMUM: Final = 65536

_OWNER = int(SecurityInformation.OWNER_SECURITY_INFORMATION)
_GROUP = int(SecurityInformation.GROUP_SECURITY_INFORMATION)
_DACL = int(SecurityInformation.DACL_SECURITY_INFORMATION)
_SACL = int(SecurityInformation.SACL_SECURITY_INFORMATION)


def sid(authority: int, *sub_authorities: int) -> bytes:
    """A SID in bytes ([MS-DTYP] 2.4.2.2)."""
    return (
        bytes((1, len(sub_authorities)))
        + authority.to_bytes(6, "big")
        + struct.pack(f"<{len(sub_authorities)}I", *sub_authorities)
    )


EVERYONE: Final = sid(1, 0)
_FULL_ACCESS: Final = 0x001F01FF


def default_descriptor(uid: int, gid: int, *, directory: bool) -> bytes:
    """Owner and group after the Unix ones (S-1-22-1, S-1-22-2), full access for everyone."""
    inherit = 0x03 if directory else 0x00  # OBJECT_INHERIT_ACE, CONTAINER_INHERIT_ACE
    ace = struct.pack("<BBHI", 0, inherit, 8 + len(EVERYONE), _FULL_ACCESS) + EVERYONE
    dacl = struct.pack("<BBHHH", 2, 0, 8 + len(ace), 1, 0) + ace
    return _join(_DACL_PRESENT, sid(22, 1, uid), sid(22, 2, gid), b"", dacl)


def select(descriptor: bytes, information: int) -> bytes:
    """The parts that SecurityInformation bits ask for ([MS-FSA] 2.1.5.14)."""
    control, owner, group, sacl, dacl = _split(descriptor)
    if not information & _DACL:
        dacl, control = b"", control & ~_DACL_CONTROL
    if not information & _SACL:
        sacl, control = b"", control & ~_SACL_CONTROL
    return _join(
        control,
        owner if information & _OWNER else b"",
        group if information & _GROUP else b"",
        sacl,
        dacl,
    )


def merge(old: bytes, information: int, new: bytes) -> bytes:
    """`old` with the named parts of `new` in their place ([MS-FSA] 2.1.5.17)."""
    old_control, owner, group, sacl, dacl = _split(old)
    new_control, new_owner, new_group, new_sacl, new_dacl = _split(new)
    control = old_control
    if information & _OWNER:
        owner = new_owner or owner
    if information & _GROUP:
        group = new_group or group
    if information & _DACL:
        dacl = new_dacl
        control = control & ~_DACL_CONTROL | new_control & _DACL_CONTROL
    if information & _SACL:
        sacl = new_sacl
        control = control & ~_SACL_CONTROL | new_control & _SACL_CONTROL
    return _join(control, owner, group, sacl, dacl)


def _split(descriptor: bytes) -> tuple[int, bytes, bytes, bytes, bytes]:
    if not _HEAD.size <= len(descriptor) <= _MAXIMUM:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    _, _, control, owner, group, sacl, dacl = _HEAD.unpack_from(descriptor)
    return (
        control,
        _sid_at(descriptor, owner),
        _sid_at(descriptor, group),
        _acl_at(descriptor, sacl if control & _SACL_PRESENT else 0),
        _acl_at(descriptor, dacl if control & _DACL_PRESENT else 0),
    )


def _sid_at(descriptor: bytes, offset: int) -> bytes:
    if offset == 0:
        return b""
    if offset + 8 > len(descriptor):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    end = offset + 8 + 4 * descriptor[offset + 1]
    if end > len(descriptor) or descriptor[offset + 1] > 15:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    return descriptor[offset:end]


def _acl_at(descriptor: bytes, offset: int) -> bytes:
    if offset == 0:
        return b""
    if offset + 8 > len(descriptor):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    (size,) = struct.unpack_from("<H", descriptor, offset + 2)
    if size < 8 or offset + size > len(descriptor):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    return descriptor[offset : offset + size]


def _join(control: int, owner: bytes, group: bytes, sacl: bytes, dacl: bytes) -> bytes:
    offset = _HEAD.size
    offsets = []
    body = b""
    for part in (owner, group, sacl, dacl):
        offsets.append(offset + len(body) if part else 0)
        body += part
    return _HEAD.pack(1, 0, control | _SELF_RELATIVE, *offsets) + body
