"""One predicate for each kind of expectation: what is wrong, or nothing.

A check that finds no response to look at says so: absence of evidence never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.scenarios.model import (
    ExpectCollected,
    ExpectDelivered,
    ExpectDistinct,
    ExpectField,
    ExpectNoInterim,
    ExpectPending,
    ExpectRecords,
    Match,
    Record,
    Scalar,
)
from lab.verdicts.evidence import Evidence, field, records
from lab.verdicts.wire import records_layout


@dataclass(frozen=True)
class Failure:
    """What does not hold, and the observation that shows it (-1: something that is missing)."""

    text: str
    at: int = -1
    missing: bool = False


def _number(value: Any) -> int:
    return value if isinstance(value, int) else -1


MATCHERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": lambda seen, wanted: seen == wanted and type(seen) is type(wanted),
    "at_least": lambda seen, wanted: _number(seen) >= wanted,
    "nonzero": lambda seen, _: _number(seen) > 0,
    "bits_set": lambda seen, wanted: seen is not None and _number(seen) & wanted == wanted,
    "bits_clear": lambda seen, wanted: seen is not None and _number(seen) & wanted == 0,
    "one_of": lambda seen, wanted: seen in wanted,
}

_WORDS: Mapping[str, str] = {
    "equals": "{}",
    "at_least": "at least {}",
    "nonzero": "not 0",
    "bits_set": "with bits {}",
    "bits_clear": "without bits {}",
    "one_of": "one of {}",
    "same_as": "the same as in {}",
}


def _describe(match: Match, wanted: Any) -> str:
    if isinstance(wanted, tuple):
        wanted = ", ".join(map(str, wanted))
    if match.kind.startswith("bits"):
        wanted = f"0x{wanted:x}"
    return _WORDS[match.kind].format(wanted)


def say_records(found: Iterable[Record]) -> str:
    """Records as a person would list them: `ADDED a, REMOVED b`, or `nothing`."""
    listed = [f"{action} {name or '(no name)'}" for action, name in found]
    if len(listed) > 8:
        listed = [*listed[:4], f"… {len(listed) - 6} more …", *listed[-2:]]
    return ", ".join(listed) or "nothing"


def _missing(evidence: Evidence, ref: str, stage: str) -> Failure:
    other = evidence.find(ref, "final")
    if stage == "interim" and other >= 0:
        status = evidence.all[other]["status"]
        return Failure(f"{ref} got no interim response but {status}", other)
    return Failure(f"{ref} got no {stage} response", missing=True)


def check_field(wanted: ExpectField, evidence: Evidence) -> Failure | None:
    at = evidence.find(wanted.of, wanted.stage)
    if at < 0:
        return _missing(evidence, wanted.of, wanted.stage)
    pdu = evidence.all[at]
    seen = records_layout(pdu) if wanted.field == "layout" else field(pdu, wanted.field)
    match, value = wanted.match, wanted.match.value
    if match.kind == "same_as":
        assert isinstance(value, tuple)
        value = _other_field(evidence, value)
        match = Match("equals")
    if MATCHERS[match.kind](seen, value):
        return None
    name = wanted.field.rpartition(".")[2] if wanted.field.count(".") == 1 else wanted.field
    shown = f"0x{seen:x}" if match.kind.startswith("bits") and isinstance(seen, int) else seen
    return Failure(
        f"{wanted.of} {wanted.stage}: {name} is {shown}, not {_describe(match, value)}", at
    )


def _other_field(evidence: Evidence, where: Sequence[Scalar]) -> Any:
    ref, stage, name = (str(part) for part in where)
    at = evidence.find(ref, stage)
    return field(evidence.all[at], name) if at >= 0 else None


def _compare(
    label: str, found: list[Record], alternatives: tuple[tuple[Record, ...], ...], at: int
) -> Failure | None:
    if tuple(found) in alternatives:
        return None
    wanted = " or ".join(say_records(alternative) for alternative in alternatives)
    return Failure(f"{label} reported {say_records(found)}; expected {wanted}", at)


def check_records(wanted: ExpectRecords, evidence: Evidence) -> Failure | None:
    at = evidence.find(wanted.of, "final")
    if at < 0:
        return _missing(evidence, wanted.of, "final")
    pdu = evidence.all[at]
    if pdu["status"] != "STATUS_SUCCESS":
        expected = say_records(wanted.alternatives[0])
        return Failure(f"{wanted.of} ended with {pdu['status']}; expected {expected}", at)
    if "malformed" in pdu["body"]:
        return Failure(f"{wanted.of}: {pdu['body']['malformed']}", at)
    return _compare(wanted.of, records(pdu), wanted.alternatives, at)


def check_collected(wanted: ExpectCollected, evidence: Evidence) -> Failure | None:
    collected = evidence.collected.get(wanted.of)
    if collected is None:
        return Failure(f"{wanted.of} was not finished", missing=True)
    at = evidence.find(wanted.of, "final")
    if collected["ended"].startswith("STATUS_"):
        return Failure(f"{collected['last']} ended with {collected['ended']}", at)
    found = evidence.gathered(collected)
    if found is None:
        return Failure(f"a response that {wanted.of} counted is missing", missing=True)
    return _compare(wanted.of, found, wanted.alternatives, at)


def check_pending(wanted: ExpectPending, evidence: Evidence) -> Failure | None:
    end = evidence.end_of_step(wanted.step)
    if end < 0:
        return Failure(f"nothing shows that {wanted.of} stayed unanswered", missing=True)
    if evidence.find(wanted.of, "request") < 0:
        return Failure(f"{wanted.of} was never sent", missing=True)
    at = evidence.find(wanted.of, "final")
    if not 0 <= at < end:
        return None
    pdu = evidence.all[at]
    said = say_records(records(pdu)) if pdu["status"] == "STATUS_SUCCESS" else pdu["status"]
    return Failure(f"{wanted.of} should still wait, but was answered: {said}", at)


def check_no_interim(wanted: ExpectNoInterim, evidence: Evidence) -> Failure | None:
    if evidence.find(wanted.of, "final") < 0:
        return _missing(evidence, wanted.of, "final")
    at = evidence.find(wanted.of, "interim")
    return Failure(f"{wanted.of} had to wait: it got an interim response", at) if at >= 0 else None


def check_distinct(wanted: ExpectDistinct, evidence: Evidence) -> Failure | None:
    seen: dict[Any, str] = {}
    for ref in wanted.refs:
        at = evidence.find(ref, wanted.stage)
        if at < 0:
            return _missing(evidence, ref, wanted.stage)
        value = field(evidence.all[at], wanted.field)
        if value in seen:
            return Failure(f"{seen[value]} and {ref} share {wanted.field} {value}", at)
        seen[value] = ref
    return None


def check_delivered(wanted: ExpectDelivered, evidence: Evidence) -> Failure | None:
    found: list[Record] = []
    last = -1
    for ref in wanted.refs:
        if ref in evidence.collected:
            gathered = evidence.gathered(evidence.collected[ref])
            if gathered is None:
                return Failure(f"a response that {ref} counted is missing", missing=True)
            found += gathered
            continue
        at = evidence.find(ref, "final")
        if at < 0:
            return _missing(evidence, ref, "final")
        last = max(last, at)
        found += records(evidence.all[at])
    return _compare(" and ".join(wanted.refs), found, wanted.alternatives, last)


CHECKS: Mapping[type[Any], Callable[[Any, Evidence], Failure | None]] = {
    ExpectField: check_field,
    ExpectRecords: check_records,
    ExpectCollected: check_collected,
    ExpectPending: check_pending,
    ExpectNoInterim: check_no_interim,
    ExpectDistinct: check_distinct,
    ExpectDelivered: check_delivered,
}
