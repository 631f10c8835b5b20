"""SMB2 CHANGE_NOTIFY (2.2.35, 2.2.36)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from notify_server.wire.codec import HEADER_SIZE, unpack_body

_REQUEST: Final = Struct("<HHI16sII")
_RESPONSE: Final = Struct("<HHI")
_BUFFER_AT: Final = HEADER_SIZE + _RESPONSE.size


@dataclass(slots=True)
class ChangeNotifyRequest:
    """SMB2 CHANGE_NOTIFY Request (2.2.35)."""

    flags: int
    output_buffer_length: int
    file_id: bytes
    completion_filter: int

    @classmethod
    def parse(cls, message: bytes) -> ChangeNotifyRequest:
        """Parse; raises WireError."""
        flags, length, file_id, completion_filter, _reserved = unpack_body(_REQUEST, message, 32)
        return cls(flags, length, file_id, completion_filter)


def pack_change_notify_response(records: bytes) -> bytes:
    """SMB2 CHANGE_NOTIFY Response (2.2.36): FILE_NOTIFY_INFORMATION records, or none.

    The offset is 72 also for an empty buffer, and one byte stands for it, as StructureSize 9 says.
    """
    return _RESPONSE.pack(9, _BUFFER_AT, len(records)) + (records or b"\0")
