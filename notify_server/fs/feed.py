"""The change feed: what was done over SMB and what was seen beside it, in one order, once each.

A store wraps whatever changes something into `with feed.operation() as op:`. Before each system
call it says which events the kernel will show a source for it (`op.expect`), and afterwards what
really happened (`op.happened`), with its exact class, which no kernel event carries. When the
operation ends, the source is read until it is empty. The kernel queues an event before the system
call that caused it returns, so every echo of the operation has been read then: what was expected
and came is dropped, once for each expectation; what was expected and did not come (nobody watches
there, or the kernel merged it with an equal event before it) is forgotten with the operation.
Nothing is kept that could swallow somebody else's change later. A system call that fails makes no
event: its expectation is withdrawn (`op.call`), for what made it fail may be the same change, made
beside the server.

The operation's events take the place of its first echo, so a change made beside the server just
before or just after keeps its place in the order.

What remains: a change beside the server, of the same kind and to the same name, while the system
call runs. It may be the one that is dropped. The operation's own record then stands for both, and
it is delivered after both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntFlag
from types import TracebackType
from typing import Protocol, Self

from notify_server.fs.api import FeedStatistics
from notify_server.fs.names import to_wire
from notify_server.notify.change import ChangesLost, Event

Echo = tuple[str, str, int]
"""Directory as on disk, name as on disk, Kind: an event as an operation expects it."""


class Kind(IntFlag):
    """What a source can tell of a name; values are inotify's."""

    MODIFY = 0x002
    ATTRIB = 0x004
    MOVED_FROM = 0x040
    MOVED_TO = 0x080
    CREATE = 0x100
    DELETE = 0x200


class Operation:
    """One change to files, as a context manager; see the module."""

    __slots__ = ("_feed", "events", "expected")

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed
        self.expected: list[Echo] = []
        self.events: list[Event] = []

    def expect(self, directory: str, name: str, kind: Kind) -> None:
        """The next system call makes this event, if the directory (as on disk) is watched."""
        echo = (directory, name, int(kind))
        self.expected.append(echo)
        self._feed.echoes.add(echo, self)

    @contextmanager
    def call(self, *echoes: Echo) -> Iterator[None]:
        """Expect these events of the one system call in the block; none of them if it fails."""
        for directory, name, kind in echoes:
            self.expect(directory, name, Kind(kind))
        try:
            yield
        except OSError:
            for echo in echoes:
                self.expected.remove(echo)
                if not self._feed.echoes.withdraw(echo, self):
                    # Somebody else's change was taken for it; which one it was is not known now.
                    self.happened(ChangesLost(to_wire(echo[0])))
            raise

    def happened(self, *events: Event) -> None:
        """The change is made; this is what clients are to be told."""
        self.events.extend(events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._feed.finish(self)


class Echoes:
    """Events that operations under way will cause. Lists, for two may expect the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: dict[Echo, list[Operation]] = {}

    def add(self, echo: Echo, operation: Operation) -> None:
        with self._lock:
            self._expected.setdefault(echo, []).append(operation)

    def take(self, directory: str, name: str, kind: int) -> Operation | None:
        """The operation whose echo this event is, or None if somebody else caused it."""
        if not self._expected:
            return None
        with self._lock:
            echo = (directory, name, kind)
            operations = self._expected.get(echo)
            if operations is None:
                return None
            operation = operations.pop(0)
            if not operations:
                del self._expected[echo]
            return operation

    def withdraw(self, echo: Echo, operation: Operation) -> bool:
        """Expect it no more; False if it came already."""
        with self._lock:
            operations = self._expected.get(echo)
            if operations is None or operation not in operations:
                return False
            operations.remove(operation)
            if not operations:
                del self._expected[echo]
            return True

    def retire(self, operation: Operation) -> None:
        for echo in operation.expected:
            self.withdraw(echo, operation)

    def __len__(self) -> int:
        return len(self._expected)


class Watched(Protocol):
    """One handle's part in the watching; follows the directory when it is renamed."""

    @property
    def path(self) -> str: ...


class Source(Protocol):
    """Sees what happens to names in watched directories. Always called under the feed's lock."""

    name: str
    statistics: FeedStatistics

    def fileno(self) -> int: ...

    def read(self, echoes: Echoes) -> Sequence[Event | Operation]:
        """All that the kernel has; an operation stands where its echo was."""

    def watch(self, path: str, fd: int, tree: bool, root: str) -> Watched:
        """Watch the directory `fd`, which is at `path` in the share that starts at `root`.

        What is below it waits for `extend`.
        """

    def unwatch(self, watched: Watched) -> None: ...

    def extend(self) -> bool:
        """Watch some more of what is below new WATCH_TREE directories; False if all is."""

    def close(self) -> None: ...


class ChangeFeed:
    """One for a server; thread-safe. Implements `api.Feed`."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.echoes = Echoes()
        self._source = source
        self._lock = threading.Lock()
        self._ready: list[Event | Operation] = []
        self._watched = 0

    # For the stores

    @property
    def idle(self) -> bool:
        """Nobody watches anything: nothing needs to be told."""
        return not self._watched

    def operation(self) -> Operation:
        return Operation(self)

    def finish(self, operation: Operation) -> None:
        """The operation's system calls are made: settle its echoes, line up its events."""
        if not operation.expected and not operation.events:
            return
        with self._lock:
            if self._watched:
                self._ready += self._source.read(self.echoes)
                self._line_up(operation)
        self.echoes.retire(operation)

    def _line_up(self, operation: Operation) -> None:
        if self._ready == [operation]:  # its echo, and nobody else's event
            self._ready[:] = operation.events
            return
        if operation not in self._ready:
            self._ready += operation.events
            return
        first = self._ready.index(operation)
        rest = [item for item in self._ready[first:] if item is not operation]
        self._ready[first:] = [*operation.events, *rest]

    def tell(self, *events: Event) -> None:
        """Something happened that has no echo."""
        with self._lock:
            if self._watched:
                self._ready += self._source.read(self.echoes)
                self._ready += events

    def watch(self, path: str, fd: int, tree: bool, root: str) -> Watched:
        """Returns when all of a tree is watched; others may use the feed meanwhile."""
        with self._lock:
            # What is queued is older than this watch, and of its namesakes at best.
            self._ready += self._source.read(self.echoes)
            watched = self._source.watch(path, fd, tree, root)
            self._watched += 1
        more = tree
        while more:
            with self._lock:
                more = self._source.extend()
            time.sleep(0)  # who waits for the lock is to get it
        return watched

    def unwatch(self, watched: Watched) -> None:
        with self._lock:
            self._watched -= 1
            self._source.unwatch(watched)
            if not self._watched:
                self._ready.clear()

    # For the server's loop

    def fileno(self) -> int:
        return self._source.fileno()

    def drain(self) -> list[Event]:
        with self._lock:
            # Also without a watch: what its end left in the queue keeps the loop's selector awake.
            read = self._source.read(self.echoes)
            if self._watched:
                self._ready += read
            if not self._ready:
                return []
            # An operation that has not finished is left out; its events follow when it has.
            events = [item for item in self._ready if not isinstance(item, Operation)]
            self._ready.clear()
            return events

    @property
    def statistics(self) -> FeedStatistics:
        return self._source.statistics

    def close(self) -> None:
        with self._lock:
            self._source.close()
