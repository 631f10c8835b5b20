"""Names: of the wire, of the disk, and the expressions that select them. Pure.

Some names that a Linux file may have cannot be spoken on the wire (`a:b`, `x?`). They are shown
with those characters moved to U+F001-U+F07F, as Apple's and Linux's SMB clients expect, and can
be opened so. A byte that is not UTF-8 travels as a lone surrogate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from notify_server.wire.status import NtStatus, StatusError

STREAM_TYPE = "$DATA"

_ILLEGAL = '"*/:<>?|\\'
# [MS-FSCC] 2.1.5: no control characters, none of these; `\` and `:` were taken out before.
_BAD_NAME = re.compile(r'[\x00-\x1f"*/<>?|]')
_BAD_STREAM = re.compile(r"[\x00/\\:]")

_TO_WIRE = {code: 0xF000 + code for code in range(1, 0x20)}
_TO_WIRE |= {
    ord(c): w
    for c, w in zip('"*:<>?\\|', range(0xF020, 0xF028), strict=True)  # Services for Macintosh
}
_TO_DISK = {wire: disk for disk, wire in _TO_WIRE.items()}
_NEEDS_WIRE = re.compile("[" + re.escape("".join(map(chr, _TO_WIRE))) + "]")
_NEEDS_DISK = re.compile("[" + re.escape("".join(map(chr, _TO_DISK))) + "]")


def to_wire(name: str) -> str:
    """A name, or a path with `/`, as clients see it."""
    return name.translate(_TO_WIRE) if _NEEDS_WIRE.search(name) else name


def to_disk(name: str) -> str:
    """The inverse of `to_wire` on one name."""
    return name.translate(_TO_DISK) if _NEEDS_DISK.search(name) else name


@dataclass(frozen=True, slots=True)
class ParsedName:
    """A path of CREATE: components as on disk, and the stream, `""` for the file itself."""

    components: tuple[str, ...]
    stream: str = ""
    says_data: bool = False
    """The type `$DATA` was given, which no directory has."""


def parse(path: str) -> ParsedName:
    """Check and split a path ([MS-FSCC] 2.1.5; [MS-FSA] 2.1.5.1 phase 1).

    `.` and `..` are resolved by name, as Windows' object manager does before the file system
    sees them; `..` above the share is OBJECT_PATH_SYNTAX_BAD.
    """
    if path.startswith("\\"):
        # [MS-SMB2] 3.3.5.9: the name must not begin with a separator.
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    whole = path
    path, stream = _split_stream(path)
    components: list[str] = []
    parts = path.split("\\") if path else []
    if parts and parts[-1] == "":
        parts.pop()
    for part in parts:
        if part in ("", "."):
            continue
        if part == "..":
            if not components:
                raise StatusError(NtStatus.STATUS_OBJECT_PATH_SYNTAX_BAD)
            components.pop()
            continue
        components.append(_checked(part))
    return ParsedName(tuple(components), stream, says_data=path != whole)


def _checked(part: str) -> str:
    if _BAD_NAME.search(part):
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
    name = to_disk(part)
    if len(_encoded(name)) > 255 or "/" in name or name in (".", ".."):
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
    return name


def _split_stream(path: str) -> tuple[str, str]:
    """Take `:stream:type` off the last component; `::$DATA` is the file itself."""
    if ":" not in path:
        return path, ""
    path, _, rest = path.partition(":")
    name, colon, kind = rest.partition(":")
    if (colon and kind.upper() != STREAM_TYPE) or (not colon and not name):
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
    return path, stream_name(name)


def stream_name(name: str) -> str:
    """Check a stream's name ([MS-FSCC] 2.1.5.3)."""
    if "\\" in name or _BAD_STREAM.search(name) or len(_encoded(name)) > 255:
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
    return name


def _encoded(name: str) -> bytes:
    """As it is kept on disk; OBJECT_NAME_INVALID for half of a surrogate pair.

    So are bytes that are UTF-8 after all: the name would come back as another one.
    """
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID) from None
    if not name.isascii() and encoded.decode("utf-8", "surrogateescape") != name:
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
    return encoded


class Expression:
    r"""A FileName pattern of QUERY_DIRECTORY ([MS-FSA] 2.1.4.4).

    `*` any, `?` one character; the DOS wildcards: `<` (DOS_STAR) any up to the last dot,
    `>` (DOS_QM) one character, or none at a dot or the end, `"` (DOS_DOT) a dot or the end.

    All places of the pattern that a name may have reached are followed at once, as the bits of a
    number, so a name costs its length whatever the pattern is. Backtracking, as `re` does it,
    takes hours for `*a*a*a*a*b`.
    """

    __slots__ = ("_any", "_at", "_dos_dot", "_dos_qm", "_end", "_everything", "_one")

    def __init__(self, pattern: str) -> None:
        if len(pattern) > _LONGEST_EXPRESSION:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
        self._everything = pattern in ("", "*", "*.*")
        self._end = 1 << len(pattern)
        self._any = _places(pattern, "*<")
        self._one = _places(pattern, "?")
        self._dos_qm = _places(pattern, ">")
        self._dos_dot = _places(pattern, '"')
        self._at: dict[str, int] = {".": self._dos_dot}
        for index, symbol in enumerate(pattern):
            if symbol not in _WILDCARDS:
                folded = fold(symbol)
                self._at[folded] = self._at.get(folded, 0) | 1 << index

    def matches(self, name: str) -> bool:
        """Does all of the name match, whatever its case?"""
        if self._everything:
            return True
        reached = 1
        for character in name:
            if character == ".":
                reached = _passed(reached, self._any | self._dos_qm)
                takes = self._at["."] | self._one
            else:
                reached = _passed(reached, self._any)
                takes = self._at.get(fold(character), 0) | self._one | self._dos_qm
            reached = (reached & takes) << 1 | reached & self._any
            if not reached:
                return False
        return bool(_passed(reached, self._any | self._dos_qm | self._dos_dot) & self._end)


_LONGEST_EXPRESSION = 1024
_WILDCARDS = frozenset('*?<>"')


def _places(pattern: str, symbols: str) -> int:
    return sum(1 << index for index, symbol in enumerate(pattern) if symbol in symbols)


def _passed(reached: int, free: int) -> int:
    """Also the places behind those that may be passed without a character.

    Adding carries from the lowest place reached in a run of free ones to the place behind it.
    """
    carried = (reached & free) + free
    return reached | free & ~carried | carried & ~free


class _Upcase(dict[int, int]):
    """Code points to their capitals, as Windows pairs them: one to one, none beyond the BMP.

    `ß` and ligatures have none. Letters whose capital is another's (U+0131, dotless i; U+017F, long
    s; the micro sign) keep to themselves, but for the final sigma.
    """

    def __missing__(self, code: int) -> int:
        if code > 0xFFFF:
            return code
        character = chr(code)
        capital = character.upper()
        paired = capital.lower() == character or character == "ς"
        self[code] = ord(capital) if len(capital) == 1 and paired else code
        return self[code]


_UPCASE = _Upcase()


def fold(name: str) -> str:
    """The form in which two names that differ only in case are equal."""
    return name.upper() if name.isascii() else name.translate(_UPCASE)
