"""Recording a scenario: requests that wait, their responses, and what is expected of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.scenarios import model
from lab.scenarios.model import Match, Record

if TYPE_CHECKING:
    from lab.scenarios.connection import Conn
    from lab.scenarios.script import Script

Records = Sequence[Record]


@dataclass(frozen=True)
class Notify:
    """A CHANGE_NOTIFY request that was sent."""

    conn: Conn
    ref: str

    def interim(self) -> Reply:
        """Wait for the interim response, which must be STATUS_PENDING with an AsyncId."""
        self._wait("interim")
        reply = Reply(self.conn.script, self.ref, "interim")
        reply.status("STATUS_PENDING", rule="MS-SMB2 3.3.4.2")
        return reply

    def final(self, *, deadline: float = model.DEADLINE_S) -> Reply:
        """Wait for the final response."""
        self._wait("final", deadline)
        return Reply(self.conn.script, self.ref, "final")

    def _wait(self, stage: str, deadline: float = model.DEADLINE_S) -> None:
        self.conn.script.step(
            model.Wait(
                self.conn.name,
                self.ref,
                stage,
                deadline,
                note=f"{self.conn.name}: wait for the {stage} response to {self.ref}",
            )
        )

    def cancel(self, *, by_async_id: bool = True, by_message_id: bool = False) -> None:
        ids = " and ".join(
            name
            for name, chosen in (("AsyncId", by_async_id), ("MessageId", by_message_id))
            if chosen
        )
        self.conn.script.step(
            model.Cancel(
                self.conn.name,
                self.ref,
                by_async_id,
                by_message_id,
                note=f"{self.conn.name}: CANCEL {self.ref} by {ids}",
            )
        )

    def still_pending(self, rule: str) -> None:
        """An ECHO comes back and no final response came before it."""
        self.conn.echo()
        self.conn.script.expect(model.ExpectPending(self.conn.script.last, self.ref, rule))

    def at_once(self, rule: str) -> None:
        self.conn.script.expect(model.ExpectNoInterim(self.conn.script.last, self.ref, rule))


@dataclass(frozen=True)
class Collected(Notify):
    """What a `collect` gathered; as a `Notify` it is the last request, which may be parked."""

    def records(self, *alternatives: Records, because: str = "", rule: str = "") -> None:
        self.conn.script.expect(
            model.ExpectCollected(
                self.conn.script.last, self.ref, _alternatives(alternatives, because), because, rule
            )
        )


@dataclass(frozen=True)
class Reply:
    """The interim or final response to a request."""

    script: Script
    ref: str
    stage: str

    def field(self, name: str, match: Match, rule: str = "") -> Reply:
        self.script.expect(
            model.ExpectField(self.script.last, self.ref, self.stage, name, match, rule)
        )
        return self

    def status(self, *names: str, because: str = "", rule: str = "") -> Reply:
        for name in names:
            model.NtStatus[name]  # a misspelt status would never match
        if len(names) > 1 and not because:
            raise ValueError("latitude needs a reason: because=...")
        if len(names) > 1:
            return self.field("status", model.one_of(*names, because=because), rule)
        return self.field("status", model.equals(names[0]), rule)

    def records(self, *alternatives: Records, because: str = "", rule: str = "") -> Reply:
        """STATUS_SUCCESS with exactly these records, in this order."""
        self.script.expect(
            model.ExpectRecords(
                self.script.last, self.ref, _alternatives(alternatives, because), because, rule
            )
        )
        return self


def distinct(notifies: Sequence[Notify], stage: str, field: str, rule: str) -> None:
    script = notifies[0].conn.script
    refs = tuple(notify.ref for notify in notifies)
    script.expect(model.ExpectDistinct(script.last, refs, stage, field, rule))


def delivered(
    notifies: Sequence[Notify], *alternatives: Records, because: str = "", rule: str
) -> None:
    """Together, in this order, the final responses reported exactly one of these lists."""
    script = notifies[0].conn.script
    refs = tuple(notify.ref for notify in notifies)
    chosen = _alternatives(alternatives, because)
    script.expect(model.ExpectDelivered(script.last, refs, chosen, because, rule))


def _alternatives(alternatives: Sequence[Records], because: str) -> tuple[tuple[Record, ...], ...]:
    if len(alternatives) > 1 and not because:
        raise ValueError("latitude needs a reason: because=...")
    for records in alternatives:
        for action, _ in records:
            model.Action[action]  # a misspelt action would never match
    return tuple(tuple(records) for records in alternatives)
