"""One line for each CHANGE_NOTIFY: who, where, what for, how it ended, how long it took."""

from __future__ import annotations

import logging
from typing import Final

from notify_server.core.model import ParkedRequest
from notify_server.wire.status import NtStatus

log: Final = logging.getLogger("notify_server.notify")


def log_notify(parked: ParkedRequest, status: NtStatus, size: int, now: float) -> None:
    """Log the end of a CHANGE_NOTIFY, parked or answered at once; costs a test when off."""
    if not log.isEnabledFor(logging.INFO):
        return
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
