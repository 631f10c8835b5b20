"""What is new on a guest's console since it was last looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.crashes.model import Crash
from lab.crashes.parse import find_crashes, is_open

OVERLAP_S = 2.0  # the engine's clock, and lines that were on their way
PATIENCE_S = 3.0  # for the rest of a report that has begun
POLL_S = 0.1
GUEST_ENDED = "LAB guest ended: "


@dataclass
class Console:
    """A console that is read piece by piece: each line is seen once.

    `read(since)` gives the lines since that time (seconds of the epoch), whole lines, and
    perhaps some from before; a guest's replacement goes on in the same text.
    """

    read: Callable[[float], str]
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    _since: float = 0.0
    _seen: list[str] = field(default_factory=list)

    def start(self) -> None:
        """What was there before is nobody's."""
        self.look()

    def look(self, *, ended: bool = False) -> str:
        """The lines that are new; waits a little for the end of a report, or of the guest."""
        deadline = self.clock() + PATIENCE_S
        while True:
            began = self.clock()
            lines = self.read((self._since or began) - OVERLAP_S).splitlines()
            fresh = unseen(self._seen, lines)
            text = "\n".join(fresh)
            waiting = is_open(text) or (ended and GUEST_ENDED not in text)
            if not waiting or self.clock() >= deadline:
                self._since, self._seen = began, lines
                return text
            self.sleep(POLL_S)

    def crashes(self, *, ended: bool = False) -> Sequence[Crash]:
        """The reports that are new; `ended`: the guest is known to have ended."""
        return find_crashes(self.look(ended=ended))


def unseen(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """The lines of `now` after those that the end of `before` has in common with its beginning."""
    for length in range(min(len(before), len(now)), 0, -1):
        if before[-length:] == now[:length]:
            return list(now[length:])
    return list(now)
