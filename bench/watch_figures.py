"""How soon `lab watch` shows a change after the server's final response reached its socket.

A relay on the loopback interface between `lab watch` and notify_server takes the time just before
it hands a response on; the line is read from the command's standard output as a script reads it.
The sample contains the relay's write, the client's check of the signature, its next request, the
decoding, the line, and this process waking up. No engine is needed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure
from lab.scenarios.embedded import client_environment, notify_server
from lab.targets import Target

BAR_MS = 5.0
APART_S = 0.01
WARM_UP = 20


class Relay:
    """One connection handed on both ways; `seen` has when the last bytes of the server came."""

    def __init__(self, port: int) -> None:
        self.seen = 0.0
        self._server = socket.create_connection(("127.0.0.1", port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            for each in (client, self._server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._upstream, args=(client,), daemon=True).start()
            while data := self._server.recv(65536):
                now = time.perf_counter()
                # A change's response is recognised by the name in it: interim ones have none.
                if "bench-".encode("utf-16-le") in data:
                    self.seen = now
                client.sendall(data)

    def _upstream(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self._server.sendall(data)

    def close(self) -> None:
        self._listener.close()
        self._server.close()


@contextlib.contextmanager
def watching(target: Target, port: int, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`lab watch` of the share's root through the relay, parked."""
    argv = [
        sys.executable, "-m", "lab.cli", "watch", f"//127.0.0.1:{port}/{target.share}",
        "--user", target.user, "--filter", "names", *words,
    ]  # fmt: skip
    env = {**client_environment(), "LAB_WATCH_PASSWORD": target.password}
    child = subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    try:
        assert child.stdout is not None
        first = child.stdout.readline()
        if "watching" not in first:
            sys.exit(f"lab watch did not start: {first}{child.stdout.read()}")
        yield child
    finally:
        child.terminate()
        child.wait(10)


def shown_after(n: int, *words: str) -> list[float]:
    """Milliseconds of `n` changes, one at a time."""
    samples = []
    with tempfile.TemporaryDirectory() as folder, notify_server(Path(folder)) as (target, _):
        relay = Relay(target.port)
        with contextlib.closing(relay), watching(target, relay.port, *words) as child:
            assert child.stdout is not None
            for number in range(WARM_UP + n):
                name = f"bench-{number}"
                os.close(os.open(Path(target.share_root) / name, os.O_CREAT | os.O_WRONLY))
                line = child.stdout.readline()
                now = time.perf_counter()
                if name not in line:
                    sys.exit(f"lab watch showed {line!r} where {name} was made")
                if number >= WARM_UP:
                    samples.append((now - relay.seen) * 1000)
                time.sleep(APART_S)
    return samples


def measure(n: int = 500) -> list[Figure]:
    """Both forms of output; needs neither engine nor root."""
    how = "final response at a loopback relay before lab watch → line read from its stdout"
    return [
        Figure("lab watch: change shown", "ms", shown_after(n), BAR_MS, how),
        Figure("lab watch --json: change shown", "ms", shown_after(n, "--json"), BAR_MS, how),
    ]
