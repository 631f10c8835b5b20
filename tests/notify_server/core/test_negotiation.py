"""NEGOTIATE: the dialect, and what 3.1.1 settles in contexts."""

from __future__ import annotations

import struct

import pytest

from notify_server.core.config import Encryption
from tests.notify_server.core.talk import (
    ECHO,
    EMPTY,
    NEGOTIATE,
    Talk,
    World,
    contexts_of,
    parse,
)


@pytest.mark.parametrize("dialect", [0x0202, 0x0210, 0x0300, 0x0302, 0x0311])
def test_each_dialect_is_spoken_if_offered_alone(dialect: int) -> None:
    talk = World().talk(dialect)
    answer = talk.negotiate()
    assert answer.status == 0
    assert struct.unpack_from("<HHH", answer.body)[2] == dialect
    assert answer.body[8:24] == b"G" * 16


def test_the_highest_common_dialect_wins() -> None:
    talk = World().talk(0x0302)
    body = struct.pack("<HHHHI16sQ4H", 36, 4, 1, 0, 0x40, b"g" * 16, 0, 0x0202, 0x0302, 0x0210, 0x7)
    answer = talk.call(NEGOTIATE, body, credits=1)
    assert struct.unpack_from("<HHH", answer.body)[2] == 0x0302


def test_no_common_dialect_is_not_supported() -> None:
    talk = World().talk(0x0300)
    body = struct.pack("<HHHHI16sQH", 36, 1, 1, 0, 0, b"g" * 16, 0, 0x0999)
    assert talk.call(NEGOTIATE, body, credits=1).status == 0xC00000BB


def test_no_dialect_at_all_is_an_invalid_parameter() -> None:
    talk = World().talk(0x0300)
    body = struct.pack("<HHHHI16sQ", 36, 0, 1, 0, 0, b"g" * 16, 0)
    assert talk.call(NEGOTIATE, body, credits=1).status == 0xC000000D


@pytest.mark.parametrize(
    ("dialect", "size"), [(0x0202, 65536), (0x0210, 8 << 20), (0x0311, 8 << 20)]
)
def test_io_sizes_are_64_kib_before_2_1(dialect: int, size: int) -> None:
    answer = World().talk(dialect).negotiate()
    assert struct.unpack_from("<III", answer.body, 28) == (size, size, size)


@pytest.mark.parametrize(
    ("offered", "expected"),
    [((2,), 2), ((1, 2), 1), ((0,), 0), ((9, 1), 1)],
)
def test_the_clients_order_of_signing_algorithms_decides(
    offered: tuple[int, ...], expected: int
) -> None:
    answer = World().talk(signing=offered).negotiate()
    assert (8, struct.pack("<HH", 1, expected)) in contexts_of(answer)


def test_without_a_common_signing_algorithm_there_is_no_context() -> None:
    answer = World().talk(signing=(9,)).negotiate()
    assert 8 not in dict(contexts_of(answer))


@pytest.mark.parametrize(("offered", "expected"), [((1, 2), 2), ((3,), 3), ((4, 1), 1), ((7,), 0)])
def test_the_servers_order_of_ciphers_decides(offered: tuple[int, ...], expected: int) -> None:
    answer = World().talk(ciphers=offered).negotiate()
    assert (2, struct.pack("<HH", 1, expected)) in contexts_of(answer)


def test_encryption_that_is_off_is_not_mentioned() -> None:
    world = World(config={"encryption": Encryption.OFF})
    assert 2 not in dict(contexts_of(world.talk(ciphers=(2,)).negotiate()))


def test_the_hash_is_sha_512_with_a_salt() -> None:
    data = dict(contexts_of(World().talk().negotiate()))[1]
    assert struct.unpack_from("<HHH", data) == (1, 32, 1)
    assert len(data) == 6 + 32


def rewritten(talk: Talk, contexts: bytes, count: int) -> bytes:
    fixed = bytearray(talk.negotiate_body()[:40])
    struct.pack_into("<H", fixed, 32, count)
    return bytes(fixed) + contexts


@pytest.mark.parametrize(
    ("contexts", "count", "status"),
    [
        (struct.pack("<HHI6H", 8, 4, 0, 1, 1, 0, 0, 0, 0), 1, 0xC000000D),  # no hash offered
        (struct.pack("<HHI3H", 1, 6, 0, 1, 0, 7), 1, 0xC05D0000),  # another hash only
        (struct.pack("<HHI4H", 1, 6, 0, 1, 0, 1, 0) + struct.pack("<HHI3H", 1, 6, 0, 1, 0, 1), 2,
         0xC000000D),  # twice
        (struct.pack("<HHI3H", 1, 600, 0, 1, 0, 1), 1, 0xC000000D),  # longer than the message
        (struct.pack("<HHI3H", 1, 6, 0, 300, 0, 1), 1, 0xC000000D),  # lying count
    ],
)  # fmt: skip
def test_contexts_that_are_wrong(contexts: bytes, count: int, status: int) -> None:
    talk = World().talk()
    assert talk.call(NEGOTIATE, rewritten(talk, contexts, count), credits=1).status == status


def test_a_negotiate_that_failed_settles_nothing_for_the_next() -> None:
    """Found by the fuzzer: the cipher of a refused 3.1.1 stayed, and 2.1 has no keys for it."""
    talk = World().talk(0x0311, ciphers=(2,))
    body = bytearray(talk.negotiate_body())
    struct.pack_into("<H", body, len(body) - 4, 300)  # the last context's count lies
    assert talk.call(NEGOTIATE, bytes(body), credits=1).status == 0xC000000D
    talk.dialect, talk.algorithm = 0x0210, 0  # and signs with HMAC-SHA256 again
    talk.negotiate()
    assert talk.log_on().status == 0
    assert talk.connect_tree().status == 0


def test_a_second_negotiate_ends_the_connection() -> None:
    talk = World().talk()
    talk.negotiate()
    talk.send(NEGOTIATE, talk.negotiate_body())
    assert talk.closed


def test_a_request_before_negotiate_ends_the_connection() -> None:
    talk = World().talk()
    talk.send(ECHO, EMPTY)
    assert talk.closed


def smb1_negotiate(*dialects: str) -> bytes:
    data = b"".join(b"\x02" + dialect.encode() + b"\0" for dialect in dialects)
    return b"\xffSMB\x72" + b"\0" * 27 + b"\0" + struct.pack("<H", len(data)) + data


def test_smb1_with_the_wildcard_is_answered_in_smb2_and_negotiated_again() -> None:
    talk = World().talk(0x0311)
    talk.feed(smb1_negotiate("NT LM 0.12", "SMB 2.002", "SMB 2.???"))
    (answer,) = talk.take()
    assert struct.unpack_from("<HHH", answer.body)[2] == 0x02FF
    talk.mid = 1
    assert talk.negotiate().status == 0
    assert talk.log_on().status == 0
    assert talk.connect_tree().status == 0


def test_smb1_with_2_002_goes_on_as_2_0_2() -> None:
    talk = World().talk(0x0202)
    talk.feed(smb1_negotiate("NT LM 0.12", "SMB 2.002"))
    (answer,) = talk.take()
    assert struct.unpack_from("<HHH", answer.body)[2] == 0x0202
    talk.mid = 1
    assert talk.log_on().status == 0


def test_smb1_alone_ends_the_connection() -> None:
    talk = World().talk()
    talk.feed(smb1_negotiate("NT LM 0.12"))
    assert talk.closed
    assert talk.take() == []


def test_negotiate_grants_one_credit_whatever_is_asked() -> None:
    talk = World().talk()
    talk.feed(talk.request(NEGOTIATE, talk.negotiate_body(), credits=500))
    (chunk,) = talk.connection.take_output()
    assert parse(chunk[4:]).credits == 1
