"""CLOSE, FLUSH, READ, WRITE, LOCK (2.2.15 to 2.2.27)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from notify_server.wire.codec import HEADER_SIZE, WireError, buffer_at, unpack_body

_CLOSE_REQUEST: Final = Struct("<HHI16s")
_CLOSE_RESPONSE: Final = Struct("<HHIQQQQQQI")
_FLUSH_REQUEST: Final = Struct("<HHI16s")
_READ_REQUEST: Final = Struct("<HBBIQ16sIIIHH")
_READ_RESPONSE: Final = Struct("<HBBIII")
_WRITE_REQUEST: Final = Struct("<HHIQ16sIIHHI")
_WRITE_RESPONSE: Final = Struct("<HHIIHH")
_LOCK_REQUEST: Final = Struct("<HHI16s")
_LOCK_ELEMENT: Final = Struct("<QQII")
_MAX_LOCKS: Final = 64


@dataclass(slots=True)
class CloseRequest:
    """SMB2 CLOSE Request (2.2.15)."""

    flags: int
    file_id: bytes

    @classmethod
    def parse(cls, message: bytes) -> CloseRequest:
        """Parse; raises WireError."""
        flags, _reserved, file_id = unpack_body(_CLOSE_REQUEST, message, 24)
        return cls(flags, file_id)


def pack_close_response(
    flags: int = 0,
    times: tuple[int, int, int, int] = (0, 0, 0, 0),
    allocation_size: int = 0,
    end_of_file: int = 0,
    file_attributes: int = 0,
) -> bytes:
    """SMB2 CLOSE Response (2.2.16); times are CreationTime, LastAccess, LastWrite, Change."""
    return _CLOSE_RESPONSE.pack(60, flags, 0, *times, allocation_size, end_of_file, file_attributes)


@dataclass(slots=True)
class FlushRequest:
    """SMB2 FLUSH Request (2.2.17)."""

    file_id: bytes

    @classmethod
    def parse(cls, message: bytes) -> FlushRequest:
        """Parse; raises WireError."""
        _reserved, _reserved2, file_id = unpack_body(_FLUSH_REQUEST, message, 24)
        return cls(file_id)


@dataclass(slots=True)
class ReadRequest:
    """SMB2 READ Request (2.2.19); the channel fields, meant for RDMA, are ignored."""

    flags: int
    length: int
    offset: int
    file_id: bytes
    minimum_count: int

    @classmethod
    def parse(cls, message: bytes) -> ReadRequest:
        """Parse; raises WireError."""
        _padding, flags, length, offset, file_id, minimum, _channel, _left, _at, _size = (
            unpack_body(_READ_REQUEST, message, 49)
        )
        return cls(flags, length, offset, file_id, minimum)


def pack_read_response(data: bytes) -> bytes:
    """SMB2 READ Response (2.2.20)."""
    offset = HEADER_SIZE + _READ_RESPONSE.size
    return _READ_RESPONSE.pack(17, offset, 0, len(data), 0, 0) + (data or b"\0")


@dataclass(slots=True)
class WriteRequest:
    """SMB2 WRITE Request (2.2.21)."""

    offset: int
    file_id: bytes
    flags: int
    data: bytes

    @classmethod
    def parse(cls, message: bytes) -> WriteRequest:
        """Parse; raises WireError."""
        at, length, offset, file_id, _channel, _left, _channel_at, _channel_size, flags = (
            unpack_body(_WRITE_REQUEST, message, 49)
        )
        data = buffer_at(message, at, length, HEADER_SIZE + _WRITE_REQUEST.size)
        return cls(offset, file_id, flags, data)


def pack_write_response(count: int) -> bytes:
    """SMB2 WRITE Response (2.2.22); the trailing byte that StructureSize 17 counts is sent."""
    return _WRITE_RESPONSE.pack(17, 0, count, 0, 0, 0) + b"\0"


@dataclass(slots=True)
class LockElement:
    """SMB2_LOCK_ELEMENT (2.2.26.1)."""

    offset: int
    length: int
    flags: int


@dataclass(slots=True)
class LockRequest:
    """SMB2 LOCK Request (2.2.26)."""

    lock_sequence: int
    file_id: bytes
    locks: list[LockElement]

    @classmethod
    def parse(cls, message: bytes) -> LockRequest:
        """Parse; raises WireError."""
        count, sequence, file_id = unpack_body(_LOCK_REQUEST, message, 48)
        start = HEADER_SIZE + _LOCK_REQUEST.size
        if not 0 < count <= _MAX_LOCKS:
            raise WireError(f"{count} lock elements")
        data = buffer_at(message, start, count * _LOCK_ELEMENT.size, start)
        locks = [LockElement(*e[:3]) for e in _LOCK_ELEMENT.iter_unpack(data)]
        return cls(sequence, file_id, locks)
