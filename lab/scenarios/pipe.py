"""The two-way line pipe to an interpreter, and the one to a local process."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class PipeClosed(Exception):
    """The interpreter's end is closed; the message is the last that it said on stderr."""


class Pipe(Protocol):
    """What the runner needs of an interpreter's stdin and stdout."""

    def write_line(self, line: str) -> None:
        """Raises `PipeClosed`."""
        ...

    def read_line(self, deadline_s: float) -> str:
        """The next line; raises `TimeoutError` after the deadline, `PipeClosed` at the end."""
        ...

    def close(self) -> int | None:
        """End the interpreter, by force if need be; its exit code if it is known."""
        ...


class ProcessPipe:
    """A local child process. It gets its own session: the terminal's Ctrl-C is ours to handle."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        self._lines: deque[str] = deque()
        self._partial = b""
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def write_line(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._closed() from error

    def read_line(self, deadline_s: float) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + deadline_s
        while not self._lines:
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise TimeoutError(f"the interpreter said nothing for {deadline_s:g} s")
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._closed()
            *lines, self._partial = (self._partial + chunk).split(b"\n")
            self._lines.extend(line.decode() for line in lines)
        return self._lines.popleft()

    def _closed(self) -> PipeClosed:
        self.close()
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode(errors="backslashreplace").strip()
        return PipeClosed(said.splitlines()[-1] if said else "the interpreter ended")

    def close(self) -> int | None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died with something unwritten; its exit code tells
            self._process.stdin.close()
        try:
            return self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(timeout=5.0)
