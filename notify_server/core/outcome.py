"""What a handler hands back: a reply, a job whose result makes the reply, or "it is parked"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from notify_server.fs.api import Store
from notify_server.wire.status import NtStatus, StatusError


class Disconnect(Exception):
    """The peer broke a rule that ends the connection; the message is for the log."""


@dataclass(slots=True)
class Reply:
    """A response: its body after the header, and the status in the header.

    `sent` is told the response's bytes as they go out: pre-authentication hashes them.
    """

    body: bytes
    status: int = NtStatus.STATUS_SUCCESS
    sent: Callable[[bytes], None] | None = None


class Parked(Enum):
    """The request waits: an interim response goes out now, the final one later (3.3.4.2)."""

    PARKED = 0


PARKED = Parked.PARKED


@dataclass(slots=True)
class Job:
    """Work on a store. `work` may run in another thread; `then` runs where the core runs.

    `light` work is a few system calls on metadata and may run where the core runs; the rest
    (data, whole directories, flushes) never does. Without `then`, `work` returns the Reply.
    `owner` is the connection that asked, for runners that keep one from taking all threads;
    `store` is the one that it is about, for runners that keep those apart which may hang.
    """

    work: Callable[[], Any]
    then: Callable[[Any], Outcome] | None = None
    light: bool = True
    owner: object = None
    store: Store | None = None
    failed: Callable[[], None] | None = None
    """Called where the core runs, instead of `then`, if the job ended with an error."""


@dataclass(slots=True)
class Wait:
    """Not its turn yet: whoever holds the turn calls what stands in `queue`, and `then` goes on."""

    queue: list[Callable[[JobResult, float], None]]
    then: Callable[[Any], Outcome]
    long: bool = False
    """It depends on another client: this one is told that it waits (3.3.4.2), and may cancel."""
    failed: Callable[[], None] | None = None
    """Called instead of `then` if the wait ended with an error."""


Outcome = Reply | Job | Wait | Parked


@dataclass(slots=True)
class JobResult:
    """How a job ended."""

    value: Any = None
    error: StatusError | None = None


def run(job: Job) -> JobResult:
    """Do a job's work, in whatever thread; unexpected errors propagate."""
    try:
        return JobResult(job.work())
    except StatusError as error:
        return JobResult(error=error)
