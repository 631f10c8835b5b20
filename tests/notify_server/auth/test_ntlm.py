"""NTLMv2 against the worked example of [MS-NLMP] 4.2.4, and messages that are no good."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify_server.auth import ntlm

# [MS-NLMP] 4.2.1, 4.2.4: User, Domain, Password, and what follows from them.
USER, DOMAIN, PASSWORD = "User", "Domain", "Password"
SERVER_CHALLENGE = bytes.fromhex("0123456789abcdef")
TEMP = bytes.fromhex(
    "01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000"
    "02000c0044006f006d00610069006e00"
    "01000c00530065007200760065007200"
    "0000000000000000"
)
PROOF = bytes.fromhex("68cd0ab851e51c96aabc927bebef6a1c")
SESSION_BASE_KEY = bytes.fromhex("8de40ccadbc14a82f15cb0ad0de95ca3")
ENCRYPTED_SESSION_KEY = bytes.fromhex("c5dad2544fc9799094ce1ce90bc9d03e")
KEY_EXCH = 0x40000000


def authenticate(
    nt_response: bytes,
    *,
    user: str = USER,
    domain: str = DOMAIN,
    key: bytes = b"",
    flags: int = 0,
    mic: bytes = b"\0" * 16,
) -> bytes:
    """An AUTHENTICATE_MESSAGE, its fields in the order of 2.2.1.3."""
    payload = b""
    fields = b""
    for part in (
        b"",
        nt_response,
        domain.encode("utf-16-le"),
        user.encode("utf-16-le"),
        b"",
        key,
    ):
        fields += struct.pack("<HHI", len(part), len(part), 88 + len(payload))
        payload += part
    return b"NTLMSSP\0\x03\0\0\0" + fields + struct.pack("<I", flags) + b"\0" * 8 + mic + payload


def test_nt_hash_and_ntowf_v2_are_those_of_the_example() -> None:
    verifier = ntlm.nt_hash(PASSWORD)
    assert verifier.hex() == "a4f49c406510bdcab6824ee7c30fd852"
    assert ntlm.ntowf_v2(verifier, USER, DOMAIN).hex() == "0c868a403bfd7a93a3001ef22ef02e3f"


def test_a_right_proof_gives_the_session_base_key_of_the_example() -> None:
    message = ntlm.Authenticate.parse(authenticate(PROOF + TEMP))
    key = ntlm.session_base_key(message, ntlm.nt_hash(PASSWORD), SERVER_CHALLENGE)
    assert key == SESSION_BASE_KEY


def test_the_exported_key_is_decrypted_with_the_session_base_key() -> None:
    raw = authenticate(PROOF + TEMP, key=ENCRYPTED_SESSION_KEY, flags=KEY_EXCH)
    message = ntlm.Authenticate.parse(raw)
    assert ntlm.exported_session_key(message, SESSION_BASE_KEY) == b"\x55" * 16


@pytest.mark.parametrize("position", range(0, 16 + len(TEMP), 7))
def test_a_changed_byte_anywhere_in_the_response_fails(position: int) -> None:
    response = bytearray(PROOF + TEMP)
    response[position] ^= 1
    message = ntlm.Authenticate.parse(authenticate(bytes(response)))
    assert ntlm.session_base_key(message, ntlm.nt_hash(PASSWORD), SERVER_CHALLENGE) is None


def test_another_challenge_fails() -> None:
    message = ntlm.Authenticate.parse(authenticate(PROOF + TEMP))
    assert ntlm.session_base_key(message, ntlm.nt_hash(PASSWORD), b"\0" * 8) is None


def test_a_24_byte_ntlm_v1_response_is_no_proof() -> None:
    message = ntlm.Authenticate.parse(authenticate(b"\x11" * 24))
    assert ntlm.session_base_key(message, ntlm.nt_hash(PASSWORD), SERVER_CHALLENGE) is None


def test_a_client_without_extended_session_security_is_refused() -> None:
    with pytest.raises(ntlm.NtlmError, match="NTLMv1"):
        ntlm.build_challenge(0x00000001, SERVER_CHALLENGE, "SERVER", 0)


def test_the_mic_is_checked_over_all_three_messages() -> None:
    import hmac

    key = b"k" * 16
    zeroed = authenticate(PROOF + TEMP)
    mic = hmac.digest(key, b"negotiate" + b"challenge" + zeroed, "md5")
    message = ntlm.Authenticate.parse(authenticate(PROOF + TEMP, mic=mic))
    assert ntlm.mic_is_right(message, key, b"negotiate", b"challenge")
    assert not ntlm.mic_is_right(message, key, b"negotiatE", b"challenge")


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_raise_ntlm_error(data: bytes) -> None:
    try:
        message = ntlm.Authenticate.parse(b"NTLMSSP\0\x03\0\0\0" + data)
        _ = message.mic_present
    except ntlm.NtlmError:
        pass
