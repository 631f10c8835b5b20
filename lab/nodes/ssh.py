"""A node reached with SSH: the ksmbd guest, or a host outside the lab. One kept connection each."""

from __future__ import annotations

import logging
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.nodes.model import DEFAULT_DEADLINE_S, Completed, DeadlineExceeded, NodeError, check

CONNECT_TIMEOUT_S = 5.0
_CHUNK = 64 * 1024
# What goes wrong is raised; paramiko's threads would print it beside that, with their tracebacks.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshNode:
    """Runs commands over one SSH connection, made at the first command and again when it broke.

    The guest makes a new host key at each boot and is reached over the loopback interface alone,
    so its host key is accepted as it comes.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        identity: Path,
        *,
        user: str = "root",
        read_log: Callable[[float | None], str] = lambda since: "",
    ) -> None:
        self.name = name
        self._address = (host, port)
        self._user = user
        self._identity = identity
        self._read_log = read_log
        self._connection: Any = None
        self._guard = threading.Lock()

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", deadline: float = DEFAULT_DEADLINE_S
    ) -> Completed:
        # SSH carries one string, which the login shell there splits again.
        return self._run(shlex.join(argv), argv, input, deadline)

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        quoted = shlex.quote(path)
        # umask first, so that a secret is never readable, not even for a moment.
        command = f"umask 077 && cat > {quoted} && chmod {mode:o} {quoted}"
        check(self._run(command, ["put", path], data, DEFAULT_DEADLINE_S), self.name, ["put", path])

    def logs(self, since: float | None = None) -> str:
        return self._read_log(since)

    def close(self) -> None:
        """Close the connection; the next command makes a new one."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _run(self, command: str, argv: Sequence[str], input: bytes, deadline: float) -> Completed:
        import paramiko

        end = time.monotonic() + deadline
        try:
            channel = self._transport(deadline).open_session(timeout=deadline)
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            host, port = self._address
            cause = str(error) or type(error).__name__
            raise NodeError(f"{self.name}: no SSH session at {host}:{port}: {cause}") from None
        with channel:
            try:
                channel.settimeout(deadline)
                channel.exec_command(command)
                if input:
                    channel.sendall(input)
                channel.shutdown_write()
                return self._collect(channel, end)
            except TimeoutError:
                raise DeadlineExceeded(self.name, argv, deadline) from None
            except (OSError, EOFError, paramiko.SSHException) as error:
                self.close()
                raise NodeError(
                    f"{self.name}: the SSH connection broke in `{shlex.join(argv)}`: {error}"
                ) from None

    def _collect(self, channel: Any, end: float) -> Completed:
        """Read both streams to their end, then the exit status; TimeoutError past `end`."""
        out = _read(channel, channel.recv, end)
        # What came on stderr meanwhile waits in paramiko's window (2 MiB).
        err = _read(channel, channel.recv_stderr, end)
        if not channel.status_event.wait(_left(end)):
            raise TimeoutError
        if channel.exit_status < 0:
            raise EOFError("it was closed from the other side")
        return Completed(channel.exit_status, out, err)

    def _transport(self, deadline: float) -> Any:
        with self._guard:
            if self._connection is None or not self._connection.is_connected:
                self._connection = self._connect(min(deadline, CONNECT_TIMEOUT_S))
            return self._connection.transport

    def _connect(self, timeout: float) -> Any:
        from fabric import Config, Connection

        host, port = self._address
        connection = Connection(
            host,
            user=self._user,
            port=port,
            connect_timeout=timeout,
            config=Config(overrides={"load_ssh_configs": False}),
            connect_kwargs={
                "key_filename": str(self._identity),
                "look_for_keys": False,
                "allow_agent": False,
                "banner_timeout": timeout,
                "auth_timeout": timeout,
            },
        )
        connection.open()
        return connection


def _read(channel: Any, receive: Callable[[int], bytes], end: float) -> bytes:
    received = bytearray()
    while True:
        channel.settimeout(_left(end))
        chunk = receive(_CHUNK)
        if not chunk:
            return bytes(received)
        received += chunk


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
