"""LOCK and OPLOCK_BREAK (3.3.5.14, 3.3.5.22)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from notify_server.core.locks import Range
from notify_server.core.model import Open, ParkedRequest
from notify_server.core.outcome import PARKED, Outcome, Reply
from notify_server.wire.constants import AccessMask, Command, LockFlags
from notify_server.wire.file_io import LockElement, LockRequest
from notify_server.wire.oplock_break import OplockBreakAcknowledgment, pack_oplock_break
from notify_server.wire.session import EMPTY_RESPONSE
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

_SHARED: Final = int(LockFlags.SMB2_LOCKFLAG_SHARED_LOCK)
_EXCLUSIVE: Final = int(LockFlags.SMB2_LOCKFLAG_EXCLUSIVE_LOCK)
_UNLOCK: Final = int(LockFlags.SMB2_LOCKFLAG_UNLOCK)
_AT_ONCE: Final = int(LockFlags.SMB2_LOCKFLAG_FAIL_IMMEDIATELY)
_MAY_LOCK: Final = int(AccessMask.FILE_READ_DATA | AccessMask.FILE_WRITE_DATA)
_LAST_BYTE: Final = 0xFFFFFFFFFFFFFFFF


def lock(request: Request) -> Outcome:
    """Lock or unlock ranges: all of one kind, as the first element says (3.3.5.14)."""
    body = LockRequest.parse(request.message)
    opened = request.open(body.file_id)
    if opened.is_directory:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if not opened.granted_access & _MAY_LOCK:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if body.locks[0].flags & _UNLOCK:
        return _unlock(request, opened, body.locks)
    request.connection.server.oplocks.written(opened)
    return _lock(request, opened, body.locks)


def _unlock(request: Request, opened: Open, elements: list[LockElement]) -> Outcome:
    """3.3.5.14.1."""
    server = request.connection.server
    try:
        for element in elements:
            if element.flags != _UNLOCK:
                raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
            if not server.locks.unlock(opened, element.offset, element.length):
                raise StatusError(NtStatus.STATUS_RANGE_NOT_LOCKED)
    finally:
        server.grant_waiting(server.locks.retry(opened), request.now)
    return Reply(EMPTY_RESPONSE)


def _lock(request: Request, opened: Open, elements: list[LockElement]) -> Outcome:
    """3.3.5.14.2: all or nothing; a single element may wait."""
    server = request.connection.server
    ranges = [_range(element, len(elements) > 1) for element in elements]
    if not server.locks.room_for(opened, len(ranges)):
        raise StatusError(NtStatus.STATUS_INSUFFICIENT_RESOURCES)
    for index, wanted in enumerate(ranges):
        if server.locks.lock(opened, wanted):
            continue
        server.locks.give_back(opened, ranges[:index])
        if elements[index].flags & _AT_ONCE or not request.is_last:
            server.grant_waiting(server.locks.retry(opened), request.now)
            raise StatusError(NtStatus.STATUS_LOCK_NOT_GRANTED)
        return _wait(request, opened, wanted)
    return Reply(EMPTY_RESPONSE)


def _range(element: LockElement, several: bool) -> Range:
    kind = element.flags & ~_AT_ONCE
    if kind not in (_SHARED, _EXCLUSIVE) or (several and not element.flags & _AT_ONCE):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if element.length and element.offset + element.length - 1 > _LAST_BYTE:
        raise StatusError(NtStatus.STATUS_INVALID_LOCK_RANGE)
    return Range(element.offset, element.length, kind == _EXCLUSIVE)


def _wait(request: Request, opened: Open, wanted: Range) -> Outcome:
    connection = request.connection
    if not connection.room_to_wait:
        raise StatusError(NtStatus.STATUS_INSUFFICIENT_RESOURCES)
    parked = ParkedRequest(
        connection,
        request.valid_session,
        opened,
        Command.SMB2_LOCK,
        request.header.message_id,
        connection.new_async_id(),
        request.to_sign,
        request.chain.sealed_by is not None,
        request.now,
    )
    connection.parked[parked.async_id] = parked
    connection.server.locks.wait(parked, opened, wanted)
    return PARKED


def oplock_break(request: Request) -> Outcome:
    """A client acknowledges a break (3.3.5.22.1)."""
    body = OplockBreakAcknowledgment.parse(request.message)
    opened = request.open(body.file_id)
    if opened.oplock_waiters is None:
        raise StatusError(NtStatus.STATUS_INVALID_DEVICE_STATE)
    if not request.connection.server.oplocks.acknowledge(opened, body.oplock_level, request.now):
        raise StatusError(NtStatus.STATUS_INVALID_OPLOCK_PROTOCOL)
    return Reply(pack_oplock_break(opened.oplock_level, body.file_id))
