"""SMB2 TRANSFORM_HEADER of sealed messages (2.2.41)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from notify_server.wire.codec import WireError
from notify_server.wire.constants import SMB2_TRANSFORM_PROTOCOL_ID

_HEADER: Final = Struct("<4s16s16sIHHQ")
TRANSFORM_SIZE: Final = _HEADER.size
_AAD_AT: Final = 20
_ENCRYPTED: Final = 0x0001


@dataclass(slots=True)
class Transform:
    """A sealed message: `aad` is the header from Nonce on, which the cipher authenticates."""

    signature: bytes
    nonce: bytes
    original_message_size: int
    session_id: int
    aad: bytes
    ciphertext: bytes

    @classmethod
    def parse(cls, payload: bytes) -> Transform:
        """Parse; raises WireError, also where OriginalMessageSize lies."""
        if len(payload) < TRANSFORM_SIZE:
            raise WireError("short TRANSFORM_HEADER")
        _protocol, signature, nonce, size, _reserved, flags, session_id = _HEADER.unpack_from(
            payload
        )
        ciphertext = payload[TRANSFORM_SIZE:]
        if flags != _ENCRYPTED or size != len(ciphertext):
            raise WireError("TRANSFORM_HEADER's flags or size")
        aad = payload[_AAD_AT:TRANSFORM_SIZE]
        return cls(signature, nonce, size, session_id, aad, ciphertext)


def pack_transform(signature: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    """Put a sealed message together."""
    return SMB2_TRANSFORM_PROTOCOL_ID + signature + aad + ciphertext


def transform_aad(nonce: bytes, size: int, session_id: int) -> bytes:
    """The authenticated part of the header for a message of `size` bytes; nonce unpadded."""
    packed = _HEADER.pack(SMB2_TRANSFORM_PROTOCOL_ID, b"", nonce, size, 0, _ENCRYPTED, session_id)
    return packed[_AAD_AT:]
