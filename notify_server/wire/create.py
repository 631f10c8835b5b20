"""SMB2 CREATE and its contexts (2.2.13, 2.2.14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from notify_server.wire.codec import HEADER_SIZE, WireError, buffer_at, pad8, unpack_body, utf16

_REQUEST: Final = Struct("<HBBIQQIIIIIHHII")
_RESPONSE: Final = Struct("<HBBIQQQQQQII16sII")
_CONTEXT: Final = Struct("<IHHHHI")
_MAX_CONTEXTS: Final = 32
_SHORTEST_NAME: Final = 4

# Names of create contexts (2.2.13.2).
SMB2_CREATE_EA_BUFFER: Final = b"ExtA"
SMB2_CREATE_SD_BUFFER: Final = b"SecD"
SMB2_CREATE_DURABLE_HANDLE_REQUEST: Final = b"DHnQ"
SMB2_CREATE_DURABLE_HANDLE_RECONNECT: Final = b"DHnC"
SMB2_CREATE_ALLOCATION_SIZE: Final = b"AlSi"
SMB2_CREATE_QUERY_MAXIMAL_ACCESS_REQUEST: Final = b"MxAc"
SMB2_CREATE_TIMEWARP_TOKEN: Final = b"TWrp"
SMB2_CREATE_QUERY_ON_DISK_ID: Final = b"QFid"
SMB2_CREATE_REQUEST_LEASE: Final = b"RqLs"
SMB2_CREATE_DURABLE_HANDLE_REQUEST_V2: Final = b"DH2Q"
SMB2_CREATE_DURABLE_HANDLE_RECONNECT_V2: Final = b"DH2C"


@dataclass(slots=True)
class CreateRequest:
    """SMB2 CREATE Request (2.2.13); `contexts` maps a context's name to its data."""

    requested_oplock_level: int
    impersonation_level: int
    desired_access: int
    file_attributes: int
    share_access: int
    create_disposition: int
    create_options: int
    name: str
    contexts: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def parse(cls, message: bytes) -> CreateRequest:
        """Parse; raises WireError."""
        (
            _security_flags,
            oplock,
            impersonation,
            _create_flags,
            _reserved,
            access,
            attributes,
            share,
            disposition,
            options,
            name_at,
            name_length,
            contexts_at,
            contexts_length,
        ) = unpack_body(_REQUEST, message, 57)
        start = HEADER_SIZE + _REQUEST.size
        name = utf16(buffer_at(message, name_at, name_length, start))
        contexts = {}
        if contexts_length:
            contexts = _parse_contexts(buffer_at(message, contexts_at, contexts_length, start))
        return cls(
            oplock,
            impersonation,
            access,
            attributes,
            share,
            disposition,
            options,
            name,
            contexts,
        )


def _parse_contexts(data: bytes) -> dict[bytes, bytes]:
    """Walk SMB2_CREATE_CONTEXT (2.2.13.2); offsets count from each context's start."""
    contexts: dict[bytes, bytes] = {}
    for _ in range(_MAX_CONTEXTS):
        if len(data) < _CONTEXT.size:
            raise WireError("short create context")
        following, name_at, name_length, _reserved, value_at, value_length = _CONTEXT.unpack_from(
            data
        )
        if following and (following % 8 or following < _CONTEXT.size or following > len(data)):
            raise WireError(f"create context's Next {following}")
        own = data[:following] if following else data
        if name_length < _SHORTEST_NAME:
            raise WireError(f"create context's name of {name_length} bytes")
        name = buffer_at(own, name_at, name_length, _CONTEXT.size)
        contexts[name] = buffer_at(own, value_at, value_length, _CONTEXT.size)
        if not following:
            return contexts
        data = data[following:]
    raise WireError("too many create contexts")


@dataclass(slots=True)
class CreateResponse:
    """SMB2 CREATE Response (2.2.14); times are CreationTime, LastAccess, LastWrite, Change."""

    oplock_level: int
    create_action: int
    times: tuple[int, int, int, int]
    allocation_size: int
    end_of_file: int
    file_attributes: int
    file_id: bytes
    contexts: Sequence[tuple[bytes, bytes]] = ()

    def pack(self) -> bytes:
        """Pack the body."""
        tail = _pack_contexts(self.contexts)
        return (
            _RESPONSE.pack(
                89,
                self.oplock_level,
                0,
                self.create_action,
                *self.times,
                self.allocation_size,
                self.end_of_file,
                self.file_attributes,
                0,
                self.file_id,
                HEADER_SIZE + _RESPONSE.size if tail else 0,
                len(tail),
            )
            + tail
        )


def _pack_contexts(contexts: Sequence[tuple[bytes, bytes]]) -> bytes:
    packed = []
    for index, (name, value) in enumerate(contexts):
        padded_name = pad8(name)
        value_at = _CONTEXT.size + len(padded_name) if value else 0
        size = _CONTEXT.size + len(padded_name) + len(value)
        last = index == len(contexts) - 1
        following = 0 if last else size + -size % 8
        body = (
            _CONTEXT.pack(following, _CONTEXT.size, len(name), 0, value_at, len(value))
            + padded_name
            + value
        )
        packed.append(body if last else pad8(body))
    return b"".join(packed)
