"""Whether a candidate is worse than its base. Pure: two columns of matrix.json in, findings out.

Each cell ran several times on both sides. The gate closes on what is *stably* worse: the best round
of the candidate is worse than the worst of the base; and on a report of the kernel that the base
did not make and that is not known. What is worse only now and then is told and lets pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.verdicts.verdict import Outcome

Json = Mapping[str, Any]

# How bad an outcome is. An unexpected pass is a pass: the list of deviations is not on trial here.
SEVERITY: Mapping[str, int] = {
    Outcome.PASS: 0,
    Outcome.UNEXPECTED_PASS: 0,
    Outcome.KNOWN_DEVIATION: 1,
    Outcome.UNSUPPORTED: 1,
    Outcome.FAIL: 2,
    Outcome.CLIENT_CRASH: 3,
    Outcome.TIMEOUT: 3,
    Outcome.SERVER_CRASH: 4,
}


@dataclass
class Judged:
    """A line for each finding; `compared` counts the cells that both sides came to a verdict on."""

    new_failures: list[str] = field(default_factory=list)
    new_crashes: list[str] = field(default_factory=list)
    now_and_then: list[str] = field(default_factory=list)
    improved: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    compared: int = 0

    @property
    def holds(self) -> bool:
        return not self.new_failures and not self.new_crashes

    def as_json(self) -> dict[str, Any]:
        return {"holds": self.holds, **self.__dict__}


def judge(base: Json, base_server: str, candidate: Json, candidate_server: str) -> Judged:
    """Compare a column of one matrix.json with a column of the same or another one."""
    before = {cell["scenario"]: cell for cell in base["cells"] if cell["server"] == base_server}
    found = Judged()
    for cell in candidate["cells"]:
        if cell["server"] == candidate_server:
            _cell(found, before.get(cell["scenario"]), cell)
    _crashes(found, list(before.values()), base, base_server, candidate, candidate_server)
    return found


def _severities(cell: Json | None) -> list[int]:
    """How bad each round was that came to a verdict."""
    rounds = cell["stability"]["verdicts"] if cell else {}
    return [
        SEVERITY[outcome]
        for outcome, count in rounds.items()
        if outcome in SEVERITY
        for _ in range(count)
    ]


def _cell(found: Judged, before: Json | None, after: Json) -> None:
    name = after["scenario"]
    was, now = _severities(before), _severities(after)
    if before is None or not was or not now:
        word = before["verdict"] if before else "not there"
        found.not_compared.append(f"{name}: {word}, then {after['verdict']}: {after['reason']}")
        return
    found.compared += 1
    said = f"{name}: {_rounds(before)} -> {_rounds(after)}"
    why = f": {after['reason']}" if after["reason"] else ""
    if min(now) > max(was):
        found.new_failures.append(said + why)
    elif max(now) > max(was):
        found.now_and_then.append(said + why)
    elif max(now) < min(was):
        found.improved.append(said)
    elif (before["verdict"], before["reason"]) != (after["verdict"], after["reason"]):
        found.other.append(f"{said}: {before['reason'] or 'as it should'} -> {after['reason']}")


def _rounds(cell: Json) -> str:
    """`pass`, or `2x pass, 1x fail` of a cell that varies."""
    verdicts = cell["stability"]["verdicts"]
    if len(verdicts) == 1:
        return str(next(iter(verdicts)))
    return ", ".join(f"{count}x {outcome}" for outcome, count in verdicts.items())


def _crashes(
    found: Judged,
    before: list[Json],
    base: Json,
    base_server: str,
    candidate: Json,
    candidate_server: str,
) -> None:
    known = {_named(crash) for cell in before for crash in cell.get("crashes", ())}
    known |= {_named(leak) for leak in base.get("leaks", {}).get(base_server, ())}
    told: set[str] = set()
    reports = [
        (f"in {cell['scenario']}", crash)
        for cell in candidate["cells"]
        if cell["server"] == candidate_server
        for crash in cell.get("crashes", ())
    ]
    reports += [
        ("after the run", leak) for leak in candidate.get("leaks", {}).get(candidate_server, ())
    ]
    for where, crash in reports:
        name = _named(crash)
        if name not in known and name not in told and not crash["known"]:
            told.add(name)
            found.new_crashes.append(f"{crash['title']} ({crash['fingerprint']}), {where}")


def _named(crash: Json) -> str:
    """What builds of two revisions have in common: the kind and the functions, no offsets."""
    return json.dumps([crash["kind"], crash["functions"]])
