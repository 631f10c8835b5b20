"""Session keys, what is derived from them (3.1.4.2), and the pre-authentication hash."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from notify_server.wire.constants import Cipher, Dialect

EMPTY_PREAUTH: Final = b"\0" * 64


def extend_preauth(value: bytes, message: bytes) -> bytes:
    """PreauthIntegrityHashValue after `message` (3.3.5.4, 3.3.5.5)."""
    return hashlib.sha512(value + message).digest()


def derive(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """SP800-108 in counter mode with HMAC-SHA256, one block (3.1.4.2)."""
    data = b"\0\0\0\x01" + label + b"\0" + context + bits.to_bytes(4, "big")
    return hmac.digest(key, data, "sha256")[: bits // 8]


@dataclass(slots=True, frozen=True)
class SessionKeys:
    """Keys of one session. 2.x has only the signing key; sealing keys are b"" there."""

    signing: bytes = field(repr=False)
    application: bytes = field(repr=False)
    encryption: bytes = field(default=b"", repr=False)  # server to client
    decryption: bytes = field(default=b"", repr=False)  # client to server


# dialect family: (label, context) of signing, application, server-to-client, client-to-server.
_SMB30: Final = (
    (b"SMB2AESCMAC\0", b"SmbSign\0"),
    (b"SMB2APP\0", b"SmbRpc\0"),
    (b"SMB2AESCCM\0", b"ServerOut\0"),
    (b"SMB2AESCCM\0", b"ServerIn \0"),
)
_SMB311_LABELS: Final = (
    b"SMBSigningKey\0",
    b"SMBAppKey\0",
    b"SMBS2CCipherKey\0",
    b"SMBC2SCipherKey\0",
)
_LONG_KEYS: Final = frozenset({Cipher.AES_256_CCM, Cipher.AES_256_GCM})


def session_keys(
    session_key: bytes, dialect: int, cipher: int | None, preauth_hash: bytes
) -> SessionKeys:
    """Derive what the dialect asks for from the key that the authentication agreed on."""
    key = session_key[:16].ljust(16, b"\0")
    if dialect < Dialect.SMB_3_0:
        return SessionKeys(key, key)
    if dialect == Dialect.SMB_3_1_1:
        pairs = tuple((label, preauth_hash) for label in _SMB311_LABELS)
    else:
        pairs = _SMB30
    cipher_bits = 256 if cipher in _LONG_KEYS else 128
    # 3.3.5.5.3: 256-bit ciphers derive from FullSessionKey, which for NTLM is the same 16 bytes.
    signing, application, encryption, decryption = (
        derive(key, label, context, bits)
        for (label, context), bits in zip(pairs, (128, 128, cipher_bits, cipher_bits), strict=True)
    )
    return SessionKeys(signing, application, encryption, decryption)
