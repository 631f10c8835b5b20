"""Who may: session, signature, sealing, expiry and tree of a request (3.3.5.2.2 to 3.3.5.2.11)."""

from __future__ import annotations

from typing import Final

from notify_server.auth.signing import is_signed_by_client
from notify_server.core import dispatch
from notify_server.core.model import Session
from notify_server.core.outcome import Disconnect
from notify_server.core.request import Request
from notify_server.wire.constants import RELATED_FILE_ID, Command, HeaderFlags
from notify_server.wire.status import NtStatus, StatusError

_RELATED: Final = int(HeaderFlags.SMB2_FLAGS_RELATED_OPERATIONS)
_SIGNED: Final = int(HeaderFlags.SMB2_FLAGS_SIGNED)


def authorize(request: Request) -> dispatch.Entry:
    """The entry of a request's command, if it may be handled; its session and tree are found."""
    header, chain = request.header, request.chain
    entry = dispatch.TABLE.get(header.command)
    connection = chain.connection
    if entry is None:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if not connection.dialect and header.command != Command.SMB2_NEGOTIATE:
        raise Disconnect("a request before NEGOTIATE")
    related = bool(header.flags & _RELATED)
    if not related:
        chain.session_id = header.session_id
        chain.tree_id = header.tree_id
        chain.file_id = RELATED_FILE_ID
        chain.failed_create = None
    session = connection.sessions.get(chain.session_id)
    if related and (session is None or session.keys is None):
        # Nothing before it, or nothing with a session, that it could be related to.
        chain.session_id = 0
        named = connection.sessions.get(header.session_id)
        if named is not None and named.keys is not None and chain.sealed_by is None:
            # It does not count as the session of a related request, but its key signs the no.
            _check_protection(request, named)
            request.session = named
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if chain.sealed_by is not None and session is not chain.sealed_by:
        raise Disconnect("sealed by another session than the header names")
    if session is not None and session.keys is not None:
        request.session = session
        _check_protection(request, session)
    if not entry.session:
        return entry
    if request.session is None:
        raise StatusError(NtStatus.STATUS_USER_SESSION_DELETED)
    if (
        request.session.expires_at is not None
        and request.now >= request.session.expires_at
        and not entry.after_expiry
    ):
        raise StatusError(NtStatus.STATUS_NETWORK_SESSION_EXPIRED)
    if entry.tree:
        request.tree = request.session.trees.get(chain.tree_id)
        if request.tree is None:
            raise StatusError(NtStatus.STATUS_NETWORK_NAME_DELETED)
        if request.tree.share.encrypt and chain.sealed_by is None:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    return entry


def _check_protection(request: Request, session: Session) -> None:
    """3.3.5.2.4 and 3.3.5.2.9: signed where it must be, rightly where it is, sealed."""
    if request.chain.sealed_by is not None:
        return
    assert session.keys is not None
    if request.header.flags & _SIGNED:
        algorithm = request.connection.signing_algorithm
        if not is_signed_by_client(algorithm, session.keys.signing, request.message):
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    elif session.signing_required:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if session.encrypt_data and request.header.command != Command.SMB2_SESSION_SETUP:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
