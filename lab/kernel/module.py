"""What a kernel module file says of itself. Pure: bytes in, a description out.

A module is a relocatable ELF file; `.modinfo` holds `key=value` strings, and the linker's build id
is in a note. The build id is the module's identity: it differs with any change of the code, and the
kernel shows it for the module that is loaded (`/sys/module/NAME/notes/.note.gnu.build-id`).
srcversion would do as well, but distributions build without it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.errors import UsageError

_ELF64_LITTLE = b"\x7fELF\x02\x01"
_RELOCATABLE = 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NOBITS = 8
_GNU_BUILD_ID = 3


@dataclass(frozen=True)
class Module:
    """A module file. `identity` is what the running kernel is asked for to prove it."""

    name: str
    vermagic: str
    build_id: str
    srcversion: str = ""
    depends: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def release(self) -> str:
        """The kernel release that it was built for."""
        return self.vermagic.split(" ", 1)[0]

    @property
    def identity(self) -> str:
        return self.build_id or self.srcversion


def read_module(data: bytes, what: str = "the file") -> Module:
    """Raises `UsageError` for what is no kernel module of a 64-bit little-endian machine."""
    try:
        sections = _sections(data)
    except (struct.error, ValueError, UnicodeDecodeError, IndexError) as error:
        raise UsageError(
            f"{what} is no kernel module: {error}", "give a ksmbd.ko as `make modules` leaves it"
        ) from None
    if ".modinfo" not in sections:
        raise UsageError(
            f"{what} is no kernel module: it has no .modinfo", "give a ksmbd.ko, not an object file"
        )
    fields: dict[str, list[str]] = {}
    for entry in sections[".modinfo"].split(b"\0"):
        key, equals, value = entry.decode(errors="replace").partition("=")
        if equals:
            fields.setdefault(key, []).append(value)

    def one(key: str) -> str:
        return fields.get(key, [""])[0]

    return Module(
        name=one("name").replace("-", "_"),
        vermagic=one("vermagic").strip(),
        build_id=_build_id(sections.get(".note.gnu.build-id", b"")),
        srcversion=one("srcversion"),
        depends=tuple(name for name in one("depends").split(",") if name),
        fields={key: tuple(values) for key, values in fields.items()},
    )


def _sections(data: bytes) -> dict[str, bytes]:
    if not data.startswith(_ELF64_LITTLE):
        raise ValueError("it is no 64-bit ELF file")
    header = _HEADER.unpack_from(data)
    kind, table, size, count, names_at = header[1], header[6], header[11], header[12], header[13]
    if kind != _RELOCATABLE:
        raise ValueError("it is an ELF file, but no relocatable one")
    headers = [_SECTION.unpack_from(data, table + number * size) for number in range(count)]

    def content(entry: tuple[int, ...]) -> bytes:
        kind, offset, length = entry[1], entry[4], entry[5]
        if kind == _NOBITS:
            return b""
        if offset + length > len(data):
            raise ValueError("it ends early")
        return data[offset : offset + length]

    names = content(headers[names_at])
    return {_text(names, entry[0]): content(entry) for entry in headers}


def _text(names: bytes, at: int) -> str:
    return names[at : names.index(b"\0", at)].decode()


def _build_id(note: bytes) -> str:
    if len(note) < 12:
        return ""
    name_size, size, kind = struct.unpack_from("<III", note)
    start = 12 + -(-name_size // 4) * 4
    return note[start : start + size].hex() if kind == _GNU_BUILD_ID else ""
