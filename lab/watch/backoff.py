"""How long to wait before the next attempt: soon at first, never longer than the bound."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_S = 0.1
FACTOR = 2.0
BOUND_S = 5.0
SETTLED_S = 10.0


@dataclass
class Backoff:
    """0.1, 0.2, 0.4 … 5 s. A connection that held for ten seconds starts it anew.

    One that ends at once, again and again, counts as a failed attempt: it must not become a storm.
    """

    first: float = FIRST_S
    bound: float = BOUND_S
    _next: float = field(default=0.0, init=False)

    def failed(self) -> float:
        """Seconds to wait now that an attempt failed or a connection ended."""
        wait = self._next or self.first
        self._next = min(wait * FACTOR, self.bound)
        return wait

    def held(self, seconds: float) -> None:
        """A connection lasted so long."""
        if seconds >= SETTLED_S:
            self._next = 0.0


@dataclass
class Pace:
    """Slows re-arming down when a server answers at once, and with nothing, again and again."""

    free: int = 3
    step: float = 0.05
    bound: float = 1.0
    _idle: int = field(default=0, init=False)

    def answered(self, *, parked: bool, records: int) -> float:
        """Seconds to wait before the next request; 0 for every answer that was worth it."""
        self._idle = 0 if parked or records else self._idle + 1
        return min(max(self._idle - self.free, 0) * self.step, self.bound)
