"""`NotifyServer`: the whole server as an asynchronous context manager.

async with NotifyServer(shares={"TEST": "/srv/share"}, users={"tester": "secret"}) as server:
    host, port = server.address
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time
from typing import Final, Self, TextIO

from notify_server.aio.protocol import SmbProtocol
from notify_server.aio.runner import Lane, ThreadRunner
from notify_server.aio.shares import OpenShares, ShareOptions, open_shares
from notify_server.aio.trace import Tracer
from notify_server.auth.ntlm import nt_hash
from notify_server.core.config import Bounds, Config, Encryption, share_table
from notify_server.core.server import Server
from notify_server.fs.access import Credentials
from notify_server.fs.api import FeedBounds
from notify_server.notify.table import Bounds as WatchBounds

log: Final = logging.getLogger("notify_server")

_READ_BUFFER: Final = 1 << 18
_STOP_SECONDS: Final = 5.0
_BACKLOG: Final = 1024
_FEED_PAUSE: Final = 1.0  # seconds without reading a feed that failed


@dataclass(frozen=True, slots=True)
class Options:
    """What `NotifyServer` does unless told otherwise."""

    server_name: str = "NOTIFY"
    watch_source: str = "auto"
    """`inotify`, `fanotify` or `auto`: fanotify where the process may use it."""
    require_signing: bool = False
    encryption: Encryption = Encryption.OFFERED
    allow_anonymous: bool = False
    oplocks: bool = True
    session_seconds: float = 0.0
    session_seconds_of: Mapping[str, float] = field(default_factory=dict)
    """The same for single users."""
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    """Users who have not this process' rights, but those of a uid and its groups."""
    inline_jobs: bool = True
    """Run quick metadata calls on the event loop; False sends every store call to a thread."""
    threads: int = 8
    trace: TextIO | None = None
    """Where to write the functions that handle each request (see `aio.trace`)."""
    bounds: Bounds = field(default_factory=Bounds)
    watch_bounds: WatchBounds = field(default_factory=WatchBounds)
    feed_bounds: FeedBounds = field(default_factory=FeedBounds)


class Hub:
    """What the connections of a running server share on the asyncio side."""

    def __init__(
        self, config: Config, opened: OpenShares, options: Options, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.feed = opened.feed
        threads = options.threads
        lanes = {
            store: Lane(loop, self.flush, threads=threads, inline=False, behind=behind)
            for store, behind in opened.apart.items()
        }
        self.runner = ThreadRunner(
            Lane(loop, self.flush, threads=threads, inline=options.inline_jobs),
            lanes,
            # Where everything is traced, everything runs where the trace is.
            always=options.trace is not None,
        )
        self.core = Server(
            config, self.feed, self.runner, secrets.token_bytes, options.watch_bounds
        )
        self.read_buffer = memoryview(bytearray(_READ_BUFFER))
        self.write_limit = 4 * config.bounds.frame + (1 << 24)
        self.protocols: set[SmbProtocol] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._bounds = config.bounds
        self.most_held = config.bounds.held
        self.peer_seconds = config.bounds.peer_seconds
        self.tracing = Tracer(options.trace) if options.trace is not None else None
        """Records what comes from outside: input of a connection, changes of the feed."""
        self.loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._feed_timer: asyncio.TimerHandle | None = None
        self._read_feed()

    def admit(self, protocol: SmbProtocol) -> bool:
        """Count a new connection in, unless there are too many."""
        if len(self.protocols) >= self._bounds.connections:
            return False
        self.protocols.add(protocol)
        self._empty.clear()
        protocol.timer = self.expect_logon(protocol)
        return True

    def expect_logon(self, protocol: SmbProtocol) -> asyncio.TimerHandle:
        """Look after a while whether anybody logged on."""
        return self.loop.call_later(
            self._bounds.authentication_seconds, protocol.check_authenticated
        )

    def forget(self, protocol: SmbProtocol) -> None:
        """Count a connection out."""
        self.protocols.discard(protocol)
        if not self.protocols:
            self._empty.set()

    def flush(self) -> None:
        """Write what the core queued, on whichever connections, and mind its next deadline."""
        if self._timer is None:
            deadline = self.core.next_deadline()
            if deadline is not None:
                self._timer = self.loop.call_later(max(0.0, deadline - time()), self._tick)
        for connection in self.core.take_dirty():
            owner = connection.owner
            if isinstance(owner, SmbProtocol):
                owner.flush()
        if self.core.notify_log.ends:
            self.core.notify_log.flush()

    def _tick(self) -> None:
        self._timer = None
        self.core.tick(time())
        self.flush()

    def _feed_readable(self) -> None:
        failures = self.core.feed_failures
        if self.tracing is None:
            self.core.drain(time())
        else:
            with self.tracing.record():
                self.core.drain(time())
        self.flush()
        if self.core.feed_failures != failures:
            # What it failed on may still be there, and keep the selector awake.
            self.loop.remove_reader(self.feed.fileno())
            self._feed_timer = self.loop.call_later(_FEED_PAUSE, self._read_feed)

    def _read_feed(self) -> None:
        self._feed_timer = None
        self.loop.add_reader(self.feed.fileno(), self._feed_readable)

    async def stop(self) -> None:
        """End all sessions, which completes parked notifies with CLEANUP, and close."""
        now = time()
        for protocol in list(self.protocols):
            connection = protocol.connection
            if connection is not None:
                for session in list(connection.sessions.values()):
                    connection.end_session(session, now)
                connection.disconnect("the server stops")
        self.flush()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), _STOP_SECONDS)
        for protocol in list(self.protocols):
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.sleep(0)
        for timer in (self._timer, self._feed_timer):
            if timer is not None:
                timer.cancel()
        self.loop.remove_reader(self.feed.fileno())
        if not await self.loop.run_in_executor(None, self.runner.close):
            self.feed.close()


class NotifyServer:
    """An SMB2 server for directories of this machine.

    `shares` maps names to directories or ShareOptions; `users` maps names to passwords, or to NT
    hashes as 16 bytes. `listen` is (host, port); port 0 takes a free one, see `address`.
    """

    def __init__(
        self,
        shares: Mapping[str, str | os.PathLike[str] | ShareOptions],
        users: Mapping[str, str | bytes],
        listen: tuple[str, int] = ("127.0.0.1", 0),
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        self.listen = listen
        self._shares = {
            name: share if isinstance(share, ShareOptions) else ShareOptions(share)
            for name, share in shares.items()
        }
        self._users = {
            name.lower(): secret if isinstance(secret, bytes) else nt_hash(secret)
            for name, secret in users.items()
        }
        self._hub: Hub | None = None
        self._listener: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens; once it runs."""
        if self._listener is None:
            raise RuntimeError("the server does not run")
        host, port = self._listener.sockets[0].getsockname()[:2]
        return str(host), int(port)

    @property
    def watch_source(self) -> str:
        """The source of changes that is in use: `inotify` or `fanotify`."""
        if self._hub is None:
            raise RuntimeError("the server does not run")
        return self._hub.feed.name

    async def start(self) -> None:
        """Open the shares and listen."""
        options = self.options
        opened = open_shares(self._shares, options.watch_source, options.feed_bounds)
        try:
            config = Config(
                shares=share_table(*opened.shares),
                users=self._users,
                server_guid=uuid.uuid4().bytes_le,
                server_name=options.server_name,
                require_signing=options.require_signing,
                encryption=options.encryption,
                allow_anonymous=options.allow_anonymous,
                oplocks=options.oplocks,
                session_seconds=options.session_seconds,
                session_seconds_of={
                    name.lower(): seconds for name, seconds in options.session_seconds_of.items()
                },
                credentials={name.lower(): who for name, who in options.credentials.items()},
                bounds=options.bounds,
            )
            loop = asyncio.get_running_loop()
            hub = Hub(config, opened, options, loop)
        except BaseException:
            opened.feed.close()
            raise
        self._hub = hub
        try:
            self._listener = await loop.create_server(
                lambda: SmbProtocol(hub), *self.listen, backlog=_BACKLOG
            )
        except BaseException:
            await hub.stop()
            raise
        log.info("listening address=%s:%d watch_source=%s", *self.address, hub.feed.name)

    async def stop(self) -> None:
        """Stop listening, tell the clients, close everything."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._hub is not None:
            hub, self._hub = self._hub, None
            await hub.stop()
            log.info("stopped")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.stop()
