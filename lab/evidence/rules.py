"""Which rule of the specifications a difference touches: a table, first match wins.

Each row looks at the request's command and at how the two answers differ, and names the section of
[MS-SMB2], [MS-FSCC] or [MS-FSA] in which to read on. `None` for a rung means that this side has
none: nothing was answered, or nothing was asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lab.evidence.ladder import Rung

# MS-SMB2 3.3.5: the section that says how a server handles each command.
SECTIONS: Mapping[str, str] = {
    "NEGOTIATE": "MS-SMB2 3.3.5.4",
    "SESSION_SETUP": "MS-SMB2 3.3.5.5",
    "LOGOFF": "MS-SMB2 3.3.5.6",
    "TREE_CONNECT": "MS-SMB2 3.3.5.7",
    "TREE_DISCONNECT": "MS-SMB2 3.3.5.8",
    "CREATE": "MS-SMB2 3.3.5.9",
    "CLOSE": "MS-SMB2 3.3.5.10",
    "FLUSH": "MS-SMB2 3.3.5.11",
    "READ": "MS-SMB2 3.3.5.12",
    "WRITE": "MS-SMB2 3.3.5.13",
    "LOCK": "MS-SMB2 3.3.5.14",
    "IOCTL": "MS-SMB2 3.3.5.15",
    "CANCEL": "MS-SMB2 3.3.5.16",
    "ECHO": "MS-SMB2 3.3.5.17",
    "QUERY_DIRECTORY": "MS-SMB2 3.3.5.18",
    "CHANGE_NOTIFY": "MS-SMB2 3.3.5.19",
    "QUERY_INFO": "MS-SMB2 3.3.5.20",
    "SET_INFO": "MS-SMB2 3.3.5.21",
}


@dataclass(frozen=True)
class Rule:
    """A section, and in one sentence what it says."""

    section: str
    says: str


@dataclass(frozen=True)
class Gap:
    """Two answers to the same request, at least one of them there, that are not the same."""

    left: Rung | None
    right: Rung | None
    request: Rung | None = None

    @property
    def some(self) -> Rung:
        rung = self.left or self.right
        assert rung is not None, "a gap has a rung on one side"
        return rung

    @property
    def command(self) -> str:
        return self.some.command

    @property
    def statuses(self) -> set[str]:
        return {rung.status for rung in (self.left, self.right) if rung and rung.stage == "final"}

    @property
    def records(self) -> list[tuple[tuple[str, str], ...]]:
        return [rung.records if rung else () for rung in (self.left, self.right)]

    @property
    def actions(self) -> set[str]:
        """The actions of the records that only one side has."""
        left, right = (Counter(records) for records in self.records)
        return {action for action, _ in (left - right) + (right - left)}

    def notify(self, *statuses: str) -> bool:
        return self.command == "CHANGE_NOTIFY" and bool(self.statuses.intersection(statuses))


_RENAMES = {"RENAMED_OLD_NAME", "RENAMED_NEW_NAME"}
_STREAMS = {"ADDED_STREAM", "REMOVED_STREAM", "MODIFIED_STREAM"}

Row = tuple[Callable[[Gap], bool], str, str]
ROWS: Sequence[Row] = (
    (
        lambda gap: gap.some.stage == "event",
        "MS-SMB2 3.3.7.1",
        "loss of the connection: who ends it, and when, is part of the exchange",
    ),
    (
        lambda gap: gap.notify("NOT_IMPLEMENTED", "NOT_SUPPORTED"),
        "MS-SMB2 3.3.5.19",
        "an object store without change notifications fails the request with NOT_SUPPORTED",
    ),
    (
        lambda gap: "INTERNAL_ERROR" in gap.statuses,
        "MS-SMB2 3.3.5.2.7.2",
        "in a compound only the last request may go asynchronous, else INTERNAL_ERROR",
    ),
    (
        lambda gap: gap.notify("CANCELLED", "NOTIFY_CLEANUP") and "SUCCESS" in gap.statuses,
        "MS-FSA 2.1.5.11.1",
        "a change that matches the filter completes the oldest pending request",
    ),
    (
        lambda gap: gap.notify("CANCELLED"),
        "MS-SMB2 3.3.5.16",
        "CANCEL ends its target, found by AsyncId or MessageId, with CANCELLED",
    ),
    (
        lambda gap: gap.notify("DELETE_PENDING"),
        "MS-FSA 2.1.5.15.3",
        "deleting the watched directory completes the request with DELETE_PENDING",
    ),
    (
        lambda gap: gap.notify("NOTIFY_CLEANUP"),
        "MS-SMB2 3.3.5.10",
        "CLOSE (and TREE_DISCONNECT, LOGOFF) completes what is pending with NOTIFY_CLEANUP",
    ),
    (
        lambda gap: gap.notify("NOTIFY_ENUM_DIR"),
        "MS-FSA 2.1.5.11.1",
        "SUCCESS if all queued records fit the buffer, otherwise NOTIFY_ENUM_DIR with 0 bytes",
    ),
    (
        lambda gap: gap.notify("INVALID_PARAMETER", "ACCESS_DENIED", "FILE_CLOSED"),
        "MS-SMB2 3.3.5.19",
        "FileId, BUF, CreditCharge, kind of the object and granted access are checked first",
    ),
    (
        lambda gap: gap.notify("INSUFFICIENT_RESOURCES"),
        "MS-SMB2 3.3.4.2",
        "a server out of asynchronous operations answers INSUFFICIENT_RESOURCES",
    ),
    (
        lambda gap: gap.notify("NETWORK_SESSION_EXPIRED"),
        "MS-SMB2 3.3.5.2.9",
        "on an expired session a pending request survives, a new one is refused",
    ),
    (
        lambda gap: gap.command == "CHANGE_NOTIFY" and gap.some.stage == "interim",
        "MS-SMB2 3.3.4.2",
        "an interim response: PENDING, ASYNC flag, AsyncId not 0, credits granted",
    ),
    (
        lambda gap: bool(gap.actions & _STREAMS),
        "MS-FSCC 2.7.1",
        "streams have actions of their own: ADDED_STREAM, REMOVED_STREAM, MODIFIED_STREAM",
    ),
    (
        lambda gap: bool(gap.actions & _RENAMES),
        "MS-FSCC 2.7.1",
        "OLD_NAME and NEW_NAME only inside one directory; across directories REMOVED and ADDED",
    ),
    (
        lambda gap: (
            gap.command == "CHANGE_NOTIFY"
            and gap.left is not None
            and gap.right is not None
            and gap.records[0] != gap.records[1]
        ),
        "MS-FSCC 2.7.1",
        "one record for each change: its action, its name relative to the watched directory",
    ),
    (
        lambda gap: (
            gap.command == "CHANGE_NOTIFY" and gap.some.stage == "final" and bool(gap.some.records)
        ),
        "MS-FSA 2.1.5.11.1",
        "a change that matches the filter completes the oldest pending request",
    ),
    (
        lambda gap: gap.command == "CHANGE_NOTIFY" and gap.some.stage == "final",
        "MS-SMB2 3.3.4.3",
        "the final response: same MessageId and AsyncId as the interim one, no credits",
    ),
)


def touched(gap: Gap) -> Rule:
    """The rule that the difference is about."""
    for matches, section, says in ROWS:
        if matches(gap):
            return Rule(section, says)
    section = SECTIONS.get(gap.command, "MS-SMB2 3.3.5")
    return Rule(section, f"how a server handles {gap.command}")
