"""One line for each CHANGE_NOTIFY: who, where, what for, how it ended, how long it took."""

from __future__ import annotations

import logging
from typing import Final

from notify_server.core.model import ParkedRequest
from notify_server.wire.status import NtStatus

log: Final = logging.getLogger("notify_server.notify")


class NotifyLog:
    """Collects the ends of CHANGE_NOTIFYs, parked or answered at once; costs a test when off.

    Lines are written by `flush`, once the responses are on their way: they are not worth a delay.
    """

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends: list[tuple[ParkedRequest, NtStatus, int, float]] = []

    @property
    def wanted(self) -> bool:
        """Whether anybody reads what `add` is told."""
        return log.isEnabledFor(logging.INFO)

    def add(self, parked: ParkedRequest, status: NtStatus, size: int, now: float) -> None:
        """A CHANGE_NOTIFY ended with `status` and `size` bytes of records."""
        self.ends.append((parked, status, size, now))

    def flush(self) -> None:
        """Write what was collected."""
        if self.ends:
            ends, self.ends = self.ends, []
            for end in ends:
                _write(*end)


def _write(parked: ParkedRequest, status: NtStatus, size: int, now: float) -> None:
    opened = parked.open
    log.info(
        "notify client=%s user=%s share=%s path=%r filter=%#x tree=%s outcome=%s bytes=%d "
        "latency_ms=%.3f",
        parked.connection.client,
        parked.session.user,
        opened.tree.share.name,
        opened.handle.path,
        parked.completion_filter,
        parked.watch_tree,
        status.name,
        size,
        1000 * (now - parked.since),
    )
