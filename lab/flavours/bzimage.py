"""What a bzImage says of itself. Pure; the format is Documentation/arch/x86/boot.rst."""

from __future__ import annotations

import struct

_MAGIC_AT, _VERSION_AT = 0x202, 0x20E
_LONGEST = 256


def release_of(image: bytes) -> str:
    """Return the kernel release of a bzImage; raise ValueError for what is none."""
    if image[_MAGIC_AT : _MAGIC_AT + 4] != b"HdrS":
        raise ValueError("it has no setup header (HdrS); a bzImage is arch/x86/boot/bzImage")
    (offset,) = struct.unpack_from("<H", image, _VERSION_AT)
    start = offset + 0x200
    text = image[start : start + _LONGEST].split(b"\0", 1)[0].decode(errors="replace")
    if not text:
        raise ValueError("its setup header names no version")
    return text.split(" ", 1)[0]
