"""FILE_NOTIFY_INFORMATION: change records in bytes ([MS-FSCC] 2.7.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from notify_server.wire.fscc import NotifyAction

_HEAD = struct.Struct("<III")  # NextEntryOffset, Action, FileNameLength
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

HEAD_SIZE = _HEAD.size


class RecordError(ValueError):
    """The bytes are no list of FILE_NOTIFY_INFORMATION."""


def encode_name(name: str) -> bytes:
    """A name in UTF-16LE; a byte that is not UTF-8 on disk travels as a lone surrogate."""
    return name.encode("utf-16-le", "surrogatepass")


def padded(size: int) -> int:
    """`size` rounded up to the 4-byte boundary on which the next record starts."""
    return (size + 3) & ~3


def encode_records(records: Sequence[tuple[int, bytes]]) -> bytes:
    """(action, UTF-16LE name) pairs as one buffer; the last record has no padding."""
    if len(records) == 1:
        action, name = records[0]
        return _HEAD.pack(0, action, len(name)) + name
    parts: list[bytes] = []
    last = len(records) - 1
    for index, (action, name) in enumerate(records):
        size = HEAD_SIZE + len(name)
        if index == last:
            parts += (_HEAD.pack(0, action, len(name)), name)
        else:
            parts += (_HEAD.pack(padded(size), action, len(name)), name, _PADDING[size % 4])
    return b"".join(parts)


def decode_records(buffer: bytes) -> list[tuple[NotifyAction, str]]:
    """The records of a buffer; refuses what a strict client would refuse."""
    return list(_decode(buffer)) if buffer else []


def _decode(buffer: bytes) -> Iterable[tuple[NotifyAction, str]]:
    offset = 0
    while True:
        if offset + HEAD_SIZE > len(buffer):
            raise RecordError(f"record at {offset} is cut off")
        step, action, length = _HEAD.unpack_from(buffer, offset)
        end = offset + HEAD_SIZE + length
        if end > len(buffer):
            raise RecordError(f"name of the record at {offset} is cut off")
        try:
            name = buffer[offset + HEAD_SIZE : end].decode("utf-16-le", "surrogatepass")
            yield NotifyAction(action), name
        except ValueError as error:
            raise RecordError(f"record at {offset}: {error}") from error
        if step == 0:
            return
        if step % 4 or step < HEAD_SIZE + length:
            raise RecordError(f"record at {offset} points to {step} bytes after itself")
        offset += step
