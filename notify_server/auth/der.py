"""Just enough DER for SPNEGO tokens: definite lengths, one-byte tags, bounds checked."""

from __future__ import annotations

from typing import Final

SEQUENCE: Final = 0x30
OID: Final = 0x06
OCTET_STRING: Final = 0x04
ENUMERATED: Final = 0x0A
GENERAL_STRING: Final = 0x1B
_MAX_LENGTH_BYTES: Final = 3


class DerError(Exception):
    """Bytes that are not the DER that was expected."""


def context(number: int) -> int:
    """Tag of the constructed context-specific element [number]."""
    return 0xA0 | number


def encode(tag: int, *contents: bytes) -> bytes:
    """One element around the concatenated contents."""
    body = b"".join(contents)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def decode(data: bytes) -> tuple[int, bytes, bytes]:
    """Split the first element off: its tag, its contents, and the rest."""
    if len(data) < 2:
        raise DerError("element cut short")
    tag, size, start = data[0], data[1], 2
    if size & 0x80:
        count = size & 0x7F
        start += count
        if not 0 < count <= _MAX_LENGTH_BYTES or len(data) < start:
            raise DerError("length of the element")
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        raise DerError("element longer than its data")
    return tag, data[start : start + size], data[start + size :]


def expect(data: bytes, tag: int) -> bytes:
    """Contents of the first element, which must have `tag`."""
    found, contents, _rest = decode(data)
    if found != tag:
        raise DerError(f"tag {found:#x}, not {tag:#x}")
    return contents


def fields(data: bytes) -> dict[int, bytes]:
    """Elements of a constructed value by tag; a repeated tag is an error."""
    found: dict[int, bytes] = {}
    while data:
        tag, contents, data = decode(data)
        if tag in found:
            raise DerError(f"tag {tag:#x} twice")
        found[tag] = contents
    return found


def items(data: bytes, tag: int) -> list[bytes]:
    """Contents of the elements of a SEQUENCE OF, which must all have `tag`."""
    found = []
    while data:
        item_tag, contents, data = decode(data)
        if item_tag != tag:
            raise DerError(f"tag {item_tag:#x}, not {tag:#x}")
        found.append(contents)
    return found
