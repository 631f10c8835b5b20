"""Security descriptors ([MS-DTYP] 2.4.6): parts taken and replaced."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify_server.fs.security import (
    EVERYONE,
    allowed,
    default_descriptor,
    inherited,
    merge,
    select,
    sid,
)
from notify_server.wire.status import StatusError

OWNER, GROUP, DACL, SACL = 1, 2, 4, 8
DEFAULT = default_descriptor(1000, 100, directory=True)


def test_everyone() -> None:
    assert bytes.fromhex("01 01 000000000001 00000000") == EVERYONE


def test_the_default_in_bytes() -> None:
    revision, _, control, owner, group, sacl, dacl = struct.unpack_from("<BBHIIII", DEFAULT)
    assert (revision, control, sacl) == (1, 0x8004, 0)
    assert DEFAULT[owner:group] == sid(22, 1, 1000)
    assert DEFAULT[group:dacl] == sid(22, 2, 100)
    assert struct.unpack_from("<BBHHH", DEFAULT, dacl) == (2, 0, 28, 1, 0)
    assert DEFAULT[dacl + 8 :] == struct.pack("<BBHI", 0, 3, 20, 0x1F01FF) + EVERYONE


@pytest.mark.parametrize("information", range(8))
def test_only_what_is_asked_for_is_given(information: int) -> None:
    part = select(DEFAULT, information)
    _, _, control, owner, group, _, dacl = struct.unpack_from("<BBHIIII", part)
    assert [bool(owner), bool(group), bool(dacl)] == [
        bool(information & bit) for bit in (OWNER, GROUP, DACL)
    ]
    assert bool(control & 0x0004) == bool(information & DACL)


@pytest.mark.parametrize("information", range(8))
def test_only_what_is_named_is_replaced(information: int) -> None:
    new = default_descriptor(7, 8, directory=False)
    merged = merge(DEFAULT, information, new)
    assert select(merged, information) == select(new, information)
    assert select(merged, 7 & ~information) == select(DEFAULT, 7 & ~information)


def test_a_dacl_that_is_absent_is_not_one_that_is_empty() -> None:
    nobody = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + struct.pack(
        "<BBHHH", 2, 0, 8, 0, 0
    )
    everybody = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 0)
    assert select(merge(DEFAULT, DACL, nobody), DACL) == nobody
    assert select(merge(DEFAULT, DACL, everybody), DACL) == everybody


@given(st.binary(max_size=80), st.integers(0, 15))
def test_nonsense_is_refused(data: bytes, information: int) -> None:
    try:
        merged = merge(DEFAULT, information, data)
    except StatusError:
        return
    assert select(merged, 15)


# What an ACL allows ([MS-DTYP] 2.5.3.2)


def ace(kind: int, whose: bytes, mask: int, flags: int = 0) -> bytes:
    return struct.pack("<BBHI", kind, flags, 8 + len(whose), mask) + whose


def with_dacl(*aces: bytes) -> bytes:
    body = b"".join(aces)
    dacl = struct.pack("<BBHHH", 2, 0, 8 + len(body), len(aces), 0) + body
    new = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + dacl
    return merge(DEFAULT, DACL, new)


ALLOW, DENY, INHERIT_ONLY = 0, 1, 0x08
OWNERS = 0x60000  # READ_CONTROL, WRITE_DAC
STRANGER, CREATOR_OWNER = sid(5, 21, 1, 2, 3, 1001), sid(3, 0)


@pytest.mark.parametrize(
    ("aces", "rights"),
    [
        ([], OWNERS),
        ([ace(ALLOW, EVERYONE, 0x1F01FF)], 0x1F01FF),
        ([ace(ALLOW, EVERYONE, 0x10000000)], 0x1F01FF),
        ([ace(ALLOW, EVERYONE, 1)], OWNERS | 1),
        ([ace(ALLOW, sid(22, 1, 1000), 2)], OWNERS | 2),
        ([ace(ALLOW, STRANGER, 0x1F01FF)], OWNERS),
        ([ace(ALLOW, CREATOR_OWNER, 0x1F01FF)], OWNERS),
        ([ace(ALLOW, EVERYONE, 0x1F01FF, INHERIT_ONLY)], OWNERS),
        ([ace(DENY, EVERYONE, 2), ace(ALLOW, EVERYONE, 3)], OWNERS | 1),
        ([ace(ALLOW, EVERYONE, 3), ace(DENY, EVERYONE, 2)], OWNERS | 3),
        ([ace(DENY, STRANGER, 2), ace(ALLOW, EVERYONE, 3)], OWNERS | 3),
        ([ace(ALLOW, EVERYONE, 1), ace(ALLOW, EVERYONE, 2)[:-4]], OWNERS | 1),
    ],
)
def test_an_acl_allows(aces: list[bytes], rights: int) -> None:
    assert allowed(with_dacl(*aces)) == rights


def test_without_an_acl_everything_is_allowed() -> None:
    everybody = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 0)
    assert allowed(merge(DEFAULT, DACL, everybody)) == 0x1F01FF


# Inheritance ([MS-DTYP] 2.5.3.4.2)

OBJECT, CONTAINER, NO_PROPAGATE, INHERITED = 0x01, 0x02, 0x04, 0x10
CHILDS_OWNER = sid(22, 1, 7)


@pytest.mark.parametrize(
    ("of_parent", "of_file", "of_directory"),
    [
        ([], [], []),
        ([ace(ALLOW, EVERYONE, 1)], [], []),
        (
            [ace(ALLOW, EVERYONE, 1, OBJECT)],
            [ace(ALLOW, EVERYONE, 1, INHERITED)],
            [ace(ALLOW, EVERYONE, 1, OBJECT | INHERIT_ONLY | INHERITED)],
        ),
        (
            [ace(DENY, EVERYONE, 2, CONTAINER | INHERIT_ONLY)],
            [],
            [ace(DENY, EVERYONE, 2, CONTAINER | INHERITED)],
        ),
        (
            [ace(ALLOW, EVERYONE, 1, OBJECT | CONTAINER | NO_PROPAGATE)],
            [ace(ALLOW, EVERYONE, 1, INHERITED)],
            [ace(ALLOW, EVERYONE, 1, INHERITED)],
        ),
        (
            [ace(ALLOW, CREATOR_OWNER, 1, OBJECT | CONTAINER)],
            [ace(ALLOW, CHILDS_OWNER, 1, INHERITED)],
            [
                ace(ALLOW, CHILDS_OWNER, 1, INHERITED),
                ace(ALLOW, CREATOR_OWNER, 1, OBJECT | CONTAINER | INHERIT_ONLY | INHERITED),
            ],
        ),
    ],
)
def test_what_is_inherited(
    of_parent: list[bytes], of_file: list[bytes], of_directory: list[bytes]
) -> None:
    for directory, aces in ((False, of_file), (True, of_directory)):
        got = inherited(with_dacl(*of_parent), 7, 8, directory=directory)
        if not aces:
            assert got == b""
            continue
        assert select(got, DACL) == select(with_dacl(*aces), DACL)
        assert select(got, OWNER | GROUP) == select(
            default_descriptor(7, 8, directory=directory), OWNER | GROUP
        )


@given(st.binary(max_size=120), st.booleans())
def test_nothing_is_inherited_from_nonsense(data: bytes, directory: bool) -> None:
    try:
        got = inherited(data, 7, 8, directory=directory)
    except StatusError:
        return
    assert got == b"" or allowed(got) <= 0xFFFFFFFF
