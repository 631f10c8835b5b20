"""One command at a time changes a lab: a file lock that tells who holds it.

The kernel drops the lock when its holder ends, however it ends, so there is nothing stale to
clean up; what the file says only matters while somebody holds the lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabFailed


@dataclass(frozen=True)
class Holder:
    """Who holds the lock: process, command line, since when (seconds of the epoch)."""

    pid: int
    command: str
    since: float

    def describe(self, now: float) -> str:
        """Words for the error: `lab up` (pid 4711, since 15:04:05, 12 s ago)."""
        clock = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"`{self.command}` (pid {self.pid}, since {clock}, {max(0, now - self.since):.0f} s)"


class Locked(LabFailed):
    """Another command is changing this lab."""


@contextmanager
def held(path: Path, command: str) -> Iterator[None]:
    """Hold the lock at `path` for the block; raise Locked, which names the other command."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(file.read()) from None
        file.truncate()
        json.dump(asdict(Holder(os.getpid(), command, time.time())), file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _locked(content: str) -> Locked:
    try:
        holder = Holder(**json.loads(content))
    except (ValueError, TypeError):
        # Between the other's flock and its write, or while it lets go.
        return Locked("another lab command is at work on this lab", "try again in a moment")
    return Locked(
        f"another command is at work on this lab: {holder.describe(time.time())}",
        f"wait until it ends, or end it: kill -INT {holder.pid}",
    )
