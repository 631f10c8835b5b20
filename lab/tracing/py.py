"""Tracing py: a second notify_server in its container, with `--trace`, on a port of its own.

The one that serves is left alone: its clients stay connected and it costs them nothing. The second
serves the same share with the same arguments for as long as our end of its shell's stdin is open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from lab.errors import LabFailed
from lab.nodes.model import Node
from lab.tracing import notify_server
from lab.tracing.model import Trace

PORT = 4450
READY_S = 15.0
FILE = "/tmp/notify-lab.trace"  # noqa: S108 - the container's own
# `timeout` as a net: whatever happens to this side, the second server ends.
LONGEST_S = 3600
_START = f"""
set --
while IFS= read -r argument; do set -- "$@" "$argument"; done </etc/lab/arguments
timeout {LONGEST_S} /opt/venv/bin/python3 -m notify_server "$@" \\
    --listen 0.0.0.0:{PORT} --trace {FILE} >&2 &
server=$!
trap 'kill $server 2>/dev/null; exit 0' TERM INT HUP
echo $server
read -r _
kill $server 2>/dev/null
wait $server
"""


class Pipe(Protocol):
    """A process in the container, as `lab.engine.pipe.Pipe` holds it."""

    @property
    def stderr(self) -> str: ...

    def read_line(self, deadline_s: float) -> str: ...

    def close(self, deadline_s: float = 5.0) -> int | None: ...


class PyTracer:
    """A traced notify_server beside the one that serves."""

    port = PORT

    def __init__(self, server: str, node: Node, open_pipe: Callable[[Sequence[str]], Pipe]) -> None:
        self._server = server
        self._node = node
        self._open_pipe = open_pipe
        self._pipe: Pipe | None = None

    def start(self) -> None:
        self._pipe = self._open_pipe(["sh", "-c", _START])
        self._pipe.read_line(READY_S)
        probe = f"import socket; socket.create_connection(('127.0.0.1', {PORT}), 1).close()"
        end = time.monotonic() + READY_S
        while self._node.run(["python3", "-c", probe]).returncode != 0:
            if time.monotonic() > end:
                raise LabFailed(
                    f"{self._server}: the traced notify_server does not answer: "
                    f"{self._pipe.stderr.strip()[-500:] or 'it says nothing'}",
                    "lab logs py",
                )
            time.sleep(0.1)

    def stop(self) -> Trace:
        if self._pipe is None:
            return Trace(self._server)
        pipe, self._pipe = self._pipe, None
        pipe.close()
        done = self._node.run(["cat", FILE], deadline=60)
        self._node.run(["rm", "-f", FILE])
        return Trace(self._server, notify_server.HOW, tuple(notify_server.parse(done.text)))
