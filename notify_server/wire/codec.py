"""Bounds-checked reading of SMB2 messages and small helpers for writing them.

A *message* is one SMB2 header and its body, without the padding that follows it in a compound.
Offsets in SMB2 bodies count from the start of the header, so every parser gets the whole message.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

HEADER_SIZE: Final = 64


class WireError(Exception):
    """Bytes that are not what [MS-SMB2] describes; answered with STATUS_INVALID_PARAMETER."""


def unpack_body(layout: Struct, message: bytes, structure_size: int) -> tuple[Any, ...]:
    """Unpack the fixed part after the header; its first field must be `structure_size`.

    Returns the fields that follow StructureSize.
    """
    if len(message) < HEADER_SIZE + layout.size:
        raise WireError(f"body of {len(message) - HEADER_SIZE} bytes, {layout.size} needed")
    fields = layout.unpack_from(message, HEADER_SIZE)
    if fields[0] != structure_size:
        raise WireError(f"StructureSize {fields[0]}, not {structure_size}")
    return fields[1:]


def buffer_at(message: bytes, offset: int, length: int, earliest: int) -> bytes:
    """The variable part that an offset and a length of the fixed part describe; b"" if empty.

    `earliest` is the end of the fixed part, which no buffer may overlap.
    """
    if length == 0:
        return b""
    if offset < earliest or offset + length > len(message):
        raise WireError(f"buffer [{offset}, +{length}) outside a message of {len(message)}")
    return message[offset : offset + length]


def utf16(data: bytes) -> str:
    """Decode UTF-16LE; unpaired surrogates, which Windows allows in names, are kept."""
    if len(data) & 1:
        raise WireError("UTF-16 of odd length")
    return data.decode("utf-16-le", "surrogatepass")


def to_utf16(text: str) -> bytes:
    """Encode as UTF-16LE, keeping unpaired surrogates."""
    return text.encode("utf-16-le", "surrogatepass")


def pad8(data: bytes) -> bytes:
    """Zero-fill to the next multiple of eight."""
    return data + b"\0" * (-len(data) % 8)
