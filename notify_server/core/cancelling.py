"""CANCEL (3.3.5.16): no sequence check, no response of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from notify_server.auth.signing import is_signed_by_client
from notify_server.core.model import ParkedRequest, Session
from notify_server.wire.constants import Command, HeaderFlags
from notify_server.wire.header import Header
from notify_server.wire.status import NtStatus

if TYPE_CHECKING:
    from notify_server.core.connection import Connection
    from notify_server.core.request import Request

_ASYNC: Final = int(HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND)
_SIGNED: Final = int(HeaderFlags.SMB2_FLAGS_SIGNED)


def cancel(
    connection: Connection, header: Header, message: bytes, sealed_by: Session | None, now: float
) -> None:
    """Cancel the parked request that the header names; nothing happens if there is none."""
    request = _in_flight(connection, header)
    if request is not None:
        if request.session is not None and _may(request.session, header, message, sealed_by):
            request.cancel(now)
        return
    parked = find(connection, header)
    if parked is None or not _may(parked.session, header, message, sealed_by):
        return
    server = connection.server
    if parked.command == Command.SMB2_CHANGE_NOTIFY:
        completion = server.watches.cancel(parked)
        if completion is not None:
            server.complete((completion,), now)
    elif server.locks.cancel(parked):
        connection.refuse_parked(parked, NtStatus.STATUS_CANCELLED, now)


def _in_flight(connection: Connection, header: Header) -> Request | None:
    """A request that is away or waits long; message id 0 is explained at `find`."""
    if header.flags & _ASYNC:
        return connection.waiting.get(header.async_id)
    requests = connection.in_flight or {}
    if header.message_id:
        return requests.get(header.message_id)
    return next(
        (
            request
            for request in reversed(requests.values())
            if request.header.command == Command.SMB2_CHANGE_NOTIFY
            and request.valid_session.session_id == header.session_id
            and not request.cancelled
        ),
        None,
    )


def find(connection: Connection, header: Header) -> ParkedRequest | None:
    """By AsyncId if the flag is set, else by MessageId.

    smbtorture (up to 4.23) sends MessageId 0 without the ASYNC flag when AES-GMAC was not
    negotiated, which as a MessageId could only be the NEGOTIATE: it means its newest request.
    """
    if header.flags & _ASYNC:
        return connection.parked.get(header.async_id)
    candidates = reversed(connection.parked.values())
    if header.message_id:
        return next((p for p in candidates if p.message_id == header.message_id), None)
    return next((p for p in candidates if p.session.session_id == header.session_id), None)


def _may(session: Session, header: Header, message: bytes, sealed_by: Session | None) -> bool:
    """A CANCEL is checked like any request of the session that it acts on, and refused in silence.

    Its own SessionId must not decide that: one that nobody has would need no signature.
    """
    if sealed_by is not None:
        return sealed_by is session
    connection = session.connection
    named = connection.sessions.get(header.session_id, session)
    if named is not session or session.keys is None or session.encrypt_data:
        return False
    if header.flags & _SIGNED:
        return is_signed_by_client(connection.signing_algorithm, session.keys.signing, message)
    return not session.signing_required
