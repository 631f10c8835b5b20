"""What the connections of a server share: sessions, the watch table, the change feed, locks.

A change made through one connection completes requests parked on others, so completions go
through here: `drain` takes what the feed has, and the connections concerned put final responses
into their outboxes. Whoever runs the core empties the outboxes that `take_dirty` names.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from notify_server.core.config import Config
from notify_server.core.connection import Connection
from notify_server.core.locks import LockTable
from notify_server.core.model import Open, ParkedRequest, Session
from notify_server.core.notify_log import NotifyLog
from notify_server.core.oplocks import OplockTable
from notify_server.core.outcome import Job, JobResult, run
from notify_server.fs.api import Feed
from notify_server.notify.change import ChangesLost
from notify_server.notify.table import Bounds as WatchBounds
from notify_server.notify.table import Completion, WatchTable
from notify_server.wire.change_notify import pack_change_notify_response
from notify_server.wire.constants import UNUSED_MESSAGE_ID, Command, HeaderFlags
from notify_server.wire.error import ERROR_BODY
from notify_server.wire.header import pack_header
from notify_server.wire.oplock_break import pack_oplock_break
from notify_server.wire.status import NtStatus, StatusError

log: Final = logging.getLogger("notify_server")

# 3.3.4.4: these travel in a CHANGE_NOTIFY body, every other status in an ERROR body.
_WITH_BODY: Final = frozenset({NtStatus.STATUS_SUCCESS, NtStatus.STATUS_NOTIFY_ENUM_DIR})


class Runner(Protocol):
    """Who does jobs. `submit` returns the result of a job done on the spot, else None.

    In the second case `done` is called later, where the core runs, with the time.
    """

    def submit(self, job: Job, done: Callable[[JobResult, float], None]) -> JobResult | None: ...


class InlineRunner:
    """Does every job on the spot: for tests, and for stores that never block."""

    def submit(self, job: Job, done: Callable[[JobResult, float], None]) -> JobResult | None:
        return run(job)


class Server:
    """The shared part of all connections. Not thread-safe: one thread runs the core."""

    def __init__(
        self,
        config: Config,
        feed: Feed,
        runner: Runner,
        random: Callable[[int], bytes],
        watch_bounds: WatchBounds | None = None,
    ) -> None:
        self.config = config
        self.feed = feed
        self.runner = runner
        self.random = random
        self.watches = WatchTable(watch_bounds) if watch_bounds else WatchTable()
        self.locks = LockTable(config.bounds.locks)
        self.oplocks = OplockTable(self._notify_break)
        self.notify_log = NotifyLog()
        self.sessions: dict[int, Session] = {}
        self.handles = 0
        """Of stores: open, being opened or being closed."""
        self.held = 0
        """Bytes that connections hold of what came and is not done with."""
        self.listed = 0
        """Names that listings hold."""
        self._next_open = 1
        self._dirty: dict[Connection, None] = {}
        self._turns: deque[Callable[[], None]] = deque()
        self._turning = False
        self.feed_failures = 0

    # Connections and what they write

    def connect(self, client: str) -> Connection:
        """A new connection; `client` names the peer in the log."""
        return Connection(self, client)

    def mark_dirty(self, connection: Connection) -> None:
        """`connection` has something in its outbox, or wants to be closed."""
        self._dirty[connection] = None

    def take_dirty(self) -> Iterable[Connection]:
        """Connections whose outbox must be sent; asked for after each call into the core.

        Last first: the answer to who made a change is queued before the news of it, and it is
        the watchers that wait for news.
        """
        if not self._dirty:
            return ()
        dirty = self._dirty
        self._dirty = {}
        return reversed(dirty)

    # Sessions and opens

    def new_session(self, connection: Connection) -> Session:
        """A session with an id that is not in use. It is no secret: keys are what protects."""
        if len(self.sessions) >= self.config.bounds.all_sessions:
            raise StatusError(NtStatus.STATUS_REQUEST_NOT_ACCEPTED)
        while True:
            session_id = int.from_bytes(self.random(4), "little")
            if session_id and session_id not in self.sessions:
                break
        session = Session(session_id, connection)
        self.sessions[session_id] = session
        return session

    def next_open_number(self) -> int:
        """Numbers of Opens are never used twice."""
        number = self._next_open
        self._next_open += 1
        return number

    def close_open(self, opened: Open, now: float) -> None:
        """Close an Open and all that hangs on it; its jobs under way end first."""
        if opened.closed:
            return
        opened.closed = True
        opened.tree.session.opens.pop(opened.number, None)
        self.complete(self.watches.close(opened), now)
        for waiting in self.locks.abandon(opened):
            waiting.connection.finish_parked(
                waiting, NtStatus.STATUS_RANGE_NOT_LOCKED, ERROR_BODY, now
            )
        self.release_locks(opened, now)
        self.oplocks.remove(opened)
        self.drop_listing(opened)
        opened.closing = []
        if not opened.jobs:
            self._close_handle(opened, now)

    def job_ended(self, opened: Open, now: float) -> None:
        """A job on an Open is over; if the Open was closed meanwhile, its handle goes now."""
        opened.jobs -= 1
        if opened.closed and not opened.jobs:
            self._close_handle(opened, now)

    def _close_handle(self, opened: Open, now: float) -> None:
        store, handle = opened.store, opened.handle

        def closed(result: JobResult, now: float) -> None:
            self.handles -= 1
            self.drain(now)
            waiting, opened.closing = opened.closing or [], None
            for done in waiting:
                done(JobResult(), now)
            self.oplocks.closed(opened, now)

        done = self.runner.submit(Job(lambda: store.close(handle), store=store), closed)
        if done is not None:
            closed(done, now)

    def drop_listing(self, opened: Open) -> None:
        """Forget the names of an Open's listing."""
        if opened.listing is not None:
            self.listed -= len(opened.listing.names)
            opened.listing = None

    def release_locks(self, opened: Open, now: float) -> None:
        """Drop an Open's byte-range locks and grant what waited for them."""
        self.grant_waiting(self.locks.release(opened), now)

    def grant_waiting(self, granted: Iterable[ParkedRequest], now: float) -> None:
        """LOCK requests that a release let through."""
        for parked in granted:
            parked.connection.finish_parked(parked, NtStatus.STATUS_SUCCESS, b"\x04\0\0\0", now)

    def _notify_break(self, opened: Open, level: int) -> None:
        """SMB2 OPLOCK_BREAK Notification (3.3.4.6): not signed; sealed if the session must be."""
        session = opened.tree.session
        header = pack_header(
            Command.SMB2_OPLOCK_BREAK,
            UNUSED_MESSAGE_ID,
            NtStatus.STATUS_SUCCESS,
            HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR,
            0,
            0,
            0,
        )
        message = header + pack_oplock_break(level, opened.file_id)
        session.connection.send(message, session if session.encrypt_data else None)

    def in_turn(self, work: Callable[[], None]) -> None:
        """Do `work` now, or, if it is asked for by such work, once that is done."""
        self._turns.append(work)
        if self._turning:
            return
        self._turning = True
        try:
            while self._turns:
                self._turns.popleft()()
        finally:
            self._turning = False

    # Time

    def next_deadline(self) -> float | None:
        """When `tick` should be called, if ever."""
        return self.oplocks.next_deadline() if self.oplocks.breaking else None

    def tick(self, now: float) -> None:
        """Do what is due."""
        self.oplocks.expire(now)

    # Changes

    def drain(self, now: float) -> None:
        """Publish what the feed has, and complete what that completes."""
        try:
            events = self.feed.drain()
        except Exception:
            # Nobody knows what was lost: rather have everybody enumerate than wait in vain.
            log.exception("the change feed failed; all watchers are told to enumerate")
            events = [ChangesLost()]
            self.feed_failures += 1
        for event in events:
            completions = self.watches.publish(event)
            if completions:
                self.complete(completions, now)

    def complete(self, completions: Iterable[Completion], now: float) -> None:
        """Send final CHANGE_NOTIFY responses."""
        logged = self.notify_log.wanted
        body, packed = b"", None  # watchers that are told the same share the bytes of it
        for parked, status, buffer in completions:
            assert isinstance(parked, ParkedRequest)
            if status not in _WITH_BODY:
                parked.connection.finish_parked(parked, status, ERROR_BODY, now)
            else:
                if buffer is not packed:
                    body, packed = pack_change_notify_response(buffer), buffer
                parked.connection.finish_parked(parked, status, body, now)
            if logged:
                self.notify_log.add(parked, status, len(buffer), now)
