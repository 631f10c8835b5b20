"""Signatures and keys against an implementation that is not ours nor impacket's."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import cmac, hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from lab.client import wire
from lab.client.smb import SIGNING_ALGORITHMS, Signer, preauth_hash, signing_key
from lab.scenarios.model import Command, HeaderFlags

KEY = bytes(range(16))
ALGORITHMS = list(SIGNING_ALGORITHMS)


def pdu(command: int = Command.ECHO, flags: int = 0, message_id: int = 7) -> bytes:
    header = wire.Header(64, 1, 0, command, 1, flags, 0, message_id, 0, 5, 9, bytes(16))
    return header.pack() + b"\x04\0\0\0"


def reference(algorithm: str, message: bytes) -> bytes:
    """MS-SMB2 3.1.4.1, over a message whose signature is blank."""
    if algorithm == "HMAC-SHA256":
        mac = hmac.HMAC(KEY, hashes.SHA256())
        mac.update(message)
        return mac.finalize()[:16]
    if algorithm == "AES-CMAC":
        aes = cmac.CMAC(AES(KEY))
        aes.update(message)
        return aes.finalize()
    header = wire.parse_header(message)
    bits = header.flags & 1 | (2 if header.command == Command.CANCEL else 0)
    nonce = header.message_id.to_bytes(8, "little") + bits.to_bytes(4, "little")
    return AESGCM(KEY).encrypt(nonce, b"", message)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("command", [Command.ECHO, Command.CANCEL])
@pytest.mark.parametrize("flags", [0, int(HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR)])
def test_signatures_are_the_references(algorithm: str, command: int, flags: int) -> None:
    signed = Signer(algorithm, KEY).sign(pdu(command, flags))
    assert wire.parse_header(signed).flags == flags | HeaderFlags.SMB2_FLAGS_SIGNED
    blank = signed[:48] + bytes(16) + signed[64:]
    assert signed[48:64] == reference(algorithm, blank)
    assert Signer(algorithm, KEY).verify(signed)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(at=st.integers(0, 67), bit=st.integers(0, 7))
def test_any_flipped_bit_breaks_the_signature(algorithm: str, at: int, bit: int) -> None:
    signer = Signer(algorithm, KEY)
    signed = bytearray(signer.sign(pdu()))
    signed[at] ^= 1 << bit
    assert not signer.verify(bytes(signed))


def kdf(label: bytes, context: bytes) -> bytes:
    """MS-SMB2 3.1.4.2: SP800-108, counter mode, HMAC-SHA256, r = 32, L = 128."""
    return KBKDFHMAC(
        algorithm=hashes.SHA256(),
        mode=Mode.CounterMode,
        length=16,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    ).derive(KEY)


def test_the_signing_key_of_each_dialect() -> None:
    preauth = preauth_hash(bytes(64), b"negotiate")
    assert signing_key(0x0210, KEY, preauth) == KEY
    assert signing_key(0x0302, KEY, preauth) == kdf(b"SMB2AESCMAC\0", b"SmbSign\0")
    assert signing_key(0x0311, KEY, preauth) == kdf(b"SMBSigningKey\0", preauth)


def test_the_preauth_hash_chains() -> None:
    digest = hashes.Hash(hashes.SHA512())
    digest.update(bytes(64) + b"one")
    assert preauth_hash(bytes(64), b"one") == digest.finalize()
