"""The table of commands: who handles each, and what it needs (3.3.5.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from notify_server.core import (
    control,
    data,
    info_query,
    info_set,
    listing,
    locking,
    negotiation,
    notifying,
    opening,
    sessions,
    trees,
)
from notify_server.core.outcome import Outcome
from notify_server.wire.constants import Command

if TYPE_CHECKING:
    from notify_server.core.request import Request


@dataclass(slots=True, frozen=True)
class Entry:
    """How a command is handled. `after_expiry`: also in an expired session (3.3.5.2.9)."""

    handler: Callable[[Request], Outcome]
    session: bool = True
    tree: bool = True
    after_expiry: bool = False


TABLE: Final[dict[int, Entry]] = {
    Command.SMB2_NEGOTIATE: Entry(negotiation.negotiate, session=False, tree=False),
    Command.SMB2_SESSION_SETUP: Entry(sessions.session_setup, session=False, tree=False),
    Command.SMB2_LOGOFF: Entry(sessions.logoff, tree=False, after_expiry=True),
    Command.SMB2_TREE_CONNECT: Entry(trees.tree_connect, tree=False),
    Command.SMB2_TREE_DISCONNECT: Entry(trees.tree_disconnect),
    Command.SMB2_CREATE: Entry(opening.create),
    Command.SMB2_CLOSE: Entry(opening.close, after_expiry=True),
    Command.SMB2_FLUSH: Entry(data.flush),
    Command.SMB2_READ: Entry(data.read),
    Command.SMB2_WRITE: Entry(data.write),
    Command.SMB2_LOCK: Entry(locking.lock, after_expiry=True),
    Command.SMB2_IOCTL: Entry(control.ioctl),
    Command.SMB2_ECHO: Entry(control.echo, session=False, tree=False),
    Command.SMB2_QUERY_DIRECTORY: Entry(listing.query_directory),
    Command.SMB2_CHANGE_NOTIFY: Entry(notifying.change_notify),
    Command.SMB2_QUERY_INFO: Entry(info_query.query_info),
    Command.SMB2_SET_INFO: Entry(info_set.set_info),
    Command.SMB2_OPLOCK_BREAK: Entry(locking.oplock_break),
}
"""CANCEL is not here: it has no response (`cancelling`)."""
