"""The build id of a program or library: the linker's hash of what it put into the file."""

from __future__ import annotations

import struct

_PT_NOTE = 4
_NT_GNU_BUILD_ID = 3


def build_id(data: bytes) -> str:
    """Return the GNU build id in hex, "" if there is none (64-bit little-endian ELF)."""
    if data[:6] != b"\x7fELF\x02\x01":
        return ""
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, table + number * size)
        if kind == _PT_NOTE:
            found = _in_notes(data[offset : offset + length])
            if found:
                return found
    return ""


def _in_notes(notes: bytes) -> str:
    place = 0
    while place + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, place)
        content = place + 12 + (name_size + 3 & ~3)
        if kind == _NT_GNU_BUILD_ID and notes[place + 12 : place + 16] == b"GNU\0":
            return notes[content : content + size].hex()
        place = content + (size + 3 & ~3)
    return ""
