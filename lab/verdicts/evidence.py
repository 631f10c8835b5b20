"""Observations, indexed by what the expectations ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Observation = Mapping[str, Any]


class Evidence:
    """A scenario's observations in the order in which the client made them.

    What the client did to tidy up after the last step is left out of everything but `all`.
    """

    def __init__(self, observations: Sequence[Observation]) -> None:
        self.all = observations
        self._pdus: dict[tuple[str, str], int] = {}
        self._step_ends: dict[int, int] = {}
        self.collected: dict[str, Observation] = {}
        self.kinds: dict[str, list[int]] = {}
        for at, observed in enumerate(observations):
            kind = observed["kind"]
            if kind == "tidy":
                break
            self.kinds.setdefault(kind, []).append(at)
            if kind == "pdu" and observed["ref"]:
                self._pdus.setdefault((observed["ref"], observed["stage"]), at)
            elif kind == "step":
                self._step_ends[observed["index"]] = at
            elif kind == "collected":
                self.collected[observed["ref"]] = observed

    def first(self, kind: str) -> Observation | None:
        at = self.kinds.get(kind)
        return self.all[at[0]] if at else None

    def has(self, kind: str) -> bool:
        return kind in self.kinds or any(o["kind"] == kind for o in self.all)

    def resolve(self, ref: str) -> str:
        """A `Collect`'s name stands for the last request that it sent."""
        return str(self.collected[ref]["last"]) if ref in self.collected else ref

    def find(self, ref: str, stage: str) -> int:
        """The index of the PDU of that stage for `ref`, or -1."""
        return self._pdus.get((self.resolve(ref), stage), -1)

    def gathered(self, collected: Observation) -> list[tuple[str, str]] | None:
        """What the responses of a `Collect` reported, up to the name it waited for.

        Read from the PDUs, not from the client's own sum; None if a response is missing.
        """
        found: list[tuple[str, str]] = []
        for ref in collected["refs"]:
            if collected["ended"] == "quiet" and ref == collected["last"]:
                return found  # parked: whatever it was answered, it was later
            at = self.find(ref, "final")
            if at < 0:
                return None
            found += records(self.all[at])
        names = [name for _, name in found]
        if collected["until"] in names:
            del found[names.index(collected["until"]) + 1 :]
        return found

    def end_of_step(self, step: int) -> int:
        """The index of the observation that closed the step, or -1 if it was not finished."""
        return self._step_ends.get(step, -1)

    def pdus(self, direction: str) -> list[tuple[int, Observation]]:
        return [
            (at, self.all[at])
            for at in self.kinds.get("pdu", [])
            if self.all[at]["dir"] == direction
        ]


def field(pdu: Observation, path: str) -> Any:
    """A value inside a PDU observation, as in "body.records.0.offset"; None where it is absent."""
    value: Any = pdu
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(part)
        else:
            return None
    return value


def records(pdu: Observation) -> list[tuple[str, str]]:
    """The (action, name) pairs of a CHANGE_NOTIFY response."""
    found = field(pdu, "body.records") or []
    return [(record["action"], record["name"]) for record in found]
