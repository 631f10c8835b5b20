"""Each parser takes what it should and refuses the rest; each packer gives the bytes of 2.2."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify_server.wire import (
    change_notify,
    create,
    error,
    file_io,
    header,
    negotiate,
    oplock_break,
    query,
    session,
    transform,
)
from notify_server.wire.codec import WireError, to_utf16, utf16

HEADER = bytes(64)

PARSERS: list[tuple[int, Callable[[bytes], Any]]] = [
    (36, negotiate.NegotiateRequest.parse),
    (25, session.SessionSetupRequest.parse),
    (9, session.TreeConnectRequest.parse),
    (4, session.check_empty),
    (57, create.CreateRequest.parse),
    (24, file_io.CloseRequest.parse),
    (24, file_io.FlushRequest.parse),
    (49, file_io.ReadRequest.parse),
    (49, file_io.WriteRequest.parse),
    (48, file_io.LockRequest.parse),
    (57, query.IoctlRequest.parse),
    (33, query.QueryDirectoryRequest.parse),
    (32, change_notify.ChangeNotifyRequest.parse),
    (41, query.QueryInfoRequest.parse),
    (33, query.SetInfoRequest.parse),
    (24, oplock_break.OplockBreakAcknowledgment.parse),
]


@pytest.mark.parametrize(("size", "parse"), PARSERS)
@given(data=st.binary(max_size=200))
def test_no_bytes_do_more_than_raise_wire_error(
    size: int, parse: Callable[[bytes], Any], data: bytes
) -> None:
    for body in (data, struct.pack("<H", size) + data):
        with contextlib.suppress(WireError):
            parse(HEADER + body)


@pytest.mark.parametrize(("size", "parse"), PARSERS)
def test_another_structure_size_is_refused(size: int, parse: Callable[[bytes], Any]) -> None:
    with pytest.raises(WireError, match="StructureSize"):
        parse(HEADER + struct.pack("<H", size + 1) + bytes(200))


@given(st.binary(max_size=200))
def test_other_parsers_take_any_bytes(data: bytes) -> None:
    for parse in (
        header.parse_header,
        lambda d: list(header.split_compound(d)),
        negotiate.parse_smb1_negotiate,
        negotiate.parse_preauth_capabilities,
        negotiate.parse_algorithms,
        query.ValidateNegotiateInfo.parse,
        transform.Transform.parse,
    ):
        with contextlib.suppress(WireError):
            parse(data)


def test_a_change_notify_request() -> None:
    body = bytes.fromhex(
        "2000"  # StructureSize
        "0100"  # Flags: SMB2_WATCH_TREE
        "00080000"  # OutputBufferLength
        "00112233445566778899aabbccddeeff"  # FileId
        "15000000"  # CompletionFilter
        "00000000"  # Reserved
    )
    assert change_notify.ChangeNotifyRequest.parse(HEADER + body) == (
        change_notify.ChangeNotifyRequest(
            1, 2048, bytes.fromhex("00112233445566778899aabbccddeeff"), 0x15
        )
    )


def test_a_change_notify_response() -> None:
    assert change_notify.pack_change_notify_response(b"record").hex() == (
        "0900"  # StructureSize
        "4800"  # OutputBufferOffset: 72
        "06000000"  # OutputBufferLength
        "7265636f7264"  # Buffer
    )
    assert change_notify.pack_change_notify_response(b"").hex() == "0900480000000000" + "00"


def test_the_sync_and_the_async_header() -> None:
    packed = header.pack_header(15, 7, 0x103, 3, 2, 0xAABB, 0x1122334455667788, 1)
    assert packed.hex() == (
        "fe534d42" "4000" "0100" "03010000" "0f00" "0200" "03000000" "00000000"
        "0700000000000000" "8877665544332211" "bbaa000000000000" + "00" * 16
    )  # fmt: skip
    parsed = header.parse_header(packed)
    assert (parsed.async_id, parsed.tree_id) == (0x1122334455667788, 0)
    sync = header.parse_header(header.pack_header(15, 7, 0, 1, 2, 0xAABB, 5))
    assert (sync.async_id, sync.tree_id) == (0, 5)


@pytest.mark.parametrize("data", [b"\xfeSMB" + bytes(59), b"\xffSMB\x40" + bytes(59), bytes(64)])
def test_what_is_no_header(data: bytes) -> None:
    with pytest.raises(WireError):
        header.parse_header(data)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_a_compound_is_split_where_it_was_joined(bodies: list[bytes]) -> None:
    messages = []
    for index, body in enumerate(bodies):
        message = bytearray(header.pack_header(0, index, 0, 0, 0, 0, 0) + body)
        if index < len(bodies) - 1:
            message += b"\0" * (-len(message) % 8)
            struct.pack_into("<I", message, header.NEXT_COMMAND_AT, len(message))
        messages.append(bytes(message))
    assert list(header.split_compound(b"".join(messages))) == messages


def test_create_contexts_are_read_from_their_chain() -> None:
    name = "dir".encode("utf-16-le")
    one = struct.pack("<IHHHHI", 32, 16, 4, 0, 24, 8) + b"QFid" + bytes(4) + bytes(8)
    two = struct.pack("<IHHHHI", 0, 16, 4, 0, 0, 0) + b"MxAc"
    body = struct.pack(
        "<HBBIQQIIIIIHHII", 57, 0, 9, 2, 0, 0, 0x81, 0, 7, 1, 0, 120, 6, 128, 52
    ) + name + bytes(2) + one + two  # fmt: skip
    parsed = create.CreateRequest.parse(HEADER + body)
    assert (parsed.name, parsed.requested_oplock_level, parsed.share_access) == ("dir", 9, 7)
    assert parsed.contexts == {b"QFid": bytes(8), b"MxAc": b""}


def test_a_create_response_with_contexts() -> None:
    response = create.CreateResponse(
        9, 1, (1, 2, 3, 4), 5, 6, 0x20, b"F" * 16, [(b"MxAc", b"12345678"), (b"QFid", b"x" * 32)]
    ).pack()
    offset, length = struct.unpack_from("<II", response, 80)
    assert (offset, length) == (152, 32 + 56)
    assert struct.unpack_from("<IHHHHI", response, 88) == (32, 16, 4, 0, 24, 8)
    assert struct.unpack_from("<IHHHHI", response, 120) == (0, 16, 4, 0, 24, 32)


@pytest.mark.parametrize(
    ("data", "with_context", "expected"),
    [
        (b"", True, "09000000000000" "0000"),
        (b"\4\0\0\0", False, "0900000004000000" "04000000"),
        (b"\4\0\0\0", True, "090001000c000000" "0400000000000000" "04000000"),
    ],
)  # fmt: skip
def test_error_bodies(data: bytes, with_context: bool, expected: str) -> None:
    assert error.pack_error(data, with_context=with_context).hex() == expected


def test_a_transform_is_taken_apart_as_it_was_put_together() -> None:
    aad = transform.transform_aad(b"n" * 11, 5, 77)
    parsed = transform.Transform.parse(transform.pack_transform(b"s" * 16, aad, b"12345"))
    assert (parsed.signature, parsed.nonce, parsed.session_id) == (
        b"s" * 16, b"n" * 11 + bytes(5), 77,
    )  # fmt: skip
    assert (parsed.aad, parsed.ciphertext) == (aad, b"12345")


@pytest.mark.parametrize(("size", "flags"), [(4, 1), (6, 1), (5, 0)])
def test_a_transform_that_lies_is_refused(size: int, flags: int) -> None:
    aad = struct.pack("<16sIHHQ", b"n", size, 0, flags, 7)
    with pytest.raises(WireError):
        transform.Transform.parse(b"\xfdSMB" + bytes(16) + aad + b"12345")


def test_names_keep_unpaired_surrogates() -> None:
    assert utf16(b"\x00\xd8") == "\ud800"
    assert to_utf16("\ud800a") == b"\x00\xd8a\0"
    with pytest.raises(WireError):
        utf16(b"a")


def test_negotiate_contexts_of_a_response_are_aligned() -> None:
    response = negotiate.NegotiateResponse(
        1, 0x0311, b"G" * 16, 4, 1, 2, 3, 4, b"token",
        [negotiate.preauth_context(1, b"salt!"), negotiate.cipher_context(2)],
    ).pack()  # fmt: skip
    (count,) = struct.unpack_from("<H", response, 6)
    (first,) = struct.unpack_from("<I", response, 60)
    assert (count, first % 8) == (2, 0)
    assert struct.unpack_from("<HHI", response, first - 64) == (1, 11, 0)
    second = first + 8 + 11 + 5
    assert struct.unpack_from("<HHIHH", response, second - 64) == (2, 4, 0, 1, 2)
