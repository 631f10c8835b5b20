"""QUERY_DIRECTORY, QUERY_INFO, SET_INFO, IOCTL (2.2.31 to 2.2.40)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from notify_server.wire.codec import HEADER_SIZE, WireError, buffer_at, unpack_body, utf16

_DIRECTORY_REQUEST: Final = Struct("<HBBI16sHHI")
_INFO_REQUEST: Final = Struct("<HBBIHHIII16s")
_SET_REQUEST: Final = Struct("<HBBIHHI16s")
_BUFFER_RESPONSE: Final = Struct("<HHI")
_IOCTL_REQUEST: Final = Struct("<HHI16sIIIIIIII")
_IOCTL_RESPONSE: Final = Struct("<HHI16sIIIIII")
_VALIDATE: Final = Struct("<I16sHH")
_VALIDATE_RESPONSE: Final = Struct("<I16sHH")


@dataclass(slots=True)
class QueryDirectoryRequest:
    """SMB2 QUERY_DIRECTORY Request (2.2.33)."""

    information_class: int
    flags: int
    file_index: int
    file_id: bytes
    output_buffer_length: int
    pattern: str

    @classmethod
    def parse(cls, message: bytes) -> QueryDirectoryRequest:
        """Parse; raises WireError."""
        info_class, flags, index, file_id, offset, length, room = unpack_body(
            _DIRECTORY_REQUEST, message, 33
        )
        name = buffer_at(message, offset, length, HEADER_SIZE + _DIRECTORY_REQUEST.size)
        return cls(info_class, flags, index, file_id, room, utf16(name))


@dataclass(slots=True)
class QueryInfoRequest:
    """SMB2 QUERY_INFO Request (2.2.37)."""

    info_type: int
    information_class: int
    output_buffer_length: int
    additional_information: int
    flags: int
    file_id: bytes
    input_buffer: bytes

    @classmethod
    def parse(cls, message: bytes) -> QueryInfoRequest:
        """Parse; raises WireError."""
        kind, info_class, room, offset, _reserved, length, additional, flags, file_id = unpack_body(
            _INFO_REQUEST, message, 41
        )
        data = buffer_at(message, offset, length, HEADER_SIZE + _INFO_REQUEST.size)
        return cls(kind, info_class, room, additional, flags, file_id, data)


@dataclass(slots=True)
class SetInfoRequest:
    """SMB2 SET_INFO Request (2.2.39)."""

    info_type: int
    information_class: int
    additional_information: int
    file_id: bytes
    buffer: bytes

    @classmethod
    def parse(cls, message: bytes) -> SetInfoRequest:
        """Parse; raises WireError."""
        kind, info_class, length, offset, _reserved, additional, file_id = unpack_body(
            _SET_REQUEST, message, 33
        )
        data = buffer_at(message, offset, length, HEADER_SIZE + _SET_REQUEST.size)
        return cls(kind, info_class, additional, file_id, data)


SET_INFO_RESPONSE: Final = b"\x02\x00"


def pack_buffer_response(data: bytes) -> bytes:
    """QUERY_DIRECTORY and QUERY_INFO Responses (2.2.34, 2.2.38), which look alike."""
    offset = HEADER_SIZE + _BUFFER_RESPONSE.size
    return _BUFFER_RESPONSE.pack(9, offset, len(data)) + (data or b"\0")


@dataclass(slots=True)
class IoctlRequest:
    """SMB2 IOCTL Request (2.2.31)."""

    ctl_code: int
    file_id: bytes
    max_input_response: int
    max_output_response: int
    flags: int
    input_buffer: bytes

    @classmethod
    def parse(cls, message: bytes) -> IoctlRequest:
        """Parse; raises WireError."""
        (
            _reserved,
            code,
            file_id,
            input_at,
            input_count,
            max_input,
            _output_at,
            _output_count,
            max_output,
            flags,
            _reserved2,
        ) = unpack_body(_IOCTL_REQUEST, message, 57)
        data = buffer_at(message, input_at, input_count, HEADER_SIZE + _IOCTL_REQUEST.size)
        return cls(code, file_id, max_input, max_output, flags, data)


def pack_ioctl_response(ctl_code: int, file_id: bytes, output: bytes) -> bytes:
    """SMB2 IOCTL Response (2.2.32) with an output buffer and no input buffer."""
    offset = HEADER_SIZE + _IOCTL_RESPONSE.size
    return (
        _IOCTL_RESPONSE.pack(49, 0, ctl_code, file_id, offset, 0, offset, len(output), 0, 0)
        + output
    )


@dataclass(slots=True)
class ValidateNegotiateInfo:
    """VALIDATE_NEGOTIATE_INFO Request (2.2.31.4)."""

    capabilities: int
    guid: bytes
    security_mode: int
    dialects: tuple[int, ...]

    @classmethod
    def parse(cls, data: bytes) -> ValidateNegotiateInfo:
        """Parse; raises WireError."""
        if len(data) < _VALIDATE.size:
            raise WireError("short VALIDATE_NEGOTIATE_INFO")
        capabilities, guid, mode, count = _VALIDATE.unpack_from(data)
        rest = buffer_at(data, _VALIDATE.size, 2 * count, _VALIDATE.size)
        dialects = tuple(int.from_bytes(rest[i : i + 2], "little") for i in range(0, len(rest), 2))
        return cls(capabilities, guid, mode, dialects)


def pack_validate_negotiate_info(
    capabilities: int, guid: bytes, security_mode: int, dialect: int
) -> bytes:
    """VALIDATE_NEGOTIATE_INFO Response (2.2.32.6)."""
    return _VALIDATE_RESPONSE.pack(capabilities, guid, security_mode, dialect)
