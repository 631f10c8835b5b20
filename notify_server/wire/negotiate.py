"""SMB2 NEGOTIATE and its contexts (2.2.3, 2.2.4); the SMB1 request before it (3.3.5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from notify_server.wire.codec import HEADER_SIZE, WireError, buffer_at, pad8, unpack_body
from notify_server.wire.constants import SMB1_PROTOCOL_ID, Dialect, NegotiateContextType

_REQUEST: Final = Struct("<HHHHI16sIHH")
_RESPONSE: Final = Struct("<HHHH16sIIIIQQHHI")
_CONTEXT: Final = Struct("<HHI")
_SMB1_NEGOTIATE: Final = 0x72
_MAX_CONTEXTS: Final = 32


@dataclass(slots=True)
class NegotiateContext:
    """SMB2 NEGOTIATE_CONTEXT (2.2.3.1)."""

    context_type: int
    data: bytes


@dataclass(slots=True)
class NegotiateRequest:
    """SMB2 NEGOTIATE Request (2.2.3)."""

    security_mode: int
    capabilities: int
    client_guid: bytes
    dialects: tuple[int, ...]
    contexts: list[NegotiateContext] = field(default_factory=list)

    @classmethod
    def parse(cls, message: bytes) -> NegotiateRequest:
        """Parse; the contexts are read only if dialect 3.1.1 is offered. Raises WireError."""
        count, mode, _reserved, capabilities, guid, ctx_at, ctx_count, _reserved2 = unpack_body(
            _REQUEST, message, 36
        )
        start = HEADER_SIZE + _REQUEST.size
        if count == 0:
            raise WireError("NEGOTIATE without dialects")
        data = buffer_at(message, start, 2 * count, start)
        dialects = tuple(int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2))
        contexts = (
            _parse_contexts(message, ctx_at, ctx_count) if Dialect.SMB_3_1_1 in dialects else []
        )
        return cls(mode, capabilities, guid, dialects, contexts)


def _parse_contexts(message: bytes, position: int, count: int) -> list[NegotiateContext]:
    if count > _MAX_CONTEXTS:
        raise WireError(f"{count} negotiate contexts")
    contexts = []
    for _ in range(count):
        position += -position % 8
        if position < HEADER_SIZE or position + _CONTEXT.size > len(message):
            raise WireError("negotiate context outside the message")
        kind, length, _reserved = _CONTEXT.unpack_from(message, position)
        position += _CONTEXT.size
        contexts.append(NegotiateContext(kind, buffer_at(message, position, length, position)))
        position += length
    return contexts


@dataclass(slots=True)
class NegotiateResponse:
    """SMB2 NEGOTIATE Response (2.2.4); times are FILETIME."""

    security_mode: int
    dialect: int
    server_guid: bytes
    capabilities: int
    max_transact_size: int
    max_read_size: int
    max_write_size: int
    system_time: int
    security_buffer: bytes
    contexts: Sequence[NegotiateContext] = ()

    def pack(self) -> bytes:
        """Pack the body; contexts begin at the first multiple of eight after the token."""
        token_at = HEADER_SIZE + _RESPONSE.size
        token = self.security_buffer
        tail = b""
        contexts_at = 0
        if self.contexts:
            token = pad8(token)
            contexts_at = token_at + len(token)
            tail = b"".join(pad8(_pack_context(c)) for c in self.contexts[:-1])
            tail += _pack_context(self.contexts[-1])
        fixed = _RESPONSE.pack(
            65,
            self.security_mode,
            self.dialect,
            len(self.contexts),
            self.server_guid,
            self.capabilities,
            self.max_transact_size,
            self.max_read_size,
            self.max_write_size,
            self.system_time,
            0,
            token_at,
            len(self.security_buffer),
            contexts_at,
        )
        return fixed + token + tail


def _pack_context(context: NegotiateContext) -> bytes:
    return _CONTEXT.pack(context.context_type, len(context.data), 0) + context.data


# --- contents of the contexts ---------------------------------------------------------------


def _u16_list(data: bytes, position: int, count: int) -> tuple[int, ...]:
    end = position + 2 * count
    if end > len(data):
        raise WireError("negotiate context shorter than its count")
    return tuple(int.from_bytes(data[i : i + 2], "little") for i in range(position, end, 2))


def parse_preauth_capabilities(data: bytes) -> tuple[int, ...]:
    """HashAlgorithms of SMB2_PREAUTH_INTEGRITY_CAPABILITIES (2.2.3.1.1); the salt is unused."""
    if len(data) < 4:
        raise WireError("short pre-authentication context")
    count, _salt_length = int.from_bytes(data[:2], "little"), data[2:4]
    if count == 0:
        raise WireError("pre-authentication context without algorithms")
    return _u16_list(data, 4, count)


def parse_algorithms(data: bytes) -> tuple[int, ...]:
    """Ciphers (2.2.3.1.2) or SigningAlgorithms (2.2.3.1.7): both are a count and a list."""
    if len(data) < 2:
        raise WireError("short algorithm context")
    count = int.from_bytes(data[:2], "little")
    if count == 0:
        raise WireError("algorithm context without algorithms")
    return _u16_list(data, 2, count)


def preauth_context(algorithm: int, salt: bytes) -> NegotiateContext:
    """The server's choice of hash, with its salt."""
    data = Struct("<HHH").pack(1, len(salt), algorithm) + salt
    return NegotiateContext(NegotiateContextType.SMB2_PREAUTH_INTEGRITY_CAPABILITIES, data)


def cipher_context(cipher: int) -> NegotiateContext:
    """The server's choice of cipher; 0 says that there is none in common."""
    data = Struct("<HH").pack(1, cipher)
    return NegotiateContext(NegotiateContextType.SMB2_ENCRYPTION_CAPABILITIES, data)


def signing_context(algorithm: int) -> NegotiateContext:
    """The server's choice of signing algorithm."""
    data = Struct("<HH").pack(1, algorithm)
    return NegotiateContext(NegotiateContextType.SMB2_SIGNING_CAPABILITIES, data)


def parse_smb1_negotiate(payload: bytes) -> tuple[str, ...]:
    """Dialect strings of an SMB1 SMB_COM_NEGOTIATE ([MS-CIFS] 2.2.4.52.1). Raises WireError."""
    if len(payload) < 35 or payload[:4] != SMB1_PROTOCOL_ID or payload[4] != _SMB1_NEGOTIATE:
        raise WireError("not an SMB1 NEGOTIATE")
    words = payload[32]
    count_at = 33 + 2 * words
    length = int.from_bytes(payload[count_at : count_at + 2], "little")
    data = buffer_at(payload, count_at + 2, length, 33)
    if not data.endswith(b"\0"):
        raise WireError("unterminated SMB1 dialect")
    entries = data[:-1].split(b"\0")
    if not all(entry.startswith(b"\x02") for entry in entries):
        raise WireError("SMB1 dialect without its buffer format")
    return tuple(entry[1:].decode("ascii", "replace") for entry in entries)
