"""OPLOCK_BREAK: notification, acknowledgment, response (2.2.23.1, 2.2.24.1, 2.2.25.1)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from notify_server.wire.codec import unpack_body

_BREAK: Final = Struct("<HBBI16s")


@dataclass(slots=True)
class OplockBreakAcknowledgment:
    """SMB2 OPLOCK_BREAK Acknowledgment (2.2.24.1)."""

    oplock_level: int
    file_id: bytes

    @classmethod
    def parse(cls, message: bytes) -> OplockBreakAcknowledgment:
        """Parse; raises WireError, also for the longer acknowledgment of a lease."""
        level, _reserved, _reserved2, file_id = unpack_body(_BREAK, message, 24)
        return cls(level, file_id)


def pack_oplock_break(oplock_level: int, file_id: bytes) -> bytes:
    """Notification and response look alike."""
    return _BREAK.pack(24, oplock_level, 0, 0, file_id)
