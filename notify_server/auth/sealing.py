"""Sealing of messages: AES-128/256 in CCM or GCM under a TRANSFORM_HEADER (3.1.4.3, 3.1.5.1)."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from notify_server.wire.constants import Cipher
from notify_server.wire.transform import Transform, pack_transform, transform_aad

_TAG_SIZE: Final = 16
_CCM_NONCE: Final = 11
_GCM_NONCE: Final = 12

# In the order of preference: GCM before CCM, 128 bits before 256, as Windows does.
SUPPORTED: Final = (
    Cipher.AES_128_GCM,
    Cipher.AES_128_CCM,
    Cipher.AES_256_GCM,
    Cipher.AES_256_CCM,
)
_GCM: Final = frozenset({Cipher.AES_128_GCM, Cipher.AES_256_GCM})


class SealError(Exception):
    """A sealed message that does not open: wrong key, or changed on the way."""


class Sealer:
    """Both directions of one session. The nonce is a counter: unique for as long as the key is."""

    __slots__ = ("_counter", "_nonce_size", "_opener", "_sealer")

    def __init__(self, cipher: int, encryption_key: bytes, decryption_key: bytes) -> None:
        kind: type[AESGCM] | type[AESCCM] = AESGCM if cipher in _GCM else AESCCM
        self._nonce_size = _GCM_NONCE if cipher in _GCM else _CCM_NONCE
        self._sealer = kind(encryption_key)
        self._opener = kind(decryption_key)
        self._counter = 0

    def seal(self, payload: bytes, session_id: int) -> bytes:
        """The sealed frame for one message or compound."""
        self._counter += 1
        nonce = self._counter.to_bytes(self._nonce_size, "little")
        aad = transform_aad(nonce, len(payload), session_id)
        sealed = self._sealer.encrypt(nonce, payload, aad)
        return pack_transform(sealed[-_TAG_SIZE:], aad, sealed[:-_TAG_SIZE])

    def open(self, transform: Transform) -> bytes:
        """The payload; raises SealError."""
        try:
            return self._opener.decrypt(
                transform.nonce[: self._nonce_size],
                transform.ciphertext + transform.signature,
                transform.aad,
            )
        except InvalidTag:
            raise SealError("sealed message does not open") from None
