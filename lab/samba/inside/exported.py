"""The functions that a shared library exports: all that is left of names in Debian's smbd."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.samba.inside.symbols import ALSO, LEFT_OUT, LIBRARY_OF_MEMBERS

_SHT_DYNSYM = 11
_STT_FUNC = 2
_SYMBOL = struct.Struct("<IBBHQQ")

# The one offset that no option of the build moves. Where a request's header lies differs.
OFFSETS = {"smb_request.mid": 8}


def exported(data: bytes) -> Iterator[tuple[int, str]]:
    """(address, name) of the functions that a 64-bit little-endian ELF file exports."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQII", data, table + n * size) for n in range(count)]
    for section in sections:
        _, kind, _, _, offset, length, link, _ = section
        if kind != _SHT_DYNSYM:
            continue
        names = sections[link][4]
        for place in range(offset, offset + length, _SYMBOL.size):
            name, info, _, where, value, _ = _SYMBOL.unpack_from(data, place)
            if info & 0xF == _STT_FUNC and where and value:
                begin = names + name
                yield value, data[begin : data.index(b"\0", begin)].decode()


def table(paths: list[str]) -> dict[str, Any]:
    """A table as `symbols` makes it, of the libraries at these paths: no lines, nothing static."""
    libraries = {}
    for path in paths:
        library = Path(path)
        whole = library.name.startswith(LIBRARY_OF_MEMBERS)
        if not whole and not library.name.startswith("libtevent.so"):
            continue
        functions = [
            [address, name, ""]
            for address, name in dict(exported(library.read_bytes())).items()
            if name in ALSO or (whole and not LEFT_OUT.fullmatch(name))
        ]
        libraries[path] = {"functions": functions}
    libraries["offsets"] = {"functions": [], "offsets": OFFSETS}  # type: ignore[dict-item]
    return {"libraries": libraries}
