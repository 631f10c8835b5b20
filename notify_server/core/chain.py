"""A frame's requests, one after the other, and the responses to them (3.3.5.2.7, 3.3.4.1.3).

A single request is a chain of one. The requests of a compound are done in order; one whose job
has left for another thread suspends the chain, and the job's end resumes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from notify_server.core import cancelling, dispatch, negotiation
from notify_server.core.authorization import authorize
from notify_server.core.model import Open, Session
from notify_server.core.outcome import (
    PARKED,
    Disconnect,
    Job,
    JobResult,
    Outcome,
    Parked,
    Reply,
    Wait,
)
from notify_server.core.request import Request
from notify_server.wire.codec import WireError, pad8
from notify_server.wire.constants import (
    RELATED_FILE_ID,
    Command,
    Dialect,
    HeaderFlags,
)
from notify_server.wire.error import ERROR_BODY, pack_error
from notify_server.wire.header import NEXT_COMMAND_AT, Header, pack_header, parse_header
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.connection import Connection

log: Final = logging.getLogger("notify_server.request")

_RESPONSE: Final = int(HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR)
_ASYNC: Final = int(HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND)
_RELATED: Final = int(HeaderFlags.SMB2_FLAGS_RELATED_OPERATIONS)
_SIGNED: Final = int(HeaderFlags.SMB2_FLAGS_SIGNED)
_LARGEST_FRAME: Final = 0xFFFFFF - 0x1000  # what 3 bytes of length can say (2.1), sealed


@dataclass(slots=True, eq=False)
class _Response:
    message: bytes
    signer: Session | None
    reply: Reply


@dataclass(slots=True, eq=False)
class Chain:
    """The requests of one frame; `session_id`, `tree_id`, `file_id` are what related ones use."""

    connection: Connection
    messages: list[bytes]
    sealed_by: Session | None
    index: int = 0
    session_id: int = 0
    tree_id: int = 0
    file_id: bytes = RELATED_FILE_ID
    failed_create: NtStatus | None = None
    responses: list[_Response] = field(default_factory=list)
    kept: int = 0  # bytes, while the chain waits for a job
    over: bool = False

    def keep(self, size: int) -> None:
        """The frame stays for a while: its connection counts it."""
        self.kept = size
        self.connection.hold(size)

    def advance(self, now: float) -> None:
        """Work on the requests from `index` on, until all are done or one is away."""
        while self.index < len(self.messages):
            if self.connection.closing:
                return
            request = self._accept(self.messages[self.index], now)
            if request is not None and not self._finish(request, self._execute(request)):
                return
            self.index += 1
        self.over = True
        if self.kept and not self.connection.closing:
            # A connection that is lost has counted everything as gone.
            self.connection.hold(-self.kept)
        self._flush()

    def _accept(self, message: bytes, now: float) -> Request | None:
        """Header, credits (3.3.5.2.3); None for a CANCEL, which is done with."""
        connection = self.connection
        header = parse_header(message)
        if header.flags & _RESPONSE:
            raise Disconnect("a response instead of a request")
        if header.command == Command.SMB2_CANCEL:
            cancelling.cancel(connection, header, message, self.sealed_by, now)
            return None
        charge = 1
        if connection.supports_large_mtu and header.credit_charge:
            charge = header.credit_charge
        if not connection.credits.take(header.message_id, charge):
            raise Disconnect(f"MessageId {header.message_id} outside the window")
        return Request(self, header, message, charge, now)

    def _execute(self, request: Request) -> Outcome:
        """Authorize and handle; whatever goes wrong becomes a Reply. The one place for that."""
        try:
            entry = authorize(request)
            outcome = entry.handler(request)
            while isinstance(outcome, Job | Wait):
                result = self._submit(request, outcome)
                if result is None:
                    return outcome
                outcome = self._after(outcome, result)
            return outcome
        except (StatusError, WireError) as error:
            return self._error(request, error)

    def _error(self, request: Request, error: StatusError | WireError) -> Reply:
        if isinstance(error, WireError):
            log.debug("malformed client=%s %s", self.connection.client, error)
            return self._failed(request, NtStatus.STATUS_INVALID_PARAMETER)
        return self._failed(request, error.status, error.data)

    def _failed(self, request: Request, status: NtStatus, data: bytes = b"") -> Reply:
        if request.header.command == Command.SMB2_CREATE:
            self.failed_create = status
        with_context = self.connection.dialect == Dialect.SMB_3_1_1
        return Reply(pack_error(data, with_context=with_context), status)

    # Jobs

    def _submit(self, request: Request, job: Job | Wait) -> JobResult | None:
        """The result of a job done at once; None if `_resume` will be called."""
        opened = request.busy
        if opened is not None:
            opened.jobs += 1

        def done(result: JobResult, now: float) -> None:
            self._resume(request, job, result, now)

        if isinstance(job, Wait):
            job.queue.append(done)
            result = None
            if job.long:
                self._wait_long(request, job, done)
        else:
            job.owner = self.connection
            if request.tree is not None:
                job.store = request.tree.share.store
            result = self.connection.server.runner.submit(job, done)
        if result is None:
            if self.connection.in_flight is None:
                self.connection.in_flight = {}
            self.connection.in_flight[request.header.message_id] = request
        elif opened is not None:
            request.busy = None
            self.connection.server.job_ended(opened, request.now)
        return result

    def _wait_long(
        self, request: Request, wait: Wait, done: Callable[[JobResult, float], None]
    ) -> None:
        """Tell the client that it waits, once (3.3.4.2), and let the wait be ended."""

        def stop(now: float) -> None:
            if done in wait.queue:  # else its turn has come already
                wait.queue.remove(done)
                done(JobResult(error=StatusError(NtStatus.STATUS_CANCELLED)), now)

        request.stop = stop
        if not request.async_id:
            request.async_id = self.connection.new_async_id()
            self.connection.waiting[request.async_id] = request
            self._flush()
            self._interim(request, request.async_id)

    def _after(self, job: Job | Wait, result: JobResult) -> Outcome:
        if result.error is not None:
            if job.failed is not None:
                job.failed()
            raise result.error
        if job.then is not None:
            return job.then(result.value)
        assert isinstance(result.value, Reply)
        return result.value

    def _resume(self, request: Request, job: Job | Wait, result: JobResult, now: float) -> None:
        """A job that was away is back, or a turn has come.

        What follows may give others their turn (a CLOSE ends the wait for an oplock), so this is
        a loop of the server's, never a recursion as deep as clients choose.
        """
        self.connection.server.in_turn(lambda: self._go_on(request, job, result, now))

    def _go_on(self, request: Request, job: Job | Wait, result: JobResult, now: float) -> None:
        """The request is answered, and the chain goes on."""
        connection = self.connection
        request.now = now
        request.stop = None
        if connection.in_flight is not None:
            connection.in_flight.pop(request.header.message_id, None)
        if request.busy is not None:
            opened, request.busy = request.busy, None
            connection.server.job_ended(opened, now)
        try:
            outcome = self._outcome(request, job, result)
            if self._finish(request, outcome):
                self.index += 1
                self.advance(now)
        except (Disconnect, WireError) as error:
            connection.disconnect(str(error))
        except Exception:
            # Nobody above could know whose fault it is, and the request would stay unanswered.
            log.exception("the core failed on a request of client=%s", connection.client)
            connection.disconnect("internal error")

    def _outcome(self, request: Request, job: Job | Wait, result: JobResult) -> Outcome:
        try:
            outcome = self._after(job, result)
            while isinstance(outcome, Job | Wait):
                again = self._submit(request, outcome)
                if again is None:
                    return outcome
                outcome = self._after(outcome, again)
            return outcome
        except (StatusError, WireError) as error:
            return self._error(request, error)

    # Responses

    def _finish(self, request: Request, outcome: Outcome) -> bool:
        """Respond; False if the request's job is away and the chain must wait."""
        if isinstance(outcome, Job | Wait):
            return False
        server = self.connection.server
        if outcome is PARKED:
            self._flush()
            self._interim(request, self.connection.next_async_id - 1)
        else:
            assert not isinstance(outcome, Parked)
            self._respond(request, outcome)
        if request.turn_on is not None:
            self._next_turn(request.turn_on, request.now)
        server.drain(request.now)
        return True

    def _next_turn(self, opened: Open, now: float) -> None:
        """Who had an Open for itself is through: those behind it go on, in order."""
        waiting, opened.turn = opened.turn or [], None
        for done in waiting:
            done(JobResult(), now)

    def _respond(self, request: Request, reply: Reply) -> None:
        header = request.header
        if log.isEnabledFor(logging.DEBUG):
            self._trace(header, reply.status)
        flags = _RESPONSE | (header.flags & _RELATED)
        signer = request.session if request.to_sign else None
        if signer is not None:
            flags |= _SIGNED
        related = header.flags & _RELATED
        session_id = self.session_id if related else header.session_id
        if header.command == Command.SMB2_SESSION_SETUP and request.session is not None:
            session_id = request.session.session_id
        tree_or_async_id = self.tree_id if related else header.tree_id
        if header.command == Command.SMB2_TREE_CONNECT and request.tree is not None:
            tree_or_async_id = request.tree.tree_id
        credits = 0
        if request.async_id:  # the interim response granted them (3.3.4.3)
            flags |= _ASYNC
            tree_or_async_id = request.async_id
            self.connection.waiting.pop(request.async_id, None)
        else:
            credits = self._grant(request, reply.status)
        packed = pack_header(
            header.command,
            header.message_id,
            reply.status,
            flags,
            credits,
            session_id,
            tree_or_async_id,
            header.credit_charge if self.connection.supports_large_mtu else 0,
        )
        response = _Response(packed + reply.body, signer, reply)
        if sum(len(r.message) + 8 for r in self.responses) + len(response.message) > _LARGEST_FRAME:
            self._flush()
        self.responses.append(response)

    def _trace(self, header: Header, status: int) -> None:
        log.debug(
            "request client=%s session=%#x tree=%d mid=%d command=%s status=%s",
            self.connection.client,
            self.session_id,
            self.tree_id,
            header.message_id,
            Command(header.command).name if header.command in dispatch.TABLE else header.command,
            NtStatus(status).name,
        )

    def _grant(self, request: Request, status: int) -> int:
        """Extra credits come with a session: NEGOTIATE and a failed logon get none (3.3.1.2)."""
        command = request.header.command
        extra = command != Command.SMB2_NEGOTIATE and (
            command != Command.SMB2_SESSION_SETUP or status == NtStatus.STATUS_SUCCESS
        )
        return self.connection.credits.grant(request.charge, request.header.credits, extra=extra)

    def _interim(self, request: Request, async_id: int) -> None:
        """STATUS_PENDING (3.3.4.2): never signed, but sealed as the request was."""
        header = request.header
        message = pack_header(
            header.command,
            header.message_id,
            NtStatus.STATUS_PENDING,
            _RESPONSE | _ASYNC,
            self._grant(request, NtStatus.STATUS_PENDING),
            request.valid_session.session_id,
            async_id,
            header.credit_charge if self.connection.supports_large_mtu else 0,
        )
        self.connection.send(message + ERROR_BODY, self.sealed_by)

    def _flush(self) -> None:
        """Send what was answered so far, as one compound (3.3.4.1.3)."""
        responses = self.responses
        if not responses:
            return
        self.responses = []
        parts = []
        last = len(responses) - 1
        for index, response in enumerate(responses):
            message = pad8(response.message) if last else response.message
            if index < last:
                message = (
                    message[:NEXT_COMMAND_AT]
                    + len(message).to_bytes(4, "little")
                    + message[NEXT_COMMAND_AT + 4 :]
                )
            if response.signer is not None:
                message = self.connection.sign(response.signer, message)
            if response.reply.sent is not None:
                response.reply.sent(message)
            parts.append(message)
        payload = parts[0] if len(parts) == 1 else b"".join(parts)
        self.connection.send(payload, self.sealed_by)


def negotiate_from_smb1(connection: Connection, payload: bytes, now: float) -> None:
    """SMB1 NEGOTIATE that offers SMB2 (3.3.5.3): answered in SMB2, MessageId 0."""
    if not connection.credits.take(0, 1):
        raise Disconnect("a second SMB1 NEGOTIATE")
    body = negotiation.answer_smb1(connection, payload, now)
    header = pack_header(
        Command.SMB2_NEGOTIATE, 0, 0, _RESPONSE, connection.credits.grant(1, 1), 0, 0
    )
    connection.send(header + body)
