"""matrix.json keeps to the schema that is published for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import verdicts
from lab.verdicts.deviations import Deviation
from lab.verdicts.export import VERSION, matrix_json
from lab.verdicts.matrix import Matrix
from lab.verdicts.verdict import Finding, Outcome, Verdict
from tests.verdicts.schema_check import errors
from tests.verdicts.test_output import PASS, matrix_of

SCHEMA = json.loads((Path(verdicts.__file__).parent / "matrix.schema.json").read_text())


def complaints(plain: Any) -> list[str]:
    return list(errors(plain, SCHEMA, SCHEMA))


def full() -> Matrix:
    """Every outcome, a finding, a stale deviation."""
    outcomes = {outcome.name.lower(): Verdict(outcome, "why") for outcome in Outcome}
    outcomes["fail"] = replace(outcomes["fail"], at=7, findings=(Finding("signature", "wrong", 7),))
    return replace(matrix_of(**outcomes), stale={"fail": (Deviation("C1", "x", "https://x"),)})


@pytest.mark.parametrize("matrix", [full(), matrix_of(py=PASS), replace(full(), partial=True)])
def test_what_is_written_keeps_to_the_schema(matrix: Matrix) -> None:
    assert complaints(json.loads(json.dumps(matrix_json(matrix)))) == []


BREAKS: dict[str, Callable[[Any], Any]] = {
    "a member that nobody described": lambda m: m.update(colour="red"),
    "a member that is missing": lambda m: m.pop("partial"),
    "a member of a cell that is missing": lambda m: m["cells"][0].pop("reason"),
    "a verdict that is no word": lambda m: m["cells"][0].update(verdict="passed"),
    "a count that is no number": lambda m: m["summary"].update(py={"pass": "3"}),
    "a truth that is a number": lambda m: m["cells"][0].update(as_expected=1),
    "a number that is a truth": lambda m: m.update(seconds=True),
    "another version": lambda m: m.update(version=VERSION + 1),
    "no server": lambda m: m.update(servers=[]),
    "an index below -1": lambda m: m["cells"][0]["evidence"].update(step=-2),
    "a date of another shape": lambda m: m.update(started="yesterday"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_does_not_keep_to_it_is_found(what: str) -> None:
    plain = matrix_json(full())
    BREAKS[what](plain)
    assert complaints(plain), what


def test_the_schema_lists_the_verdicts_that_there_are() -> None:
    assert SCHEMA["$defs"]["verdict"]["enum"] == [str(outcome) for outcome in Outcome]
    assert SCHEMA["properties"]["version"]["const"] == VERSION
