"""One process in a container and our end of its stdin, stdout and stderr."""

from __future__ import annotations

import select
import socket as sockets
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from lab.engine.stream import Demultiplexer
from lab.scenarios.pipe import PipeClosed

CHUNK = 65536
EXIT_CODE_DEADLINE_S = 2.0


class ExecSocket:
    """The connection of an exec. TimeoutError from whatever is not done by its deadline."""

    def __init__(
        self,
        connection: sockets.socket,
        returncode: Callable[[], int | None],
        early: bytes = b"",
        keep: object = None,
    ) -> None:
        self._connection = connection
        self._returncode = returncode
        self._keep = keep  # what would close the connection if it were collected
        self.streams = Demultiplexer()
        self.streams.feed(early)
        self.ended = False
        connection.setblocking(False)

    @classmethod
    def adopt(cls, stream: Any, returncode: Callable[[], int | None]) -> ExecSocket:
        """Take over what docker-py returns for `exec_start(socket=True)`.

        It hands out the bare socket under a buffered reader that read the HTTP header, and with it
        maybe the first output of a quick command: that has to be fetched from the buffer.
        """
        connection: sockets.socket = getattr(stream, "_sock", stream)
        connection.setblocking(False)
        early = b""
        response = getattr(stream, "_response", None)
        with suppress(AttributeError, OSError, ValueError):
            early = bytes(response.raw._fp.fp.peek())  # type: ignore[union-attr]
        return cls(connection, returncode, early, (stream, response))

    def __enter__(self) -> ExecSocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the process sees the end of its stdin."""
        with suppress(OSError):
            self._connection.shutdown(sockets.SHUT_RDWR)
        self._connection.close()

    def _wait(self, end: float, *, write: bool = False) -> None:
        left = end - time.monotonic()
        poll = select.poll()
        # A writer waits for room or for something to read: a process that is not listened to
        # while it is told things stops listening itself.
        poll.register(self._connection, select.POLLIN | (select.POLLOUT if write else 0))
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError

    def write(self, data: bytes, end: float) -> None:
        """Write all of `data` to the process's stdin, reading what it says meanwhile."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._connection.send(view) :]
            except BlockingIOError:
                if not self._read_available():
                    self._wait(end, write=True)
                if self.ended:
                    raise BrokenPipeError from None

    def end_input(self) -> None:
        """Close the process's stdin."""
        with suppress(OSError):
            self._connection.shutdown(sockets.SHUT_WR)

    def _read_available(self) -> bool:
        """Read once; return whether something came. Sets `ended` at the end of the stream."""
        try:
            data = self._connection.recv(CHUNK)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        self.ended = not data
        self.streams.feed(data)
        return bool(data)

    def read_some(self, end: float) -> None:
        """Wait until something came, or the stream ended."""
        while not self.ended and not self._read_available():
            if not self.ended:
                self._wait(end)

    def returncode(self) -> int:
        """Return the exit code; the engine knows it a moment after the stream ended."""
        end = time.monotonic() + EXIT_CODE_DEADLINE_S
        while (code := self._returncode()) is None:
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.005)
        return code

    def communicate(self, data: bytes | None, timeout: float) -> tuple[bytes, bytes, int]:
        """Write, read to the end, return stdout, stderr and the exit code."""
        end = time.monotonic() + timeout
        if data is not None:
            with suppress(BrokenPipeError):  # it need not read all of its stdin
                self.write(data, end)
            self.end_input()
        while not self.ended:
            self.read_some(end)
        return bytes(self.streams.stdout), bytes(self.streams.stderr), self.returncode()


class Pipe:
    """A process to talk to line by line."""

    def __init__(self, connection: ExecSocket) -> None:
        self._connection = connection

    @property
    def stderr(self) -> str:
        """What the process wrote to stderr so far."""
        return self._connection.streams.stderr.decode(errors="replace")

    def write_line(self, line: str, deadline_s: float = 10.0) -> None:
        """Write one line to stdin; PipeClosed if the process is gone or does not take it."""
        try:
            self._connection.write(line.encode() + b"\n", time.monotonic() + deadline_s)
        except (OSError, TimeoutError) as error:
            raise self._closed() from error

    def read_line(self, deadline_s: float) -> str:
        """Return the next line of stdout without its newline.

        TimeoutError if none came within `deadline_s`; PipeClosed when the process has ended.
        """
        end = time.monotonic() + deadline_s
        while (line := self._connection.streams.take_line()) is None:
            if self._connection.ended:
                raise self._closed()
            self._connection.read_some(end)
        return line.decode(errors="replace").rstrip("\n")

    def _closed(self) -> PipeClosed:
        said = self.stderr.strip().splitlines()
        return PipeClosed(said[-1] if said else "the process ended")

    def close(self, deadline_s: float = 5.0) -> int | None:
        """Close stdin, wait for the end, return the exit code; None if it does not end in time."""
        end = time.monotonic() + deadline_s
        self._connection.end_input()
        try:
            while not self._connection.ended:
                self._connection.read_some(end)
            return self._connection.returncode()
        except TimeoutError:
            return None
        finally:
            self._connection.close()
