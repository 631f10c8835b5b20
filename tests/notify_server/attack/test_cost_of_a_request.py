"""What a request costs is bounded by its size, not by its square or worse."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify_server.auth import ntlm, spnego
from notify_server.auth.der import OID, SEQUENCE, DerError, context, encode
from notify_server.core.ea import parse_full_ea, parse_get_ea, select
from notify_server.fs.api import Ea
from notify_server.fs.names import Expression
from notify_server.wire.codec import WireError
from notify_server.wire.create import CreateRequest
from notify_server.wire.status import StatusError

MANY = 500_000


def soon(work: Callable[[], object], error: type[Exception]) -> None:
    """It fails, and at once: what these tests feed took seconds to hours."""
    started = time.process_time()
    with pytest.raises(error):
        work()
    assert time.process_time() - started < 0.5


def test_create_contexts_that_share_a_name_are_counted_as_well() -> None:
    one = struct.pack("<IHHHHI4x", 24, 16, 4, 0, 0, 0)[:16] + b"MxAc" + bytes(4)
    contexts = one * MANY
    body = struct.pack(
        "<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, 0x81, 0, 7, 1, 0, 0, 0, 120, len(contexts)
    )
    soon(lambda: CreateRequest.parse(bytes(64) + body + contexts), WireError)


def test_a_list_of_eas_is_no_longer_than_a_file_can_have() -> None:
    soon(
        lambda: parse_full_ea((struct.pack("<IBBH", 12, 0, 1, 0) + b"A\0\0\0") * MANY), StatusError
    )


def test_a_list_of_names_of_eas_neither() -> None:
    soon(lambda: parse_get_ea((struct.pack("<IB", 8, 1) + b"A\0\0") * MANY), StatusError)


def test_an_ea_that_is_asked_for_often_is_sent_once() -> None:
    """Else 64 KiB of names would fetch gigabytes."""
    assert select([Ea(b"A", b"x" * 60000)], [b"a", b"A"] * 4000) == [Ea(b"A", b"x" * 60000)]


def test_mechanisms_of_a_token_are_few() -> None:
    mechanisms = encode(context(0), encode(SEQUENCE, encode(OID, b"") * 30000))
    oid = encode(OID, bytes.fromhex("2b0601050502"))
    token = encode(0x60, oid, encode(context(0), encode(SEQUENCE, mechanisms)))
    soon(lambda: spnego.parse(token), DerError)


def test_what_is_kept_of_a_logon_that_goes_no_further_is_little() -> None:
    with pytest.raises(ntlm.NtlmError):
        ntlm.negotiate_flags(b"NTLMSSP\0\1\0\0\0" + bytes(60000))


# --- expressions ----------------------------------------------------------------------------


@pytest.mark.parametrize("symbols", ["*a", "<a", "*>", "*?", '*"', ">>"])
def test_no_expression_is_expensive(symbols: str) -> None:
    expression = Expression(symbols * 500 + "b")
    started = time.process_time()
    for name in ("a" * 255, "." * 255, "a." * 127):
        assert not expression.matches(name)
    assert time.process_time() - started < 0.5


def test_an_expression_has_a_longest() -> None:
    with pytest.raises(StatusError):
        Expression("?" * 1025)


_AS_REGEX = {"*": ".*", "<": ".*", "?": ".", ">": r"(?:[^.]|(?=\.)|\Z)", '"': r"(?:\.|\Z)"}


@given(st.text('ab.*?<>"', max_size=8), st.text("abA.", max_size=8))
def test_expressions_mean_what_a_backtracking_matcher_says(pattern: str, name: str) -> None:
    regex = "".join(_AS_REGEX.get(symbol) or re.escape(symbol) for symbol in pattern)
    wanted = pattern in ("", "*.*") or re.fullmatch(regex, name, re.IGNORECASE) is not None
    assert Expression(pattern).matches(name) is wanted
