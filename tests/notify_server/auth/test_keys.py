"""Derived keys, signatures and sealing against published examples and against themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify_server.auth.keys import derive, extend_preauth, session_keys
from notify_server.auth.sealing import SUPPORTED, Sealer, SealError
from notify_server.auth.signing import is_signed_by_client, sign
from notify_server.wire.header import SIGNATURE_AT, pack_header
from notify_server.wire.transform import Transform


def test_smb_3_0_keys_are_those_of_microsofts_example() -> None:
    """ "Encryption in SMB 3.0: a protocol perspective", the Open Specifications blog, 2012."""
    key = bytes.fromhex("b4546771b515f766a86735532dd6c4f0")
    keys = session_keys(key, 0x0300, 1, b"")
    assert keys.encryption.hex() == "8fe2b57ec34d2db5b1a9727f526bbdb5"
    assert keys.decryption.hex() == "261b72350558f2e9dcf613070383edbf"


def test_smb_3_1_1_keys_are_those_of_microsofts_example() -> None:
    """ "SMB 2 and SMB 3 security in Windows 10", the Open Specifications blog, 2015."""
    keys = session_keys(
        bytes.fromhex("270e1ba896585eeb7af3472d3b4c75a7"),
        0x0311,
        2,
        bytes.fromhex(
            "0dd13628cc3ed218ef9df9772d436d0887ab9814bfae63a80aa845f36909db79"
            "28622dddad522d9751640a459762c5a9d6bb084cbb3ce6bdadef5d5bce3c6c01"
        ),
    )
    assert keys.signing.hex() == "73fe7a9a77bef0bde49c650d8ccb5f76"


def test_a_label_and_its_context_both_count() -> None:
    one = derive(b"k" * 16, b"label\0", b"context\0", 128)
    assert len(one) == 16
    assert one != derive(b"k" * 16, b"label\0", b"contexT\0", 128)
    assert len(derive(b"k" * 16, b"label\0", b"", 256)) == 32


def test_2_x_signs_with_the_session_key_itself() -> None:
    assert session_keys(b"k" * 16, 0x0210, None, b"").signing == b"k" * 16


def test_preauth_is_a_chain() -> None:
    one = extend_preauth(bytes(64), b"a")
    assert extend_preauth(one, b"b") != extend_preauth(extend_preauth(bytes(64), b"b"), b"a")


@pytest.mark.parametrize("algorithm", [0, 1, 2])
@given(body=st.binary(max_size=100), position=st.integers(0, 163))
def test_any_changed_bit_breaks_a_signature(algorithm: int, body: bytes, position: int) -> None:
    message = pack_header(5, 9, 0, 8, 1, 2, 3) + body
    signed = sign(algorithm, b"k" * 16, message)
    assert len(signed) == len(message)
    if algorithm != 2:  # GMAC's nonce says who signed, so a server's is no client's
        assert is_signed_by_client(algorithm, b"k" * 16, signed)
    else:
        assert not is_signed_by_client(algorithm, b"k" * 16, signed)
    changed = bytearray(signed)
    changed[position % len(signed)] ^= 1
    assert not is_signed_by_client(algorithm, b"k" * 16, bytes(changed))
    assert signed[:SIGNATURE_AT] == message[:SIGNATURE_AT]


@pytest.mark.parametrize("cipher", SUPPORTED)
@given(payload=st.binary(min_size=1, max_size=100), position=st.integers(0, 200))
def test_what_is_sealed_opens_with_the_other_sides_keys_unless_changed(
    cipher: int, payload: bytes, position: int
) -> None:
    size = 32 if cipher > 2 else 16
    ours, theirs = b"s" * size, b"c" * size
    server, client = Sealer(cipher, ours, theirs), Sealer(cipher, theirs, ours)
    sealed = server.seal(payload, 5)
    assert client.open(Transform.parse(sealed)) == payload
    changed = bytearray(sealed)
    # The protocol id, the unused end of the nonce, and the size are checked before.
    at = 52 + position % len(payload)
    changed[at] ^= 1
    with pytest.raises(SealError):
        client.open(Transform.parse(bytes(changed)))


@pytest.mark.parametrize("cipher", SUPPORTED)
def test_no_nonce_is_used_twice(cipher: int) -> None:
    sealer = Sealer(cipher, b"s" * 32 if cipher > 2 else b"s" * 16, b"c" * 16 * (1 + (cipher > 2)))
    nonces = {Transform.parse(sealer.seal(b"x", 1)).nonce for _ in range(100)}
    assert len(nonces) == 100
