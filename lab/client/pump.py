"""Waiting: one selector over the host's pipe and every connection, always with a deadline."""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol


class HostGone(Exception):
    """The host closed our stdin: there is nobody left to observe for."""


class Readable(Protocol):
    """What the pump can watch: a file descriptor, and what to do when it has something."""

    def fileno(self) -> int: ...

    def on_readable(self) -> None: ...


class Lines:
    """Complete lines of a pipe, in order; `ended` once the other side has closed it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._partial = b""
        self.ready: deque[str] = deque()
        self.ended = False

    def fileno(self) -> int:
        return self._descriptor

    def on_readable(self) -> None:
        chunk = os.read(self._descriptor, 1 << 16)
        if not chunk:
            self.ended = True
            return
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        self.ready.extend(line.decode() for line in lines)


class Pump:
    """Reads whatever is readable until a condition holds or the deadline has passed."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, source: Readable) -> None:
        self._selector.register(source.fileno(), selectors.EVENT_READ, source)

    def remove(self, source: Readable) -> None:
        self._selector.unregister(source.fileno())

    def until(self, done: Callable[[], bool], seconds: float | None) -> bool:
        """Whether `done` came true in time; `None` waits for ever (for the next job, only)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            for key, _ in self._selector.select(left):
                key.data.on_readable()
        return True
