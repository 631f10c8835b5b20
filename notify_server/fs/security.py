"""Security descriptors: a default one, their parts, and what they allow ([MS-DTYP] 2.4.6, 2.5.3).

The server has one user, to whom all files belong: in every session one is the owner of each file,
an authenticated user, and one of everyone. That is whom an ACL is checked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from notify_server.fs.access import specific
from notify_server.wire.constants import SecurityInformation
from notify_server.wire.status import NtStatus, StatusError

_HEAD: Final = struct.Struct("<BBHIIII")  # Revision, Sbz1, Control, Owner, Group, Sacl, Dacl
_SELF_RELATIVE: Final = 0x8000
_DACL_PRESENT: Final = 0x0004
_SACL_PRESENT: Final = 0x0010
_AUTO_INHERITED: Final = 0x0400
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
_ALWAYS_HELD: Final = frozenset({EVERYONE, sid(5, 2), sid(5, 11), sid(5, 32, 545)})
"""Everyone, NETWORK, Authenticated Users, BUILTIN\\Users ([MS-DTYP] 2.4.2.4)."""
_FULL_ACCESS: Final = 0x001F01FF
_OWNERS_RIGHTS: Final = 0x00060000  # READ_CONTROL and WRITE_DAC: no owner locks himself out
_ACE: Final = struct.Struct("<BBHI")  # AceType, AceFlags, AceSize, Mask
_ALLOWED, _DENIED = 0, 1  # ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE
_OBJECT_INHERIT, _CONTAINER_INHERIT, _NO_PROPAGATE = 0x01, 0x02, 0x04  # AceFlags
_INHERIT_ONLY, _INHERITED = 0x08, 0x10
_CREATOR_OWNER: Final = sid(3, 0)
_CREATOR_GROUP: Final = sid(3, 1)


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


def inherited(above: bytes, uid: int, gid: int, *, directory: bool) -> bytes:
    """What a new file or directory gets from the descriptor of the one that it is made in, or
    nothing if no ACE there is to be inherited ([MS-DTYP] 2.5.3.4.2)."""
    control, _, _, _, dacl = _split(above)
    owner, group = sid(22, 1, uid), sid(22, 2, gid)
    aces = [
        _ACE.pack(kind, flags, _ACE.size + len(whose), mask) + whose
        for ace in _every_ace(dacl)
        for kind, flags, mask, whose in _heirs(*ace, owner, group, directory=directory)
    ]
    if not aces:
        return b""
    body = b"".join(aces)
    acl = struct.pack("<BBHHH", dacl[0], 0, 8 + len(body), len(aces), 0) + body
    return _join(_DACL_PRESENT | control & _AUTO_INHERITED, owner, group, b"", acl)


def _heirs(
    kind: int, flags: int, mask: int, whose: bytes, owner: bytes, group: bytes, *, directory: bool
) -> Iterator[tuple[int, int, int, bytes]]:
    """The ACEs that an ACE leaves: one about the new file, one for what will be in it, or both."""
    passed_on = 0
    if directory and not flags & _NO_PROPAGATE:
        passed_on = flags & (_OBJECT_INHERIT | _CONTAINER_INHERIT)
    concerns = bool(flags & (_CONTAINER_INHERIT if directory else _OBJECT_INHERIT))
    meant = {_CREATOR_OWNER: owner, _CREATOR_GROUP: group}.get(whose, whose)
    if concerns and (meant == whose or not passed_on):
        yield kind, passed_on | _INHERITED, mask, meant
        return
    if concerns:
        yield kind, _INHERITED, mask, meant
    if passed_on:
        yield kind, passed_on | _INHERIT_ONLY | _INHERITED, mask, whose


def allowed(descriptor: bytes) -> int:
    """The rights that a descriptor leaves the server's user ([MS-DTYP] 2.5.3.2).

    The first ACE that speaks of a right decides on it. Without a DACL everything is allowed, with
    an empty one only what an owner always may.
    """
    _, owner, group, _, dacl = _split(descriptor)
    if not dacl:
        return _FULL_ACCESS
    held = _ALWAYS_HELD | {owner, group}
    granted = denied = 0
    for kind, flags, mask, whose in _every_ace(dacl):
        if flags & _INHERIT_ONLY or whose not in held:
            continue
        if kind == _ALLOWED:
            granted |= specific(mask) & ~denied
        elif kind == _DENIED:
            denied |= specific(mask) & ~granted
    return granted | _OWNERS_RIGHTS


def _every_ace(dacl: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, mask and SID of each ACE; a damaged one ends the list."""
    at = 8
    while at + _ACE.size <= len(dacl):
        kind, flags, size, mask = _ACE.unpack_from(dacl, at)
        if size < _ACE.size or at + size > len(dacl):
            return
        yield kind, flags, mask, dacl[at + _ACE.size : at + size]
        at += size


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
