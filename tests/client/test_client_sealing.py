"""Seals and their keys against an implementation that is not ours nor impacket's."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from lab.client.smb import CIPHERS, BadSeal, Sealer, sealer

SESSION_ID = 0x1122334455667788
MESSAGE = b"\xfeSMB" + bytes(range(100))
HEADER_SIZE = 52


def a_pair(cipher: str) -> tuple[Sealer, Sealer]:
    """The client's sealer, and the server's: its keys the other way round."""
    size = CIPHERS[cipher][1]
    ours, theirs = bytes(range(size)), bytes(range(100, 100 + size))
    return Sealer(cipher, SESSION_ID, ours, theirs), Sealer(cipher, SESSION_ID, theirs, ours)


def reference(cipher: str, key: bytes) -> AESCCM | AESGCM:
    return AESCCM(key, tag_length=16) if cipher.endswith("CCM") else AESGCM(key)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_the_references_open_what_we_seal(cipher: str) -> None:
    client, server = a_pair(cipher)
    length = CIPHERS[cipher][2]
    sealed = client.seal(MESSAGE, bytes(range(length)))
    assert sealed[:4] == b"\xfdSMB"
    assert sealed[20:36] == bytes(range(length)) + bytes(16 - length)
    assert sealed[36:44] == len(MESSAGE).to_bytes(4, "little") + b"\0\0\x01\0"
    assert sealed[44:52] == SESSION_ID.to_bytes(8, "little")
    tag, body = sealed[4:20], sealed[HEADER_SIZE:]
    opened = reference(cipher, client.outgoing).decrypt(
        bytes(range(length)), body + tag, sealed[20:HEADER_SIZE]
    )
    assert opened == MESSAGE == server.unseal(sealed)


@pytest.mark.parametrize("cipher", CIPHERS)
@given(data=st.data())
def test_any_flipped_bit_is_noticed(cipher: str, data: st.DataObject) -> None:
    client, server = a_pair(cipher)
    sealed = bytearray(client.seal(MESSAGE, bytes(CIPHERS[cipher][2])))
    at = data.draw(st.integers(4, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadSeal):
        server.unseal(bytes(sealed))


@given(st.binary(max_size=HEADER_SIZE + 4))
def test_what_is_no_sealed_message_is_refused(message: bytes) -> None:
    with pytest.raises(BadSeal):
        a_pair("AES-128-GCM")[0].unseal(message)


OLDER = ((b"SMB2AESCCM\0", b"ServerIn \0"), (b"SMB2AESCCM\0", b"ServerOut\0"))
NEWEST = ((b"SMBC2SCipherKey\0", b"p" * 64), (b"SMBS2CCipherKey\0", b"p" * 64))


@pytest.mark.parametrize(
    ("dialect", "cipher", "labels"),
    [
        (0x0300, "AES-128-CCM", OLDER),
        (0x0311, "AES-128-GCM", NEWEST),
        (0x0311, "AES-256-GCM", NEWEST),
    ],
)
def test_keys_are_those_of_the_specification(
    dialect: int, cipher: str, labels: tuple[tuple[bytes, bytes], ...]
) -> None:
    """MS-SMB2 3.1.4.2, with a key derivation of another library."""
    made = sealer(cipher, dialect, SESSION_ID, b"k" * 16, b"p" * 64)
    for label, context, key in (
        (*labels[0], made.outgoing),
        (*labels[1], made.incoming),
    ):
        derived = KBKDFHMAC(
            algorithm=hashes.SHA256(),
            mode=Mode.CounterMode,
            length=CIPHERS[cipher][1],
            rlen=4,
            llen=4,
            location=CounterLocation.BeforeFixed,
            label=label,
            context=context,
            fixed=None,
        ).derive(b"k" * 16)
        assert key == derived
