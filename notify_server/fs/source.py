"""What sources of changes have in common: what they found, and what they could not watch.

A watch that cannot be had is never silence: those who watch are told that changes were lost, at
once, and again at each retry until it can be had.
"""

from __future__ import annotations

import logging
import select

from notify_server.fs.api import FeedBounds, FeedStatistics
from notify_server.fs.feed import Operation
from notify_server.fs.names import to_wire
from notify_server.fs.timer import Timer
from notify_server.notify.change import ChangesLost, Event

log = logging.getLogger("notify_server.fs")

_REMEMBERED = 16  # failures


class RetryingSource:
    """Readable when the kernel has something (`queue` is), or when a retry is due."""

    def __init__(self, bounds: FeedBounds | None, queue: int) -> None:
        self.bounds = bounds or FeedBounds()
        self.statistics = FeedStatistics()
        self._out: list[Event | Operation] = []
        self._waiting = False  # for the timer
        self._timer = Timer()
        self._epoll = select.epoll()
        self._epoll.register(queue, select.EPOLLIN)
        self._epoll.register(self._timer.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()
        self._timer.close()

    def _degrade(self, path: str, what: str) -> None:
        """`what` went wrong: whoever watches `path` must enumerate, now and at the retry."""
        message = f"watch: {what}; told to enumerate, again in {self.bounds.retry_seconds:g} s"
        log.warning("%s", message)
        self.statistics.failures.append(message)
        del self.statistics.failures[:-_REMEMBERED]
        self._out.append(ChangesLost(to_wire(path)))
        self._timer.set(self.bounds.retry_seconds)
        self._waiting = True

    def _found(self) -> list[Event | Operation]:
        """What is to be handed on, after the retry if one is due."""
        if self._waiting and self._timer.expired():
            self._waiting = False
            self._retry()
        out, self._out = self._out, []
        return out

    def _retry(self) -> None:
        """Try again what could not be watched; until it can be, its watchers must enumerate."""
        raise NotImplementedError
