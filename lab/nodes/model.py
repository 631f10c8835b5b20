"""What every node can do, whatever it is made of."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.errors import LabFailed

DEFAULT_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Completed:
    """A command that ended."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """stdout as text; bytes that are no UTF-8 are shown escaped."""
        return self.stdout.decode(errors="backslashreplace")

    @property
    def error_text(self) -> str:
        """stderr as text."""
        return self.stderr.decode(errors="backslashreplace")


class NodeError(LabFailed):
    """A node cannot be acted on: not running, not reachable."""


class DeadlineExceeded(NodeError):
    """A command on a node did not end in time."""

    def __init__(self, node: str, argv: Sequence[str], seconds: float) -> None:
        super().__init__(f"{node}: `{shlex.join(argv)}` did not end within {seconds:g} s")


class Node(Protocol):
    """A running container, guest or host."""

    @property
    def name(self) -> str: ...

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", deadline: float = DEFAULT_DEADLINE_S
    ) -> Completed:
        """Run a command; raise DeadlineExceeded after `deadline` seconds, NodeError if it can't."""
        ...

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file on the node."""
        ...

    def logs(self, since: float | None = None) -> str:
        """The node's log (of a guest: its console) since that moment (seconds of the epoch)."""
        ...


def check(completed: Completed, node: str, argv: Sequence[str]) -> Completed:
    """Return `completed` if it succeeded; raise NodeError with what it said if not."""
    if completed.returncode != 0:
        said = completed.error_text.strip() or completed.text.strip() or "without a word"
        raise NodeError(
            f"{node}: `{shlex.join(argv)}` failed with exit code {completed.returncode}: {said}"
        )
    return completed
