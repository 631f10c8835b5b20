"""The acceptor against an initiator that nobody here wrote (pyspnego), and against liars."""

from __future__ import annotations

import contextlib

import pytest
import spnego
from hypothesis import given
from hypothesis import strategies as st
from spnego._context import ContextProxy

from notify_server.auth import ntlm
from notify_server.auth.acceptor import Acceptor, LogonError, Step
from notify_server.auth.spnego import neg_token_init2
from tests.notify_server.auth.test_ntlm import authenticate

CHALLENGE = bytes(range(8))
FILETIME = 133_000_000_000_000_000


def acceptor(*, allow_anonymous: bool = False, filetime: int = FILETIME) -> Acceptor:
    verifiers = {"tester": ntlm.nt_hash("secret"), "ünïcøde": ntlm.nt_hash("pässwörd")}
    return Acceptor(verifiers, "SRV", CHALLENGE, filetime, allow_anonymous=allow_anonymous)


def initiator(user: str, password: str, protocol: str = "negotiate") -> ContextProxy:
    return spnego.client(
        user, password, hostname="srv", protocol=protocol, options=spnego.NegotiateOptions.use_ntlm
    )


def log_on(client: ContextProxy, server: Acceptor) -> Step:
    token = client.step()
    assert token is not None
    step = server.step(token)
    while step.identity is None:
        answer = client.step(step.token)
        assert answer is not None
        step = server.step(answer)
    if step.token:
        client.step(step.token)
    return step


@pytest.mark.parametrize("protocol", ["negotiate", "ntlm"])
@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("tester", "secret"),
        ("TESTER", "secret"),
        ("DOM\\tester", "secret"),
        ("ünïcøde", "pässwörd"),
    ],
)
def test_both_sides_agree_on_the_session_key(protocol: str, user: str, password: str) -> None:
    client = initiator(user, password, protocol)
    step = log_on(client, acceptor())
    assert step.identity is not None
    assert step.identity.user.lower() == user.rpartition("\\")[2].lower()
    assert step.session_key == client.session_key
    assert client.complete


@pytest.mark.parametrize(("user", "password"), [("tester", "wrong"), ("nobody", "secret")])
def test_a_wrong_password_and_an_unknown_user_fail_alike(user: str, password: str) -> None:
    with pytest.raises(LogonError, match="unknown user or wrong password"):
        log_on(initiator(user, password), acceptor())


def test_a_changed_message_before_the_proof_breaks_the_mic() -> None:
    """Somebody between clears a flag in the challenge: only the MIC tells."""
    client, server = initiator("tester", "secret", "ntlm"), acceptor()
    challenge = bytearray(server.step(client.step()).token)  # type: ignore[arg-type]
    challenge[23] ^= 0x20  # NTLMSSP_NEGOTIATE_128
    with pytest.raises(LogonError, match="MIC"):
        server.step(client.step(bytes(challenge)))  # type: ignore[arg-type]


def test_a_challenge_answers_one_proof_only() -> None:
    client, server = initiator("tester", "secret", "ntlm"), acceptor()
    proof = client.step(server.step(client.step()).token)  # type: ignore[arg-type]
    assert proof is not None
    assert server.step(proof).identity is not None
    with pytest.raises(LogonError, match="before a challenge"):
        server.step(proof)


def test_anonymous_is_refused_unless_allowed() -> None:

    empty = authenticate(b"", user="", domain="")
    negotiate = b"NTLMSSP\0\x01\0\0\0" + (0x00080001).to_bytes(4, "little") + b"\0" * 16
    for allowed in (False, True):
        server = acceptor(allow_anonymous=allowed)
        server.step(negotiate)
        if allowed:
            step = server.step(empty)
            assert step.identity is not None
            assert step.identity.anonymous
        else:
            with pytest.raises(LogonError, match="anonymous"):
                server.step(empty)


def test_the_first_token_is_spnego_with_ntlmssp_alone() -> None:
    token = neg_token_init2()
    assert token[:2] == b"\x60" + bytes([len(token) - 2])
    assert bytes.fromhex("060a2b06010401823702020a") in token


@given(st.binary(max_size=200))
def test_no_token_does_more_than_raise_logon_error(data: bytes) -> None:
    server = acceptor()
    for token in (data, b"NTLMSSP\0" + data, b"\x60" + data, b"\xa1" + data):
        with contextlib.suppress(LogonError):
            server.step(token)
