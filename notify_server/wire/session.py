"""SESSION_SETUP, LOGOFF, TREE_CONNECT, TREE_DISCONNECT (2.2.5 to 2.2.12)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from notify_server.wire.codec import HEADER_SIZE, buffer_at, unpack_body, utf16

_SETUP_REQUEST: Final = Struct("<HBBIIHHQ")
_SETUP_RESPONSE: Final = Struct("<HHHH")
_CONNECT_REQUEST: Final = Struct("<HHHH")
_CONNECT_RESPONSE: Final = Struct("<HBBIII")
_EMPTY: Final = Struct("<HH")


@dataclass(slots=True)
class SessionSetupRequest:
    """SMB2 SESSION_SETUP Request (2.2.5)."""

    flags: int
    security_mode: int
    capabilities: int
    previous_session_id: int
    security_buffer: bytes

    @classmethod
    def parse(cls, message: bytes) -> SessionSetupRequest:
        """Parse; raises WireError."""
        flags, mode, capabilities, _channel, offset, length, previous = unpack_body(
            _SETUP_REQUEST, message, 25
        )
        token = buffer_at(message, offset, length, HEADER_SIZE + _SETUP_REQUEST.size)
        return cls(flags, mode, capabilities, previous, token)


def pack_session_setup_response(session_flags: int, token: bytes) -> bytes:
    """SMB2 SESSION_SETUP Response (2.2.6)."""
    offset = HEADER_SIZE + _SETUP_RESPONSE.size
    return _SETUP_RESPONSE.pack(9, session_flags, offset, len(token)) + (token or b"\0")


@dataclass(slots=True)
class TreeConnectRequest:
    r"""SMB2 TREE_CONNECT Request (2.2.9); `path` is ``\\server\share``."""

    flags: int
    path: str

    @classmethod
    def parse(cls, message: bytes) -> TreeConnectRequest:
        """Parse; raises WireError."""
        flags, offset, length = unpack_body(_CONNECT_REQUEST, message, 9)
        start = HEADER_SIZE + _CONNECT_REQUEST.size
        return cls(flags, utf16(buffer_at(message, offset, length, start)))


def pack_tree_connect_response(
    share_type: int, share_flags: int, capabilities: int, maximal_access: int
) -> bytes:
    """SMB2 TREE_CONNECT Response (2.2.10)."""
    return _CONNECT_RESPONSE.pack(16, share_type, 0, share_flags, capabilities, maximal_access)


def check_empty(message: bytes) -> None:
    """LOGOFF, TREE_DISCONNECT, ECHO and CANCEL have a body of four bytes (2.2.7, 2.2.11, …)."""
    unpack_body(_EMPTY, message, 4)


EMPTY_RESPONSE: Final = _EMPTY.pack(4, 0)
