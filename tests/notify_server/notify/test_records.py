"""FILE_NOTIFY_INFORMATION in bytes ([MS-FSCC] 2.7.1)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify_server.notify.records import (
    RecordError,
    decode_records,
    encode_name,
    encode_records,
)
from notify_server.wire.fscc import NotifyAction

NAMES = st.text(
    st.characters(exclude_characters="\\/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
)
RECORDS = st.lists(st.tuples(st.sampled_from(NotifyAction), NAMES), min_size=1, max_size=20)


def encode(records: list[tuple[NotifyAction, str]]) -> bytes:
    return encode_records([(action, encode_name(name)) for action, name in records])


def test_one_record_has_no_padding_and_no_next_entry() -> None:
    assert encode([(NotifyAction.FILE_ACTION_ADDED, "a")]) == bytes.fromhex(
        "00000000"  # NextEntryOffset
        "01000000"  # Action
        "02000000"  # FileNameLength
        "6100"
    )


@pytest.mark.parametrize(("name", "step"), [("a", 16), ("ab", 16), ("abc", 20), ("abcd", 20)])
def test_each_record_starts_on_a_4_byte_boundary(name: str, step: int) -> None:
    buffer = encode(
        [(NotifyAction.FILE_ACTION_ADDED, name), (NotifyAction.FILE_ACTION_REMOVED, name)]
    )
    assert struct.unpack_from("<I", buffer)[0] == step
    assert len(buffer) == step + 12 + 2 * len(name)


def test_a_character_beyond_the_bmp_is_a_surrogate_pair() -> None:
    buffer = encode([(NotifyAction.FILE_ACTION_ADDED, "\U0001f41f")])
    assert buffer[8:] == bytes.fromhex("04000000 3dd81fdc")


def test_a_byte_that_is_no_utf8_survives() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert decode_records(encode([(NotifyAction.FILE_ACTION_ADDED, name)]))[0][1] == name


@given(RECORDS)
def test_what_is_encoded_is_decoded(records: list[tuple[NotifyAction, str]]) -> None:
    assert decode_records(encode(records)) == records


@given(RECORDS)
def test_offsets_lead_from_record_to_record_and_end_with_0(
    records: list[tuple[NotifyAction, str]],
) -> None:
    buffer, offset, count = encode(records), 0, 1
    while step := struct.unpack_from("<I", buffer, offset)[0]:
        assert step % 4 == 0
        offset += step
        count += 1
    assert count == len(records)


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_not_misread(data: bytes) -> None:
    try:
        records = decode_records(data)
    except RecordError:
        return
    assert len(records) <= len(data) // 12
