"""What the runner needs of a server besides SMB: to act on it, and to know how it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.nodes.model import Completed


@dataclass(frozen=True)
class Liveness:
    """Whether the server is there, uninterruptedly; `detail` says why not."""

    ok: bool
    detail: str = ""


class ServerSide(Protocol):
    """One server under test, seen from the host."""

    def act(self, argv: Sequence[str]) -> Completed:
        """Run a command on the server."""
        ...

    def alive(self) -> Liveness:
        """Whether NEGOTIATE is answered, and by the instance that answered the last time.

        A new instance is `ok=False` once; from then on it is the one to compare with.
        """
        ...

    def evidence(self, since: float) -> Mapping[str, str]:
        """Log, console and the like since that time (seconds of the epoch), by file name."""
        ...
