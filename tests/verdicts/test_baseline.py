"""The gate: it closes on stable new failures, and on nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.errors import UsageError
from lab.verdicts import baseline
from lab.verdicts.export import matrix_json
from lab.verdicts.matrix import Cell
from lab.verdicts.verdict import Outcome, Verdict
from tests.verdicts.test_output import PASS, matrix_of
from tests.verdicts.test_schema import complaints

FAIL = Verdict(Outcome.FAIL, "notify1 reported nothing")
CRASH = Verdict(Outcome.SERVER_CRASH, "kernel BUG")
KNOWN = Verdict(Outcome.KNOWN_DEVIATION, "it sleeps")
BETTER = Verdict(Outcome.UNEXPECTED_PASS, "passes")
NOT_RUN = Verdict(Outcome.NOT_RUN)


def run(*rounds: Verdict) -> dict[str, Any]:
    """matrix.json of one cell, samba's C1; its verdict is the worst of the rounds."""
    odd = [verdict for verdict in rounds if not verdict.as_expected]
    verdict = (odd or rounds)[-1]
    matrix = matrix_of(samba=verdict)
    cell = Cell(verdict, verdict, 1.0, rounds)
    return matrix_json(replace(matrix, cells={("C1", "samba"): cell}))


def compared(before: Verdict, *rounds: Verdict) -> baseline.Comparison:
    return baseline.compare(baseline.of(run(before)), run(*rounds))


@pytest.mark.parametrize(
    ("before", "now", "where"),
    [
        (PASS, (FAIL,), "new_failures"),
        (PASS, (FAIL, FAIL, FAIL), "new_failures"),
        (PASS, (FAIL, PASS, FAIL), "now_and_then"),
        (PASS, (PASS, PASS, PASS), None),
        (PASS, (KNOWN,), None),
        (KNOWN, (PASS,), None),
        (FAIL, (FAIL,), None),
        (FAIL, (CRASH,), "new_failures"),
        (FAIL, (PASS,), "improved"),
        (FAIL, (KNOWN,), "improved"),
        (KNOWN, (BETTER,), "new_failures"),
        (PASS, (NOT_RUN,), "incomparable"),
        (NOT_RUN, (FAIL,), "incomparable"),
    ],
)
def test_each_change_has_its_place(
    before: Verdict, now: tuple[Verdict, ...], where: str | None
) -> None:
    found = compared(before, *now)
    for name, _ in baseline.HEADINGS:
        assert len(getattr(found, name)) == (name == where), name
    assert found.holds == (where != "new_failures")


def test_the_lines_say_which_cell_how_and_why() -> None:
    said = baseline.lines(compared(PASS, FAIL))
    assert said == [
        "Newly failing, in every round:",
        "  C1 on samba: pass -> fail: notify1 reported nothing",
        "Against the baseline (1 cells compared): 1 newly failing.",
    ]
    assert "(1 of 2 rounds)" in baseline.lines(compared(PASS, FAIL, PASS))[1]
    assert baseline.lines(compared(FAIL, PASS))[1] == "  C1 on samba: fail -> pass"


def test_a_scenario_that_changed_is_not_compared() -> None:
    before = baseline.of(run(PASS))
    before["cells"][0]["fingerprint"] = "0" * 16
    found = baseline.compare(before, run(FAIL))
    assert found.holds
    assert found.compared == 0
    assert "changed since the baseline; now fail" in found.incomparable[0]
    assert "Nothing could be compared: lab baseline save" in baseline.lines(found)[-1]
    as_expected = baseline.compare(before, run(PASS))
    assert (as_expected.incomparable, as_expected.skipped) == ([], 1)
    assert baseline.lines(as_expected)[0].startswith("1 cells are as expected, and are not in")


def test_a_comparison_keeps_to_the_schema() -> None:
    plain = {**run(FAIL), "baseline": compared(PASS, FAIL).as_json()}
    assert complaints(json.loads(json.dumps(plain))) == []


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_text(json.dumps(baseline.of(run(PASS))))
    assert baseline.load(path) == baseline.of(run(PASS))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("[]", "is no baseline"),
        ('{"version": 1, "cells": []}', "is no baseline"),
        ('{"kind": "notify-lab baseline", "version": 1}', "of version 1, this lab reads 2"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as refused:
        baseline.load(path)
    assert "lab baseline save" in refused.value.remedy


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        baseline.load(tmp_path / "none.json")
