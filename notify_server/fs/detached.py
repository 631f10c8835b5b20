"""Feeds of file systems that may hang, beside the one that never does.

Reading a source of changes looks at the disk now and then: a directory that appears in a watched
tree is listed. So such a feed is drained in a thread of its own, and by the threads that do jobs
on its store; the server's loop takes what they found and never waits for them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from notify_server.fs.api import Feed
from notify_server.notify.change import ChangesLost, Event

log: Final = logging.getLogger("notify_server.fs")

_PAUSE: Final = 1.0  # seconds after a failure
_PATIENCE: Final = 1.0  # seconds for the thread to end


class DetachedFeed:
    """Implements `api.Feed` over another one, which only threads touch. Each event comes once, in
    the order in which the other one had it."""

    def __init__(self, feed: Feed) -> None:
        self.name = feed.name
        self._feed = feed
        self._ready: deque[Event] = deque()
        self._order = threading.Lock()
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._watch, name="notify-feed", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        return self._wake

    def drain(self) -> list[Event]:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        events: list[Event] = []
        with contextlib.suppress(IndexError):
            while True:
                events.append(self._ready.popleft())
        return events

    def pump(self) -> None:
        """Take what the feed has. May take as long as the file system does."""
        with self._order:
            if self._closed:
                return
            try:
                events = self._feed.drain()
            except Exception:
                log.exception("a change feed failed; all watchers are told to enumerate")
                events = [ChangesLost()]
                time.sleep(_PAUSE)
            if events:
                self._ready += events
                os.eventfd_write(self._wake, 1)

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._feed.fileno(), select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while not any(fd == self._stop for fd, _ in poll.poll()):
            self.pump()

    def close(self) -> None:
        """A thread that hangs keeps its descriptors until the process ends."""
        os.eventfd_write(self._stop, 1)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive() or not self._order.acquire(timeout=_PATIENCE):
            log.warning("watch: a file system hangs; its feed is left behind")
            return
        self._closed = True
        self._order.release()
        self._feed.close()
        os.close(self._stop)
        os.close(self._wake)


class JointFeed:
    """Several feeds as one; implements `api.Feed`."""

    def __init__(self, first: Feed, others: Sequence[Feed]) -> None:
        self.name = first.name
        self._feeds = (first, *others)
        self._epoll = select.epoll()
        for feed in self._feeds:
            self._epoll.register(feed.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def drain(self) -> list[Event]:
        return [event for feed in self._feeds for event in feed.drain()]

    def close(self) -> None:
        self._epoll.close()
        for feed in self._feeds:
            feed.close()
