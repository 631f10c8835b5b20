"""The runner and the captures: when they begin and end, and what a verdict is worth without one."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lab.evidence.capture import Trust
from lab.scenarios.server_side import Liveness
from lab.verdicts import columns, run
from lab.verdicts.matrix import Matrix
from lab.verdicts.run import run_matrix
from lab.verdicts.verdict import Outcome
from tests.verdicts.tape import one_change_observed
from tests.verdicts.test_run import SCENARIOS, FakePipe, Runner, on_second, outcomes

PASS = Outcome.PASS
LOST = Trust(False, "tcpdump: 3 packets dropped by the kernel")


@dataclass
class FakeRecording:
    """Notes what it is told; believes every cell but those in `trusts`."""

    trusts: Mapping[str, Trust] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.did.append("start")

    def cell(
        self,
        scenario: str,
        directory: str,
        began: float,
        ended: float,
        observations: Sequence[Mapping[str, Any]],
    ) -> None:
        assert began <= ended
        assert observations
        self.did.append(scenario)
        self.directories.append(directory)

    def finish(self) -> Mapping[str, Trust]:
        self.did.append("finish")
        done = [name for name in self.did if name in {s.name for s in SCENARIOS}]
        return {name: self.trusts.get(name, Trust(True)) for name in done}

    def abandon(self) -> None:
        self.did.append("abandon")


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr(run, "SCENARIO_DEADLINE_S", 0.2)
    monkeypatch.setattr(columns, "COME_BACK_S", 0.3)
    return Runner(tmp_path / "run")


def recorded(runner: Runner, recording: FakeRecording) -> Matrix:
    column = replace(runner.column(), recording=recording)
    return run_matrix([column], SCENARIOS, runner.folder, runner.events.append)


def test_a_capture_spans_the_column_and_is_told_of_each_scenario(runner: Runner) -> None:
    recording = FakeRecording()
    assert outcomes(recorded(runner, recording)) == [PASS] * 3
    assert recording.did == ["start", "C1", "C2", "C3", "finish"]
    assert [name.split("-")[0] for name in recording.directories] == ["c1", "c2", "c3"]


def test_a_capture_that_cannot_be_believed_is_no_evidence(runner: Runner) -> None:
    matrix = recorded(runner, FakeRecording({"C2": LOST}))
    assert outcomes(matrix) == [PASS, Outcome.NO_EVIDENCE, PASS]
    cell = matrix.cell("C2", "samba")
    assert cell.verdict.reason == LOST.reason
    assert cell.raw.outcome is PASS
    assert matrix.exit_code == 1
    assert json.loads((matrix.run_dir / "matrix.json").read_text())["exit_code"] == 1


def test_a_timeout_and_a_crash_are_what_they_are_without_packets(runner: Runner) -> None:
    up, gone = Liveness(True), Liveness(False, "kernel BUG at lib/list_debug.c:29")
    runner.server.lives = [up, up, up, gone, gone]
    runner.behave = on_second(lambda pipe, job: pipe.say([{"kind": "begin"}]))
    recording = FakeRecording(dict.fromkeys(("C2", "C3"), LOST))
    matrix = recorded(runner, recording)
    assert outcomes(matrix) == [PASS, Outcome.TIMEOUT, Outcome.SERVER_CRASH]


def test_an_error_of_our_own_leaves_no_capture_running(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("a mistake in the runner")

    monkeypatch.setattr(run, "judge", explode)
    recording = FakeRecording()
    column = replace(runner.column(), recording=recording)
    one = run._ColumnRunner(column, SCENARIOS, runner.folder, lambda _: None, run.threading.Event())
    with pytest.raises(RuntimeError):
        one.run()
    assert recording.did == ["start", "abandon"]


def test_a_session_key_reaches_the_capture_and_no_other_file(runner: Runner) -> None:
    key = "00112233445566778899aabbccddeeff"
    said = {"kind": "session_key", "conn": "c", "session_id": "00000000000000ff", "t": 0.0}

    def behave(pipe: FakePipe, job: dict[str, Any]) -> None:
        pipe.say([{**said, "session_key": key}, *one_change_observed()])

    runner.behave = behave
    keys: list[str] = []

    class Noting(FakeRecording):
        def cell(self, *told: Any) -> None:
            keys.extend(o["session_key"] for o in told[-1] if "session_key" in o)

    recorded(runner, Noting())
    assert keys == [key] * 3
    lines = (runner.folder / "samba/C1/observations.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == said, "the line stays: others are found by their number"
    for path in runner.folder.rglob("*"):
        assert path.is_dir() or key not in path.read_text()


@pytest.mark.slow
def test_a_server_that_stays_away_is_waited_for_once(runner: Runner) -> None:
    runner.server.lives = [Liveness(True), Liveness(False, "exit code 137")]
    many = tuple(replace(SCENARIOS[0], name=f"C{number}") for number in range(1, 9))
    began = time.monotonic()
    matrix = runner.run(many)
    assert outcomes(matrix) == [Outcome.SERVER_CRASH, *[Outcome.NOT_RUN] * 7]
    assert time.monotonic() - began < 3 * columns.COME_BACK_S


def test_a_full_disk_leaves_cells_not_run_with_the_reason(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run._ColumnRunner, "_keep", full)
    matrix = recorded(runner, FakeRecording())
    assert outcomes(matrix) == [Outcome.NOT_RUN] * 3
    assert "No space left on device" in matrix.cell("C1", "samba").verdict.reason
    assert matrix.exit_code == 3
