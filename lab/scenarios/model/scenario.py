"""The scenario as a whole, and its journey through JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lab.scenarios.model.expectations import EXPECTATION_TYPES, Expectation, Match
from lab.scenarios.model.steps import STEP_TYPES, Request, Step

EXPIRING_SESSIONS = "sessions that expire"
DIALECT_2_0_2 = "dialect 2.0.2"


@dataclass(frozen=True)
class Scenario:
    """`name` is its place in the catalogue ("C2"), `cites` the sections of the specifications.

    `needs` is what not every server can be set up to do; the deviations of one that cannot say why.
    """

    name: str
    title: str
    about: str
    cites: tuple[str, ...]
    rests_on: str
    provisional: bool
    steps: tuple[Step, ...]
    expectations: tuple[Expectation, ...]
    needs: tuple[str, ...] = ()

    evidence: ClassVar[str] = "observations.jsonl"  # the file in its cell's folder

    @property
    def group(self) -> str:
        return self.name[0]

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["cites"] = list(self.cites)
        plain["needs"] = list(self.needs)
        plain["steps"] = [_tagged("op", step) for step in self.steps]
        plain["expectations"] = [_tagged("expect", item) for item in self.expectations]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Scenario:
        values = dict(plain)
        values["cites"] = tuple(plain["cites"])
        values["needs"] = tuple(plain["needs"])
        values["steps"] = tuple(step_from_json(step) for step in plain["steps"])
        values["expectations"] = tuple(
            _untagged("expect", EXPECTATION_TYPES, item) for item in plain["expectations"]
        )
        return cls(**values)


def _tagged(tag: str, value: Any) -> dict[str, Any]:
    return {tag: type(value).__name__, **_plain(value)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _untagged(tag: str, types: Mapping[str, type[Any]], plain: Mapping[str, Any]) -> Any:
    values = {key: _frozen(value) for key, value in plain.items() if key != tag}
    if "match" in values:
        values["match"] = Match(**{k: _frozen(v) for k, v in values["match"].items()})
    if "requests" in values:
        values["requests"] = tuple(
            Request(**{k: _frozen(v) for k, v in request.items()}) for request in values["requests"]
        )
    return types[plain[tag]](**values)


def step_from_json(plain: Mapping[str, Any]) -> Step:
    """The inverse of what `Scenario.to_json` made of a step."""
    step: Step = _untagged("op", STEP_TYPES, plain)
    return step
