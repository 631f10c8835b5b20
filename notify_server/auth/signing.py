"""Message signatures: HMAC-SHA256, AES-CMAC, AES-GMAC (3.1.4.1)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

from notify_server.wire.constants import Command, SigningAlgorithm
from notify_server.wire.header import NO_SIGNATURE, SIGNATURE_AT

_AFTER: Final = SIGNATURE_AT + 16
_COMMAND_AT: Final = 12
_MESSAGE_ID: Final = slice(24, 32)
_FROM_SERVER: Final = 1
_FOR_CANCEL: Final = 2

# (key, message with a zero signature, sent by the server) -> 16 bytes
Signature = Callable[[bytes, bytes, bool], bytes]


def _hmac_sha256(key: bytes, message: bytes, _from_server: bool) -> bytes:
    return hmac.digest(key, message, "sha256")[:16]


def _aes_cmac(key: bytes, message: bytes, _from_server: bool) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def _aes_gmac(key: bytes, message: bytes, from_server: bool) -> bytes:
    """The nonce is MessageId, then two bits: sent by the server, and is it a CANCEL (3.1.4.1)."""
    role = _FROM_SERVER if from_server else 0
    if message[_COMMAND_AT] == Command.SMB2_CANCEL:
        role |= _FOR_CANCEL
    nonce = message[_MESSAGE_ID] + role.to_bytes(4, "little")
    return AESGCM(key).encrypt(nonce, b"", message)


_ALGORITHMS: Final[dict[int, Signature]] = {
    SigningAlgorithm.HMAC_SHA256: _hmac_sha256,
    SigningAlgorithm.AES_CMAC: _aes_cmac,
    SigningAlgorithm.AES_GMAC: _aes_gmac,
}
SUPPORTED: Final = tuple(_ALGORITHMS)


def sign(algorithm: int, key: bytes, message: bytes) -> bytes:
    """The server's message (its signature field zero, SMB2_FLAGS_SIGNED set) with its signature."""
    signature = _ALGORITHMS[algorithm](key, message, True)
    return message[:SIGNATURE_AT] + signature + message[_AFTER:]


def is_signed_by_client(algorithm: int, key: bytes, message: bytes) -> bool:
    """Is the signature of a client's message right? Compares in constant time."""
    zeroed = message[:SIGNATURE_AT] + NO_SIGNATURE + message[_AFTER:]
    expected = _ALGORITHMS[algorithm](key, zeroed, False)
    return hmac.compare_digest(expected, message[SIGNATURE_AT:_AFTER])
