"""Expectations of a scenario: what the host judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from lab.scenarios.model.steps import Scalar

Record: TypeAlias = "tuple[str, str]"  # (action, name), as in ("ADDED", "dir\\file1")


@dataclass(frozen=True)
class Match:
    """A predicate on one observed value; `kind` names a row of `lab.verdicts.checks.MATCHERS`."""

    kind: str
    value: Scalar | tuple[Scalar, ...] = None
    because: str = ""


def equals(value: Scalar) -> Match:
    return Match("equals", value)


def at_least(value: int) -> Match:
    return Match("at_least", value)


def nonzero() -> Match:
    return Match("nonzero")


def bits_set(value: int) -> Match:
    return Match("bits_set", value)


def bits_clear(value: int) -> Match:
    return Match("bits_clear", value)


def one_of(*values: Scalar, because: str) -> Match:
    """Latitude, with its justification."""
    return Match("one_of", values, because)


def same_as(ref: str, stage: str, field: str) -> Match:
    """Equal to what another response carried in `field`."""
    return Match("same_as", (ref, stage, field))


@dataclass(frozen=True)
class ExpectField:
    """A field of the interim or final response to `of`."""

    step: int
    of: str
    stage: str
    field: str
    match: Match
    rule: str = ""


@dataclass(frozen=True)
class ExpectRecords:
    """The final response to `of` is STATUS_SUCCESS with exactly one of these lists of records."""

    step: int
    of: str
    alternatives: tuple[tuple[Record, ...], ...]
    because: str = ""
    rule: str = ""


@dataclass(frozen=True)
class ExpectCollected:
    """All records that a `Collect` gathered are exactly one of these lists."""

    step: int
    of: str
    alternatives: tuple[tuple[Record, ...], ...]
    because: str = ""
    rule: str = ""


@dataclass(frozen=True)
class ExpectPending:
    """No final response to `of` had come by the end of `step`."""

    step: int
    of: str
    rule: str = ""


@dataclass(frozen=True)
class ExpectNoInterim:
    """`of` was answered by its final response alone."""

    step: int
    of: str
    rule: str = ""


@dataclass(frozen=True)
class ExpectDistinct:
    """`field` differs between the responses to all of `refs`."""

    step: int
    refs: tuple[str, ...]
    stage: str
    field: str
    rule: str = ""


@dataclass(frozen=True)
class ExpectDelivered:
    """The records of all the final responses to `refs`, one after another, are such a list."""

    step: int
    refs: tuple[str, ...]
    alternatives: tuple[tuple[Record, ...], ...]
    because: str = ""
    rule: str = ""


Expectation: TypeAlias = (
    ExpectField
    | ExpectRecords
    | ExpectCollected
    | ExpectPending
    | ExpectNoInterim
    | ExpectDistinct
    | ExpectDelivered
)
EXPECTATION_TYPES: Mapping[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        ExpectField,
        ExpectRecords,
        ExpectCollected,
        ExpectPending,
        ExpectNoInterim,
        ExpectDistinct,
        ExpectDelivered,
    )
}
