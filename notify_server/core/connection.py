"""One connection: from bytes to requests, and from replies back to bytes.

    receive ─► frames ─► unseal ─► compound ─► Chain ─► dispatch.execute ─► Reply, Job or PARKED
                                                 │
    outbox ◄─ frame ◄─ seal ◄─ join ◄─ sign ◄────┘

A connection that breaks a rule for which 3.3.5.2 asks it be disconnected sets `closing`; requests
that merely fail get a status. Everything that goes on after NEGOTIATE is kept in Session.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from notify_server.auth.keys import EMPTY_PREAUTH
from notify_server.auth.sealing import SealError
from notify_server.auth.signing import sign
from notify_server.core import chain as chains
from notify_server.core.credits import CreditWindow
from notify_server.core.model import ParkedRequest, Session, Tree
from notify_server.core.outcome import Disconnect
from notify_server.core.request import Request
from notify_server.wire.codec import WireError
from notify_server.wire.constants import (
    SMB1_PROTOCOL_ID,
    SMB2_PROTOCOL_ID,
    SMB2_TRANSFORM_PROTOCOL_ID,
    HeaderFlags,
    SigningAlgorithm,
)
from notify_server.wire.error import ERROR_BODY
from notify_server.wire.header import frame, pack_header, split_compound
from notify_server.wire.negotiate import NegotiateRequest
from notify_server.wire.status import NtStatus
from notify_server.wire.transform import Transform

if TYPE_CHECKING:
    from notify_server.core.server import Server

log: Final = logging.getLogger("notify_server.connection")

_FINAL_FLAGS: Final = int(
    HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR | HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND
)
_SIGNED: Final = int(HeaderFlags.SMB2_FLAGS_SIGNED)


class Connection:
    """A transport connection (3.3.1.7). Slots, and little in them: there are many."""

    __slots__ = (
        "_needed",
        "_partial",
        "cipher",
        "client",
        "client_negotiate",
        "closing",
        "credits",
        "dialect",
        "held",
        "in_flight",
        "negotiate_answered",
        "next_async_id",
        "outbox",
        "owner",
        "parked",
        "preauth_hash",
        "server",
        "sessions",
        "signing_algorithm",
        "supports_large_mtu",
        "waiting",
    )

    def __init__(self, server: Server, client: str) -> None:
        self.server = server
        self.client = client
        self.owner: object = None  # whose outbox it is: the runner's business
        self.credits = CreditWindow(server.config.bounds.credits)
        self.dialect = 0
        self.negotiate_answered = False
        self.client_negotiate: NegotiateRequest | None = None
        self.cipher: int | None = None
        self.signing_algorithm = int(SigningAlgorithm.HMAC_SHA256)
        self.supports_large_mtu = False
        self.preauth_hash = EMPTY_PREAUTH
        self.sessions: dict[int, Session] = {}
        self.parked: dict[int, ParkedRequest] = {}
        self.waiting: dict[int, Request] = {}
        """By AsyncId, those whose chain goes on after their final response."""
        self.in_flight: dict[int, Request] | None = None
        self.next_async_id = 1
        self.outbox: list[bytes] = []
        self.closing = False
        self.held = 0
        """Bytes that came and are not done with: of an incomplete frame, of requests under way."""
        self._partial: bytearray | None = None
        self._needed = 4  # bytes, transport header included, before looking again

    # Input

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Take what the transport brought, in pieces of any size (2.1)."""
        if self.closing:
            return
        if self._partial is not None:
            if len(self._partial) + len(data) < self._needed:
                self._partial += data
                self._hold_input(len(data))
                return
            self.hold(-len(self._partial))
            self._partial += data
            data = bytes(self._partial)
            self._partial = None
        position, end = 0, len(data)
        short = self.server.config.bounds.frame_before_session
        self._needed = 4
        try:
            while end - position >= 4 and not self.closing:
                if data[position]:
                    raise Disconnect(f"transport message of type {data[position]:#x}")
                size = int.from_bytes(data[position + 1 : position + 4], "big")
                if size > short and size > self._longest_frame():
                    raise Disconnect(f"frame of {size} bytes")
                if end - position - 4 < size:
                    self._needed = 4 + size
                    break
                position += 4 + size
                if size:
                    self._frame(bytes(data[position - size : position]), now)
        except (Disconnect, WireError) as error:
            self.disconnect(str(error))
        if position < end and not self.closing:
            self._partial = bytearray(data[position:])
            self._hold_input(end - position)

    def hold(self, size: int) -> None:
        """`size` bytes more are kept, or less."""
        self.held += size
        self.server.held += size

    def _hold_input(self, size: int) -> None:
        self.hold(size)
        if self.server.held > self.server.config.bounds.all_held:
            self.disconnect("too much of all clients is unfinished")

    def _longest_frame(self) -> int:
        bounds = self.server.config.bounds
        return bounds.frame if self.authenticated else bounds.frame_before_session

    @property
    def authenticated(self) -> bool:
        """Has anybody logged on here?"""
        return any(session.keys is not None for session in self.sessions.values())

    def _frame(self, payload: bytes, now: float) -> None:
        protocol = payload[:4]
        sealed_by: Session | None = None
        if protocol == SMB2_TRANSFORM_PROTOCOL_ID:
            sealed_by, payload = self._unseal(payload)
            protocol = payload[:4]
        if protocol == SMB1_PROTOCOL_ID:
            if self.dialect or sealed_by:
                raise Disconnect("SMB1 after NEGOTIATE")
            chains.negotiate_from_smb1(self, payload, now)
            return
        if protocol != SMB2_PROTOCOL_ID:
            raise Disconnect(f"protocol {protocol.hex()}")
        messages = list(split_compound(payload))
        if len(messages) > self.server.config.bounds.compound:
            raise Disconnect(f"compound of {len(messages)} requests")
        chain = chains.Chain(self, messages, sealed_by)
        chain.advance(now)
        if not chain.over:
            chain.keep(len(payload))

    def _unseal(self, payload: bytes) -> tuple[Session, bytes]:
        """3.3.5.2.1.1; whatever is wrong, the connection ends."""
        transform = Transform.parse(payload)
        session = self.sessions.get(transform.session_id)
        if session is None or session.sealer is None:
            raise Disconnect("sealed message for a session that cannot be sealed")
        try:
            return session, session.sealer.open(transform)
        except SealError as error:
            raise Disconnect(str(error)) from None

    # Output

    def send(self, payload: bytes, sealed_by: Session | None = None) -> None:
        """Queue one message or compound, sealed if the request was."""
        if sealed_by is not None and sealed_by.sealer is not None:
            payload = sealed_by.sealer.seal(payload, sealed_by.session_id)
        self.outbox.append(frame(payload))
        self.server.mark_dirty(self)

    def take_output(self) -> list[bytes]:
        """What is to be sent now, in this order."""
        output = self.outbox
        self.outbox = []
        return output

    def sign(self, session: Session, message: bytes) -> bytes:
        """A message of ours with its signature; SMB2_FLAGS_SIGNED is set in it already."""
        assert session.keys is not None
        return sign(self.signing_algorithm, session.keys.signing, message)

    # Requests that wait

    @property
    def room_to_wait(self) -> bool:
        """May one more request have an interim response that awaits its final one?"""
        return len(self.parked) + len(self.waiting) < self.server.config.bounds.parked

    def stop_waiting(self, session: Session, tree: Tree | None, now: float) -> None:
        """The session goes, or the tree: what waits long in it is cancelled (3.3.5.6, 3.3.5.8)."""
        while waiting := [
            request
            for request in (self.in_flight or {}).values()
            if request.session is session and tree in (None, request.tree) and not request.cancelled
        ]:
            for request in waiting:
                request.cancel(now)  # what is behind it in its compound may wait next

    def new_async_id(self) -> int:
        """AsyncIds are never used twice on a connection (3.3.4.2)."""
        async_id = self.next_async_id
        self.next_async_id += 1
        return async_id

    def finish_parked(self, parked: ParkedRequest, status: int, body: bytes, now: float) -> None:
        """Send the final response of a parked request (3.3.4.3); it grants no credits."""
        if self.parked.pop(parked.async_id, None) is None or self.closing:
            return
        session = parked.session
        flags = _FINAL_FLAGS
        signed = not parked.sealed and parked.signed and session.keys is not None
        if signed:
            flags |= _SIGNED
        message = (
            pack_header(
                parked.command,
                parked.message_id,
                status,
                flags,
                0,
                session.session_id,
                parked.async_id,
            )
            + body
        )
        if signed:
            message = self.sign(session, message)
        self.send(message, session if parked.sealed else None)

    def refuse_parked(self, parked: ParkedRequest, status: NtStatus, now: float) -> None:
        """Finish a parked request with an error."""
        self.finish_parked(parked, status, ERROR_BODY, now)

    # The end

    def disconnect(self, reason: str) -> None:
        """End the connection once the outbox is sent."""
        if not self.closing:
            self.closing = True
            log.info("disconnect client=%s reason=%r", self.client, reason)
            self.server.mark_dirty(self)

    def lost(self, now: float) -> None:
        """The transport is gone: so are the sessions, and all that is in them (3.3.7.1)."""
        self.closing = True
        for session in list(self.sessions.values()):
            self.end_session(session, now)
        self.parked.clear()
        self.outbox.clear()
        self._partial = None
        self.hold(-self.held)

    def end_session(self, session: Session, now: float) -> None:
        """Take a session down: its opens are closed, its parked requests end with CLEANUP."""
        session.logged_off = True
        self.stop_waiting(session, None, now)
        for opened in list(session.opens.values()):
            self.server.close_open(opened, now)
        session.trees.clear()
        self.sessions.pop(session.session_id, None)
        self.server.sessions.pop(session.session_id, None)
