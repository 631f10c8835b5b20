"""SESSION_SETUP and LOGOFF (3.3.5.5, 3.3.5.6)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from notify_server.auth.acceptor import Acceptor, Identity, LogonError, Step, TokenError
from notify_server.auth.keys import extend_preauth, session_keys
from notify_server.auth.sealing import Sealer
from notify_server.core.config import Encryption
from notify_server.core.model import Session
from notify_server.core.outcome import Outcome, Reply
from notify_server.core.times import filetime
from notify_server.wire.constants import (
    Dialect,
    SecurityMode,
    SessionFlags,
    SessionSetupFlags,
)
from notify_server.wire.session import (
    EMPTY_RESPONSE,
    SessionSetupRequest,
    check_empty,
    pack_session_setup_response,
)
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

log: Final = logging.getLogger("notify_server.session")

_CHALLENGE_SIZE: Final = 8


def session_setup(request: Request) -> Outcome:
    """One step of a logon, or of a repeated one on a session that is valid (3.3.5.5)."""
    connection = request.connection
    server = connection.server
    body = SessionSetupRequest.parse(request.message)
    session_id = request.header.session_id
    if server.config.encryption is Encryption.REQUIRED and connection.cipher is None:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if body.flags & SessionSetupFlags.SMB2_SESSION_FLAG_BINDING:
        # Channels are not offered (3.3.5.5, IsMultiChannelCapable is FALSE).
        known = session_id in server.sessions
        raise StatusError(
            NtStatus.STATUS_REQUEST_NOT_ACCEPTED
            if known or connection.dialect < Dialect.SMB_3_0
            else NtStatus.STATUS_USER_SESSION_DELETED
        )
    if session_id == 0:
        if len(connection.sessions) >= server.config.bounds.sessions:
            raise StatusError(NtStatus.STATUS_REQUEST_NOT_ACCEPTED)
        session = server.new_session(connection)
        connection.sessions[session.session_id] = session
        session.preauth_hash = connection.preauth_hash
    else:
        found = connection.sessions.get(session_id)
        if found is None:
            raise StatusError(NtStatus.STATUS_USER_SESSION_DELETED)
        session = found
    if session.acceptor is None:
        session.acceptor = Acceptor(
            server.config.users,
            server.config.server_name,
            server.random(_CHALLENGE_SIZE),
            filetime(request.now),
            allow_anonymous=server.config.allow_anonymous,
        )
    if session.keys is None and connection.dialect == Dialect.SMB_3_1_1:
        session.preauth_hash = extend_preauth(session.preauth_hash, request.message)
    return _step(request, session, body)


def _step(request: Request, session: Session, body: SessionSetupRequest) -> Outcome:
    assert session.acceptor is not None
    try:
        step = session.acceptor.step(body.security_buffer)
    except LogonError as error:
        log.warning("logon refused client=%s reason=%s", request.connection.client, error)
        # Also a failed repetition ends the session and what is open in it (3.3.5.5.3).
        request.connection.end_session(session, request.now)
        malformed = isinstance(error, TokenError)
        raise StatusError(
            NtStatus.STATUS_INVALID_PARAMETER if malformed else NtStatus.STATUS_LOGON_FAILURE
        ) from None
    if step.identity is None:
        return _more(request, session, step)
    session.acceptor = None
    if not _may_become(session, step.identity):
        request.connection.end_session(session, request.now)
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    session.identity = step.identity
    session.owner = session.owner or step.identity.user.lower()
    _start_clock(request, session)
    if session.keys is None:
        _establish(request, session, step, body)
    log.info(
        "logon client=%s user=%s session=%#x dialect=%#x signing=%s sealing=%s",
        request.connection.client,
        session.user,
        session.session_id,
        request.connection.dialect,
        session.signing_required,
        session.encrypt_data,
    )
    if body.previous_session_id and body.previous_session_id != session.session_id:
        _end_previous(request, step.identity, body.previous_session_id)
    request.session = session
    flags = SessionFlags(0)
    if step.identity.anonymous:
        flags |= SessionFlags.SMB2_SESSION_FLAG_IS_NULL
    if session.encrypt_data:
        flags |= SessionFlags.SMB2_SESSION_FLAG_ENCRYPT_DATA
    request.sign_response = not step.identity.anonymous
    return Reply(pack_session_setup_response(flags, step.token))


def _may_become(session: Session, identity: Identity) -> bool:
    """A session stays its owner's; where anonymous logons are allowed it may also become one.

    One that began as nobody's stays nobody's: its keys are known, and signing is not required.
    """
    if session.keys is None or identity.anonymous:
        return True
    return identity.user.lower() == session.owner


def _more(request: Request, session: Session, step: Step) -> Reply:
    """Ask for the next token; the response is part of the pre-authentication hash."""

    def sent(message: bytes) -> None:
        if session.keys is None and request.connection.dialect == Dialect.SMB_3_1_1:
            session.preauth_hash = extend_preauth(session.preauth_hash, message)

    request.session = session
    return Reply(
        pack_session_setup_response(0, step.token),
        NtStatus.STATUS_MORE_PROCESSING_REQUIRED,
        sent,
    )


def _start_clock(request: Request, session: Session) -> None:
    config = request.connection.server.config
    seconds = config.session_seconds_of.get(session.owner, config.session_seconds)
    session.expires_at = request.now + seconds if seconds else None


def _establish(request: Request, session: Session, step: Step, body: SessionSetupRequest) -> None:
    """Keys and policies of a new session (3.3.5.5.3)."""
    connection = request.connection
    config = connection.server.config
    keys = session_keys(
        step.session_key, connection.dialect, connection.cipher, session.preauth_hash
    )
    session.keys = keys
    session.preauth_hash = b""
    assert step.identity is not None
    if not step.identity.anonymous:
        session.signing_required = config.require_signing or bool(
            body.security_mode & SecurityMode.SMB2_NEGOTIATE_SIGNING_REQUIRED
        )
    if connection.cipher is not None:
        session.sealer = Sealer(connection.cipher, keys.encryption, keys.decryption)
        session.encrypt_data = config.encryption is Encryption.REQUIRED


def _end_previous(request: Request, identity: Identity, session_id: int) -> None:
    """The client's old session, on whatever connection, goes if it is the same user's."""
    previous = request.connection.server.sessions.get(session_id)
    if (
        previous is not None
        and previous.identity is not None
        and not identity.anonymous  # nobody is the same as nobody
        and previous.identity.user.lower() == identity.user.lower()
    ):
        previous.connection.end_session(previous, request.now)


def logoff(request: Request) -> Outcome:
    """LOGOFF (3.3.5.6)."""
    check_empty(request.message)
    request.connection.end_session(request.valid_session, request.now)
    return Reply(EMPTY_RESPONSE)
