"""The SMB2 header, the frame around it, and the splitting of compounds (2.1, 2.2.1, 3.3.5.2.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from notify_server.wire.codec import HEADER_SIZE, WireError
from notify_server.wire.constants import SMB2_PROTOCOL_ID, HeaderFlags

_HEADER: Final = Struct("<4sHHIHHIIQQQ16s")
_NEXT_COMMAND: Final = Struct("<I")
_ASYNC: Final = int(HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND)
NO_SIGNATURE: Final = b"\0" * 16

# Byte positions inside a message that signing and compounding patch in place.
FLAGS_AT: Final = 16
NEXT_COMMAND_AT: Final = 20
SIGNATURE_AT: Final = 48


@dataclass(slots=True)
class Header:
    """An SMB2 header, sync or async form (2.2.1.1, 2.2.1.2).

    `status` is ChannelSequence and Reserved in a request of the 3.x dialects. `async_id` is valid
    with SMB2_FLAGS_ASYNC_COMMAND, `tree_id` without it.
    """

    command: int
    message_id: int
    credit_charge: int = 0
    status: int = 0
    credits: int = 0
    flags: int = 0
    next_command: int = 0
    tree_id: int = 0
    async_id: int = 0
    session_id: int = 0
    signature: bytes = NO_SIGNATURE


def parse_header(message: bytes) -> Header:
    """Parse the header of one message; its length is checked, its command is not."""
    if len(message) < HEADER_SIZE:
        raise WireError(f"message of {len(message)} bytes has no SMB2 header")
    protocol, size, charge, status, command, credits, flags, following, mid, ids, sid, sig = (
        _HEADER.unpack_from(message)
    )
    if protocol != SMB2_PROTOCOL_ID or size != HEADER_SIZE:
        raise WireError("not an SMB2 header")
    if flags & _ASYNC:
        tree_id, async_id = 0, ids
    else:
        tree_id, async_id = ids >> 32, 0
    return Header(
        command, mid, charge, status, credits, flags, following, tree_id, async_id, sid, sig
    )


def pack_header(
    command: int,
    message_id: int,
    status: int,
    flags: int,
    credits: int,
    session_id: int,
    tree_or_async_id: int,
    credit_charge: int = 0,
) -> bytes:
    """Pack a response header; `tree_or_async_id` is the AsyncId when `flags` has the ASYNC bit.

    NextCommand and Signature are left zero: `join_compound` and the signer fill them in.
    """
    ids = tree_or_async_id if flags & _ASYNC else tree_or_async_id << 32
    return _HEADER.pack(
        SMB2_PROTOCOL_ID,
        HEADER_SIZE,
        credit_charge,
        status,
        command,
        credits,
        flags,
        0,
        message_id,
        ids,
        session_id,
        NO_SIGNATURE,
    )


def split_compound(payload: bytes) -> Iterator[bytes]:
    """Yield the messages of a frame, each with its padding, as NextCommand chains them.

    Raises WireError where NextCommand is not a multiple of eight, points into its own header or
    leaves no room for another one. NextCommand only grows the position, so a chain cannot loop.
    """
    position = 0
    while True:
        rest = len(payload) - position
        if rest < HEADER_SIZE:
            raise WireError(f"{rest} bytes where an SMB2 header should be")
        (following,) = _NEXT_COMMAND.unpack_from(payload, position + NEXT_COMMAND_AT)
        if following == 0:
            yield payload[position:] if position else payload
            return
        if following % 8 or following < HEADER_SIZE or following + HEADER_SIZE > rest:
            raise WireError(f"NextCommand {following} in a rest of {rest} bytes")
        yield payload[position : position + following]
        position += following


def frame(payload: bytes) -> bytes:
    """Prefix a payload with the Direct TCP transport header (2.1): zero and a 3-byte length."""
    return len(payload).to_bytes(4, "big") + payload
