"""The client's codec: exact bytes out, and nothing coming in that makes it raise."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.client import wire
from lab.scenarios.model import Action, Command, NtStatus

HEADERS = st.builds(
    wire.Header,
    structure_size=st.just(64),
    credit_charge=st.integers(0, 0xFFFF),
    status=st.sampled_from([0, *map(int, NtStatus), 0xC0DEC0DE]),
    command=st.integers(0, 20),
    credits=st.integers(0, 0xFFFF),
    flags=st.integers(0, 0xFFFFFFFF),
    next_command=st.integers(0, 0xFFFFFFFF),
    message_id=st.integers(0, 2**64 - 1),
    reserved=st.integers(0, 0xFFFFFFFF),
    tree_id=st.integers(0, 0xFFFFFFFF),
    session_id=st.integers(0, 2**64 - 1),
    signature=st.binary(min_size=16, max_size=16),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(HEADERS)
def test_a_header_survives_the_wire(header: wire.Header) -> None:
    assert wire.parse_header(header.pack()) == header


def test_an_async_header_holds_one_number_where_a_sync_one_holds_two() -> None:
    low, high = 0x11223344, 0x55667788
    header = wire.Header(64, 0, 0, 15, 0, 2, 0, 1, low, high, 0, bytes(16))
    assert header.is_async
    assert header.async_id == struct.unpack("<Q", header.pack()[32:40])[0]


def test_a_change_notify_request_byte_by_byte() -> None:
    """MS-SMB2 2.2.35."""
    body = wire.build_body(
        Command.CHANGE_NOTIFY,
        {
            "watch_tree": True,
            "output_buffer_length": 2048,
            "file_id": bytes(range(16)),
            "completion_filter": 0x15,
        },
    )
    assert body.hex() == "2000010000080000" + bytes(range(16)).hex() + "1500000000000000"


def test_fields_can_be_overridden_to_break_the_rules() -> None:
    fields = {"file_id": bytes(16), "completion_filter": 0, "output_buffer_length": 1}
    body = wire.build_body(Command.CHANGE_NOTIFY, {**fields, "structure_size": 31, "flags": 0xFFFE})
    assert body[:4].hex() == "1f00feff"


@pytest.mark.parametrize("path", ["", "a", "dir\\file1"])
@pytest.mark.parametrize("maximal_access", [False, True])
def test_a_create_request_says_where_its_name_and_contexts_are(
    path: str, maximal_access: bool
) -> None:
    """MS-SMB2 2.2.13: offsets count from the header; contexts are aligned to 8 bytes."""
    fields = {
        "path": path,
        "desired_access": 1,
        "share_access": 7,
        "create_disposition": 1,
        "create_options": 0,
        "maximal_access": maximal_access,
    }
    pdu = bytes(64) + wire.build_body(Command.CREATE, fields)
    name_at, name_size, contexts_at, contexts_size = struct.unpack_from("<HHII", pdu, 64 + 44)
    assert pdu[name_at : name_at + name_size].decode("utf-16-le") == path
    assert len(pdu) >= 64 + 57  # StructureSize 57 counts one byte of the buffer
    if maximal_access:
        assert contexts_at % 8 == 0
        assert contexts_at + contexts_size == len(pdu)
        assert pdu[contexts_at + 16 : contexts_at + 20] == b"MxAc"
    else:
        assert (contexts_at, contexts_size) == (0, 0)


def encode(records: list[tuple[Action, str]]) -> bytes:
    data = b""
    for number, (action, name) in enumerate(records):
        raw = name.encode("utf-16-le")
        size = 12 + len(raw)
        last = number == len(records) - 1
        following = 0 if last else size + -size % 4
        data += struct.pack("<III", following, action, len(raw)) + raw
        data += bytes(0 if last else -size % 4)
    return data


@given(st.lists(st.tuples(st.sampled_from(Action), NAMES), min_size=1, max_size=8))
def test_records_come_back(records: list[tuple[Action, str]]) -> None:
    decoded = wire.decode_records(encode(records))
    assert [(r["action"], r["name"]) for r in decoded] == [(a.name, n) for a, n in records]
    assert decoded[-1]["next_entry_offset"] == 0


@given(st.lists(st.tuples(st.sampled_from(Action), NAMES), min_size=1, max_size=4), st.data())
def test_a_cut_buffer_is_malformed(records: list[tuple[Action, str]], data: st.DataObject) -> None:
    whole = encode(records)
    cut = data.draw(st.integers(1, len(whole) - 1))
    last = 12 + 2 * len(records[-1][1].encode("utf-16-le")) // 2
    with pytest.raises(wire.Malformed):
        wire.decode_records(whole[: max(1, min(cut, len(whole) - 1, len(whole) - last + 11))])


@given(HEADERS, st.binary(max_size=200))
def test_no_body_makes_the_parser_raise(header: wire.Header, body: bytes) -> None:
    parsed = wire.parse_body(header, header.pack() + body)
    assert "structure_size" in parsed or "malformed" in parsed


@given(st.binary(max_size=300))
def test_a_message_is_split_or_malformed(message: bytes) -> None:
    try:
        pdus = wire.split_compound(message)
    except wire.Malformed:
        return
    assert b"".join(pdus) == message


def test_a_compound_is_split_where_next_command_says() -> None:
    header = wire.Header(64, 0, 0, 13, 0, 0, 72, 1, 0, 0, 0, bytes(16))
    first = header.pack() + bytes(8)
    second = wire.Header(64, 0, 0, 13, 0, 0, 0, 2, 0, 0, 0, bytes(16)).pack() + bytes(4)
    assert wire.split_compound(first + second) == [first, second]


@pytest.mark.parametrize("next_command", [1, 63, 10_000])
def test_a_next_command_that_leads_nowhere_is_malformed(next_command: int) -> None:
    header = wire.Header(64, 0, 0, 13, 0, 0, next_command, 1, 0, 0, 0, bytes(16))
    with pytest.raises(wire.Malformed):
        wire.split_compound(header.pack() + bytes(8))
