"""READ, WRITE, FLUSH (3.3.5.11 to 3.3.5.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from notify_server.core.locks import Range
from notify_server.core.model import Open
from notify_server.core.negotiation import io_size
from notify_server.core.outcome import Job, Outcome, Reply
from notify_server.wire.constants import AccessMask, WriteFlags
from notify_server.wire.file_io import (
    FlushRequest,
    ReadRequest,
    WriteRequest,
    pack_read_response,
    pack_write_response,
)
from notify_server.wire.session import EMPTY_RESPONSE
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

_MAY_READ: Final = int(AccessMask.FILE_READ_DATA | AccessMask.FILE_EXECUTE)
_MAY_WRITE: Final = int(AccessMask.FILE_WRITE_DATA | AccessMask.FILE_APPEND_DATA)
_WRITE_DATA: Final = int(AccessMask.FILE_WRITE_DATA)
_THROUGH: Final = int(WriteFlags.SMB2_WRITEFLAG_WRITE_THROUGH)
_LIGHT: Final = 4096  # bytes that the page cache nearly always gives or takes at once
_LARGEST_OFFSET: Final = 0x7FFFFFFFFFFFFFFF
_APPEND: Final = 0xFFFFFFFFFFFFFFFF


def _file(opened: Open) -> None:
    if opened.is_directory:
        raise StatusError(NtStatus.STATUS_INVALID_DEVICE_REQUEST)


def read(request: Request) -> Outcome:
    """READ (3.3.5.12)."""
    body = ReadRequest.parse(request.message)
    opened = request.open(body.file_id)
    if body.length > io_size(request.connection):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    request.check_charge(body.length)
    _file(opened)
    if not opened.granted_access & _MAY_READ:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if body.offset + body.length > _LARGEST_OFFSET:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    locks = request.connection.server.locks
    if locks.conflicts(opened, body.offset, body.length, exclusive=False):
        raise StatusError(NtStatus.STATUS_FILE_LOCK_CONFLICT)

    def then(data: bytes) -> Outcome:
        if (not data and body.length) or len(data) < body.minimum_count:
            raise StatusError(NtStatus.STATUS_END_OF_FILE)
        opened.position = body.offset + len(data)
        return Reply(pack_read_response(data))

    request.busy = opened
    return Job(
        lambda: opened.store.read(opened.handle, body.offset, body.length),
        then,
        light=body.length <= _LIGHT,
    )


def write(request: Request) -> Outcome:
    """WRITE (3.3.5.13); offset -1 appends ([MS-FSA] 2.1.5.3).

    What is there is overwritten only with FILE_WRITE_DATA; FILE_APPEND_DATA is for what follows.
    """
    body = WriteRequest.parse(request.message)
    opened = request.open(body.file_id)
    if len(body.data) > io_size(request.connection):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    request.check_charge(len(body.data))
    _file(opened)
    if not opened.granted_access & _MAY_WRITE:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    append = body.offset == _APPEND
    if not append and body.offset + len(body.data) > _LARGEST_OFFSET:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    locks = request.connection.server.locks
    if not append and locks.conflicts(opened, body.offset, len(body.data), exclusive=True):
        raise StatusError(NtStatus.STATUS_FILE_LOCK_CONFLICT)
    request.connection.server.oplocks.written(opened)
    barred = locks.barring(opened, exclusive=True) if append and body.data else []
    store, handle = opened.store, opened.handle

    def work() -> int:
        offset = body.offset
        if append or (body.data and not opened.granted_access & _WRITE_DATA):
            offset = _offset_at_end(body, store.attributes(handle).end_of_file, barred)
        written = store.write(handle, offset, body.data) if body.data else 0
        if body.flags & _THROUGH:
            store.flush(handle)
        opened.position = offset + written
        return written

    request.busy = opened
    light = len(body.data) <= _LIGHT and not body.flags & _THROUGH
    return Job(work, lambda written: Reply(pack_write_response(written)), light=light)


def _offset_at_end(body: WriteRequest, end: int, barred: list[Range]) -> int:
    """Where to write what may only be written at the end of the file, or after it."""
    offset = end if body.offset == _APPEND else body.offset
    if offset < end:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if any(held.overlaps(offset, len(body.data)) for held in barred):
        raise StatusError(NtStatus.STATUS_FILE_LOCK_CONFLICT)
    return offset


def flush(request: Request) -> Outcome:
    """FLUSH (3.3.5.11)."""
    body = FlushRequest.parse(request.message)
    opened = request.open(body.file_id)
    if not opened.granted_access & _MAY_WRITE:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    request.busy = opened
    return Job(
        lambda: opened.store.flush(opened.handle),
        lambda _: Reply(EMPTY_RESPONSE),
        light=False,
    )
