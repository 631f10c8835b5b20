"""Directory entries as QUERY_DIRECTORY's information classes lay them out ([MS-FSCC] 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final

from notify_server.fs.api import Attributes, Entry
from notify_server.wire.codec import to_utf16
from notify_server.wire.fscc import FileInformationClass

# NextEntryOffset, FileIndex, four times, EndOfFile, AllocationSize, FileAttributes, FileNameLength
_DIRECTORY: Final = Struct("<IIQQQQQQII")
_FULL: Final = Struct("<IIQQQQQQIII")
_BOTH: Final = Struct("<IIQQQQQQIIIBx24x")
_ID_FULL: Final = Struct("<IIQQQQQQIII4xQ")
_ID_BOTH: Final = Struct("<IIQQQQQQIIIBx24x2xQ")
_ID_EXTD: Final = Struct("<IIQQQQQQIIII16s")
_NAMES: Final = Struct("<III")


def _common(a: Attributes) -> tuple[int, ...]:
    return (
        a.creation_time,
        a.last_access_time,
        a.last_write_time,
        a.change_time,
        a.end_of_file,
        a.allocation_size,
        a.file_attributes,
    )


def _directory(a: Attributes, size: int) -> bytes:
    return _DIRECTORY.pack(0, 0, *_common(a), size)


def _full(a: Attributes, size: int) -> bytes:
    return _FULL.pack(0, 0, *_common(a), size, a.ea_size)


def _both(a: Attributes, size: int) -> bytes:
    return _BOTH.pack(0, 0, *_common(a), size, a.ea_size, 0)


def _id_full(a: Attributes, size: int) -> bytes:
    return _ID_FULL.pack(0, 0, *_common(a), size, a.ea_size, a.index_number)


def _id_both(a: Attributes, size: int) -> bytes:
    return _ID_BOTH.pack(0, 0, *_common(a), size, a.ea_size, 0, a.index_number)


def _id_extd(a: Attributes, size: int) -> bytes:
    file_id = a.index_number.to_bytes(16, "little")
    return _ID_EXTD.pack(0, 0, *_common(a), size, a.ea_size, 0, file_id)


def _names(_a: Attributes, size: int) -> bytes:
    return _NAMES.pack(0, 0, size)


LAYOUTS: Final[dict[int, Callable[[Attributes, int], bytes]]] = {
    FileInformationClass.FileDirectoryInformation: _directory,
    FileInformationClass.FileFullDirectoryInformation: _full,
    FileInformationClass.FileBothDirectoryInformation: _both,
    FileInformationClass.FileIdFullDirectoryInformation: _id_full,
    FileInformationClass.FileIdBothDirectoryInformation: _id_both,
    FileInformationClass.FileIdExtdDirectoryInformation: _id_extd,
    FileInformationClass.FileNamesInformation: _names,
}


def pack_entries(
    layout: Callable[[Attributes, int], bytes],
    entries: Iterable[Entry | None],
    room: int,
    *,
    single: bool,
) -> tuple[bytes, int]:
    """As many entries as fit in `room`: the bytes, and how many of `entries` are done with.

    Those that are None are passed over. Entries begin at multiples of eight; the last one has no
    NextEntryOffset and no padding.
    """
    parts: list[bytes] = []
    used = done = 0
    for entry in entries:
        if entry is not None:
            name = to_utf16(entry.name)
            body = layout(entry.attributes, len(name)) + name
            gap = -used % 8
            if used + gap + len(body) > room:
                break
            if parts:
                previous = parts[-1]
                parts[-1] = (len(previous) + gap).to_bytes(4, "little") + previous[4:] + b"\0" * gap
            parts.append(body)
            used += gap + len(body)
        done += 1
        if single and parts:
            break
    return b"".join(parts), done
