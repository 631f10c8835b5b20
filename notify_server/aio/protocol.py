"""One socket's side of a connection. A BufferedProtocol: all connections share one read buffer."""

from __future__ import annotations

import asyncio
import logging
import socket
from time import time
from typing import TYPE_CHECKING, Final, cast

from notify_server.core.connection import Connection

if TYPE_CHECKING:
    from notify_server.aio.server import Hub

log: Final = logging.getLogger("notify_server.connection")

_PROBES: Final = 4  # unanswered ones after which the peer is gone
_MOST: Final = 32767  # seconds that the kernel takes for each
_LINGER: Final = 5.0  # seconds for a client to read what was sent before the server closed


class SmbProtocol(asyncio.BufferedProtocol):
    """Hands bytes to the core and writes what it answers."""

    __slots__ = ("connection", "full", "hub", "paused", "timer", "transport")

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.connection: Connection | None = None
        self.transport: asyncio.Transport | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.paused = False  # the client does not read
        self.full = False  # too much of what it sent is under way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, or close at once when there are too many."""
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        client = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "local"
        if not self.hub.admit(self):
            log.warning("too many connections: client=%s refused", client)
            self.transport.abort()
            return
        self._mind_peer()
        self.connection = self.hub.core.connect(client)
        self.connection.owner = self

    def _mind_peer(self) -> None:
        """Have the kernel find out when the other machine is gone without a word: a client that
        only watches sends nothing, so nothing else would."""
        assert self.transport is not None
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        seconds = self.hub.peer_seconds
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_KEEPIDLE, seconds / 2),
            (socket.TCP_KEEPINTVL, seconds / 2 / _PROBES),
            (socket.TCP_KEEPCNT, _PROBES),
        ):
            sock.setsockopt(socket.IPPROTO_TCP, option, max(1, min(int(value), _MOST)))

    def get_buffer(self, sizehint: int) -> memoryview:
        """The loop reads into it and calls `buffer_updated` before it reads for anyone else."""
        return self.hub.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        connection = self.connection
        if connection is None:
            return
        try:
            if self.hub.tracing is None:
                connection.receive(self.hub.read_buffer[:nbytes], time())
            else:
                with self.hub.tracing.record():
                    connection.receive(self.hub.read_buffer[:nbytes], time())
        except Exception:
            log.exception("the core failed on input of client=%s", connection.client)
            connection.disconnect("internal error")
        if connection.held > self.hub.most_held and not self.full:
            self.full = True
            self._read_or_wait()
        self.hub.flush()

    def _read_or_wait(self) -> None:
        """Read from the socket unless the client does not read, or too much is under way."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.paused or self.full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def flush(self) -> None:
        """Write the outbox; close once the core wants that."""
        connection, transport = self.connection, self.transport
        if connection is None or transport is None:
            return
        output = connection.take_output()
        if output and not transport.is_closing():
            transport.write(output[0] if len(output) == 1 else b"".join(output))
            if self.paused and transport.get_write_buffer_size() > self.hub.write_limit:
                connection.disconnect("the client does not read")
                transport.abort()
                return
        if self.full and connection.held <= self.hub.most_held // 2:
            self.full = False
            self._read_or_wait()
        if self.timer is None and not connection.authenticated:
            # Everybody logged off; who does not log on again has no business here.
            self.timer = self.hub.expect_logon(self)
        if connection.closing and not transport.is_closing():
            transport.close()
            if transport.get_write_buffer_size():
                # Who does not read its last answers would keep the socket for ever.
                self.hub.loop.call_later(_LINGER, transport.abort)

    def pause_writing(self) -> None:
        """A client that does not read its answers may not ask for more."""
        self.paused = True
        self._read_or_wait()
        if self.connection is not None:
            self.hub.runner.hold(self.connection)

    def resume_writing(self) -> None:
        """It reads again."""
        self.paused = False
        self._read_or_wait()
        if self.connection is not None:
            self.hub.runner.release(self.connection)

    def eof_received(self) -> bool:
        """Nothing more comes, so nothing more can be asked: close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.hub.forget(self)
        self.transport = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.connection is not None:
            self.hub.runner.forget(self.connection)
            self.connection.lost(time())
            self.connection.owner = None
            self.connection = None
        self.hub.flush()

    def check_authenticated(self) -> None:
        """Called when the time to log on is over."""
        self.timer = None
        if self.connection is not None and not self.connection.authenticated:
            self.connection.disconnect("nobody logged on in time")
            self.hub.flush()
