"""The running kernel's symbols as a file that gdb reads. Pure: text in, an ELF file out.

Debian's kernel image comes without symbols, and its debug package is a gigabyte; but the kernel
knows its own functions (/proc/kallsyms). This makes of them an ELF file with nothing but a symbol
table: enough for breakpoints by name and for names in a backtrace. Modules' symbols are left out;
the one that matters has its own file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_EXECUTABLE, _X86_64 = 2, 62
_SYMTAB, _STRTAB, _NOBITS = 2, 3, 8
_ALLOC_EXEC = 0x6
_GLOBAL_FUNCTION, _LOCAL_FUNCTION = 0x12, 0x02
_LINE = re.compile(r"^([0-9a-f]{16}) ([tTwW]) (\S+)$")


@dataclass(frozen=True)
class Symbol:
    """A function of the kernel."""

    address: int
    name: str
    exported: bool


def functions(kallsyms: str) -> list[Symbol]:
    """The kernel's own functions in /proc/kallsyms; a line of a module ends with its [name]."""
    found = (_LINE.match(line) for line in kallsyms.splitlines())
    return [
        Symbol(int(match[1], 16), match[3], match[2].isupper())
        for match in found
        if match and int(match[1], 16)
    ]


def elf(symbols: Iterable[Symbol]) -> bytes:
    """An ELF file with these functions in a `.text` that has no content."""
    ordered = sorted(symbols, key=lambda symbol: symbol.address)
    start = ordered[0].address if ordered else 0
    end = ordered[-1].address + 1 if ordered else 0
    names = bytearray(b"\0")
    table = bytearray(_SYMBOL.pack(0, 0, 0, 0, 0, 0))
    # local ones come first in a symbol table
    for symbol in sorted(ordered, key=lambda symbol: symbol.exported):
        kind = _GLOBAL_FUNCTION if symbol.exported else _LOCAL_FUNCTION
        table += _SYMBOL.pack(len(names), kind, 0, 1, symbol.address, 0)
        names += symbol.name.encode() + b"\0"
    first_global = 1 + sum(not symbol.exported for symbol in ordered)
    sections = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    at_table = _HEADER.size
    at_names = at_table + len(table)
    at_sections = at_names + len(names)
    at_headers = at_sections + len(sections)

    def named(name: bytes) -> int:
        return sections.index(b"\0" + name + b"\0") + 1

    headers = (
        _SECTION.pack(*[0] * 10)
        + _SECTION.pack(
            *(named(b".text"), _NOBITS, _ALLOC_EXEC, start, at_table, end - start, 0, 0, 16, 0)
        )
        + _SECTION.pack(
            *(named(b".symtab"), _SYMTAB, 0, 0, at_table, len(table)),
            *(3, first_global, 8, _SYMBOL.size),
        )
        + _SECTION.pack(named(b".strtab"), _STRTAB, 0, 0, at_names, len(names), 0, 0, 1, 0)
        + _SECTION.pack(named(b".shstrtab"), _STRTAB, 0, 0, at_sections, len(sections), 0, 0, 1, 0)
    )
    header = _HEADER.pack(
        b"\x7fELF\x02\x01\x01".ljust(16, b"\0"),
        *(_EXECUTABLE, _X86_64, 1, 0, 0, at_headers, 0, _HEADER.size, 0, 0, _SECTION.size, 5, 4),
    )
    return header + bytes(table) + bytes(names) + sections + headers


def sections_of(listing: str) -> dict[str, int]:
    """Where a module's sections lie, from lines `.text 0xffffffffc0001000`."""
    words = (line.split() for line in listing.splitlines())
    return {
        pair[0]: int(pair[1], 16) for pair in words if len(pair) == 2 and pair[1].startswith("0x")
    }


def add_symbol_file(path: str, sections: dict[str, int]) -> str:
    """gdb's command that loads a module's symbols at the addresses where it lies."""
    given = " ".join(
        f"-s {name} {address:#x}"
        for name, address in sections.items()
        if re.fullmatch(r"\.(text|data|bss|rodata)([._]\w+)*", name)
    )
    return f"add-symbol-file {path} {given}"
