"""A matrix that is run several times: one verdict for each cell, and its stability."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.verdicts.deviations import Deviation, Deviations
from lab.verdicts.matrix import Matrix
from lab.verdicts.rounds import run_rounds, unstable
from lab.verdicts.run import Column
from lab.verdicts.verdict import Outcome
from tests.verdicts.tape import one_change_observed
from tests.verdicts.test_run import SCENARIOS, Behave, FakePipe, Runner, behaves

PASS, FAIL = Outcome.PASS, Outcome.FAIL


def fails(pipe: FakePipe, job: dict[str, Any]) -> None:
    lines = one_change_observed()
    final = next(x for x in lines if x.get("stage") == "final" and x["ref"] == "notify1")
    final["status"] = "STATUS_NOTIFY_ENUM_DIR"
    pipe.say(lines)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "run")


def run(runner: Runner, *rounds: Behave) -> Matrix:
    """As many rounds as behaviours, of one scenario."""
    left = list(rounds)

    def columns(folder: Path) -> Sequence[Column]:
        runner.behave = left.pop(0)
        return [runner.column()]

    return run_rounds(columns, SCENARIOS[:1], runner.folder, len(rounds))


def test_the_failing_round_decides_and_its_evidence_is_the_cells(runner: Runner) -> None:
    matrix = run(runner, behaves, fails, behaves)
    cell = matrix.cell("C1", "samba")
    assert cell.verdict.outcome is FAIL
    assert [verdict.outcome for verdict in cell.rounds] == [PASS, FAIL, PASS]
    decided = runner.folder / "rounds/2/samba/C1/observations.jsonl"
    assert (runner.folder / "samba/C1/observations.jsonl").read_text() == decided.read_text()
    assert unstable(matrix) == ["C1 on samba: unstable: 2x pass, 1x fail"]
    plain = json.loads((runner.folder / "matrix.json").read_text())
    assert plain["cells"][0]["stability"] == {
        "rounds": 3,
        "failed": 1,
        "verdicts": {"pass": 2, "fail": 1},
    }
    assert matrix.exit_code == 1


def test_what_is_the_same_each_time_is_stable(runner: Runner) -> None:
    matrix = run(runner, behaves, behaves)
    assert unstable(matrix) == []
    assert matrix.cell("C1", "samba").verdict.outcome is PASS
    assert matrix.exit_code == 0


def test_one_round_is_a_plain_run(runner: Runner) -> None:
    matrix = run(runner, behaves)
    assert not (runner.folder / "rounds").exists()
    assert matrix.cell("C1", "samba").rounds == ()


def test_a_deviation_seen_in_one_round_is_not_stale(runner: Runner) -> None:
    seen = Deviation("C1", "it enumerates", "https://x", FAIL, match="ENUM_DIR", sometimes=True)
    never = Deviation("C1", "it sleeps", "https://x", finding="signature")
    runner.deviations = Deviations((seen, never))
    matrix = run(runner, behaves, fails)
    assert matrix.stale == {"samba": (never,)}
    assert matrix.cell("C1", "samba").verdict.as_expected


def test_one_round_says_nothing_of_what_comes_and_goes(runner: Runner) -> None:
    rare = Deviation("C1", "it enumerates", "https://x", FAIL, match="ENUM_DIR", sometimes=True)
    runner.deviations = Deviations((rare,))
    assert run(runner, behaves).stale == {"samba": ()}
    kept = json.loads((runner.folder / "matrix.json").read_text())
    assert kept["stale_deviations"] == {"samba": []}
    runner.folder = runner.folder / "repeated"
    assert run(runner, behaves, behaves).stale == {"samba": (rare,)}
