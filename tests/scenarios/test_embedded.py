"""The scenarios against notify_server, embedded; and the proof that they could have failed."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.scenarios import embedded
from lab.scenarios.catalogue import load
from lab.scenarios.model import (
    Expectation,
    ExpectCollected,
    ExpectDelivered,
    ExpectDistinct,
    ExpectField,
    ExpectNoInterim,
    ExpectPending,
    ExpectRecords,
    Scenario,
    Wait,
)
from lab.verdicts.evidence import Evidence
from lab.verdicts.judge import UNSUPPORTED, judge
from lab.verdicts.matrix import Matrix
from lab.verdicts.run import Event
from lab.verdicts.verdict import Outcome
from tests.verdicts.tape import record

CATALOGUE = load()
NAMES = [scenario.name for scenario in CATALOGUE]
# Run by `make check`; the rest of the catalogue is for `make test`.
QUICK = ("A1", "A2", "A6b", "B6", "D1", "E4", "F4b", "G1")
EACH = [pytest.param(name, marks=() if name in QUICK else (pytest.mark.slow,)) for name in NAMES]
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return embedded.run(CATALOGUE.select(QUICK), tmp_path_factory.mktemp("quick"))


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    others = [scenario for scenario in CATALOGUE if scenario.name not in QUICK]
    return embedded.run(others, tmp_path_factory.mktemp("rest"))


@pytest.fixture
def matrix(request: pytest.FixtureRequest, name: str) -> Matrix:
    """The run that holds the scenario `name`; each scenario is run once."""
    result = request.getfixturevalue("quick" if name in QUICK else "rest")
    assert isinstance(result, Matrix)
    return result


def observed(matrix: Matrix, name: str) -> Lines:
    text = (matrix.run_dir / "py" / name / "observations.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["inotify", "fanotify"])
def test_the_core_scenarios_pass_with_each_source_of_changes(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "fanotify" and os.geteuid() != 0:
        pytest.skip("fanotify marks on file systems are root's")
    monkeypatch.setattr(embedded, "WATCH_SOURCE", source)
    scenarios = CATALOGUE.select(["core"])
    matrix = embedded.run(scenarios, tmp_path / "run")
    outcomes = {each.name: matrix.cell(each.name, "py").verdict.outcome for each in scenarios}
    assert set(outcomes.values()) == {Outcome.PASS}, outcomes
    logs = "".join(log.read_text() for log in (tmp_path / "run").rglob("server.log"))
    assert f"changes made beside the server come from {source}, as configured" in logs


@pytest.mark.parametrize("name", EACH)
def test_the_reference_server_passes(matrix: Matrix, name: str) -> None:
    verdict = matrix.cell(name, "py").verdict
    assert (verdict.outcome, verdict.reason, verdict.findings) == (Outcome.PASS, "", ())


# -- could it have failed? ------------------------------------------------------------------------


def _bend_field(wanted: ExpectField, lines: Lines, evidence: Evidence) -> None:
    pdu = lines[evidence.find(wanted.of, wanted.stage)]
    if wanted.field == "layout":
        pdu["body"]["records"][-1]["next_entry_offset"] = 4
        return
    *path, last = wanted.field.split(".")
    inner: Any = pdu
    for part in path:
        inner = inner[int(part)] if part.isdigit() else inner[part]
    value = inner[last]
    zeroed = wanted.match.kind in ("nonzero", "at_least", "bits_set")
    if wanted.match.kind == "bits_clear":
        inner[last] = 0xFFFFFFFF
    elif isinstance(value, bool):
        inner[last] = not value
    elif isinstance(value, int):
        inner[last] = 0 if zeroed else value + 8
    else:
        inner[last] = "bent"


def _bend_records(wanted: ExpectRecords, lines: Lines, evidence: Evidence) -> None:
    lines[evidence.find(wanted.of, "final")]["body"]["records"][-1]["name"] += "x"


def _bend_gathered(ref: str, lines: Lines, evidence: Evidence) -> None:
    """One more record in the first answer; where there was none, an answer with one."""
    collected = next(x for x in lines if x["kind"] == "collected" and x["ref"] == ref)
    first = collected["refs"][0]
    answer = next(x for x in lines if x.get("command") == "CHANGE_NOTIFY" and x["dir"] == "in")
    extra = record(0, 0, "REMOVED", "bent")
    bent = {**answer, "ref": "bent", "stage": "final", "body": {"records": [extra]}}
    lines.insert(evidence.find(first, "request") + 1, bent)
    collected["refs"].insert(0, "bent")


def _bend_collected(wanted: ExpectCollected, lines: Lines, evidence: Evidence) -> None:
    _bend_gathered(wanted.of, lines, evidence)


def _bend_delivered(wanted: ExpectDelivered, lines: Lines, evidence: Evidence) -> None:
    collected = [ref for ref in wanted.refs if ref in evidence.collected]
    if collected:
        _bend_gathered(collected[0], lines, evidence)
        return
    finals = [lines[evidence.find(ref, "final")] for ref in wanted.refs]
    next(f for f in finals if f["body"].get("records"))["body"]["records"][-1]["name"] += "x"


def _bend_pending(wanted: ExpectPending, lines: Lines, evidence: Evidence) -> None:
    """The answer comes right after the request."""
    at = evidence.find(wanted.of, "final")
    answered = {"stage": "final", "status": "STATUS_SUCCESS"}
    final = lines[at] if at >= 0 else {**lines[evidence.find(wanted.of, "interim")], **answered}
    lines.insert(evidence.find(wanted.of, "request") + 1, copy.deepcopy(final))


def _bend_no_interim(wanted: ExpectNoInterim, lines: Lines, evidence: Evidence) -> None:
    at = evidence.find(wanted.of, "final")
    lines.insert(at, {**lines[at], "stage": "interim", "status": "STATUS_PENDING"})


def _bend_distinct(wanted: ExpectDistinct, lines: Lines, evidence: Evidence) -> None:
    first, second, *_ = (lines[evidence.find(ref, wanted.stage)] for ref in wanted.refs)
    second["header"] = {**second["header"], "async_id": first["header"]["async_id"]}


BENDERS: Mapping[type[Any], Any] = {
    ExpectField: _bend_field,
    ExpectRecords: _bend_records,
    ExpectCollected: _bend_collected,
    ExpectPending: _bend_pending,
    ExpectNoInterim: _bend_no_interim,
    ExpectDistinct: _bend_distinct,
    ExpectDelivered: _bend_delivered,
}


def _without_others(scenario: Scenario, wanted: Expectation) -> Scenario:
    """It alone; but a refusal that the scenario asks for must go on being no lack of support."""
    refusals = [
        other
        for other in scenario.expectations
        if isinstance(other, ExpectField)
        and (other.of, other.field) == (getattr(wanted, "of", ""), "status")
        and set(UNSUPPORTED) & set(_statuses(other))
    ]
    others = [other for other in refusals if other != wanted]
    return replace(scenario, expectations=(wanted, *others))


def _statuses(wanted: ExpectField) -> tuple[Any, ...]:
    return wanted.match.value if isinstance(wanted.match.value, tuple) else (wanted.match.value,)


def _sample(scenario: Scenario) -> list[Expectation]:
    """All expectations, but of many that differ only in their request, a few."""
    alike: dict[tuple[Any, ...], list[Expectation]] = {}
    for wanted in scenario.expectations:
        key = (type(wanted), getattr(wanted, "field", ""), getattr(wanted, "match", ""))
        alike.setdefault(key, []).append(wanted)
    return [wanted for group in alike.values() for wanted in (*group[:10], *group[10:][-2:])]


@pytest.mark.parametrize("name", EACH)
def test_every_expectation_can_fail(matrix: Matrix, name: str) -> None:
    """Bend just what it looks at: alone, it must turn the verdict."""
    (scenario,) = CATALOGUE.select([name])
    lines = observed(matrix, scenario.name)
    for wanted in _sample(scenario):
        alone = _without_others(scenario, wanted)
        assert judge(alone, lines).outcome is Outcome.PASS
        bent = copy.deepcopy(lines)
        BENDERS[type(wanted)](wanted, bent, Evidence(lines))
        verdict = judge(alone, bent)
        assert verdict.outcome is Outcome.FAIL, wanted
        assert not verdict.reason.startswith("wire: "), wanted


@pytest.mark.parametrize("name", EACH)
def test_losing_any_response_to_a_notify_is_noticed(matrix: Matrix, name: str) -> None:
    (scenario,) = CATALOGUE.select([name])
    lines = observed(matrix, scenario.name)
    tidy = next(at for at, line in enumerate(lines) if line["kind"] == "tidy")
    responses = [
        at
        for at, line in enumerate(lines[:tidy])
        if line.get("command") == "CHANGE_NOTIFY" and line.get("stage") == "final"
    ]
    needed = _finals_needed(scenario, Evidence(lines))
    assert needed or scenario.name == "A4"
    for at in responses:
        if lines[at]["ref"] in needed:
            lost = lines[:at] + lines[at + 1 :]
            assert judge(scenario, lost).outcome is not Outcome.PASS, lines[at]["ref"]


def _finals_needed(scenario: Scenario, evidence: Evidence) -> set[str]:
    """The requests whose final response some expectation looks at."""
    names: set[str] = set()
    for wanted in scenario.expectations:
        if isinstance(wanted, ExpectDelivered):
            names.update(wanted.refs)
        elif isinstance(wanted, ExpectRecords | ExpectCollected | ExpectNoInterim) or (
            isinstance(wanted, ExpectField) and wanted.stage == "final"
        ):
            names.add(wanted.of)
    summed = [evidence.collected[name] for name in names if name in evidence.collected]
    return names | {ref for each in summed for ref in each["refs"]}


# -- the run itself -------------------------------------------------------------------------------


def test_the_run_leaves_its_evidence(quick: Matrix) -> None:
    result = json.loads((quick.run_dir / "matrix.json").read_text())
    assert [cell["verdict"] for cell in result["cells"]] == ["pass"] * len(QUICK)
    assert result["exit_code"] == quick.exit_code == 0
    assert (quick.run_dir / "junit.xml").read_text().count("<testcase ") == len(QUICK)
    for name in QUICK:
        assert (quick.run_dir / "py" / name / "server.log").exists()
        lines = observed(quick, name)
        assert (lines[0]["kind"], lines[-1]["kind"]) == ("begin", "end")


@pytest.mark.slow
def test_a_scenario_that_breaks_the_client_keeps_its_traceback_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    (good,) = CATALOGUE.select(["A1"])
    broken = replace(good, name="A9", steps=(*good.steps[:3], Wait("watcher", "nobody")))
    result = embedded.run([broken, good], tmp_path / "run")
    crash = result.cell("A9", "py").verdict
    assert (crash.outcome, crash.reason) == (Outcome.CLIENT_CRASH, "KeyError: 'nobody'")
    kept = (tmp_path / "run" / "py" / "A9" / "observations.jsonl").read_text()
    assert "Traceback (most recent call last)" in kept
    assert result.cell("A1", "py").verdict.outcome is Outcome.PASS


@pytest.mark.slow
def test_no_password_is_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.secrets, "token_urlsafe", lambda _: "hunter2-and-more")
    embedded.run(CATALOGUE.select(["A1"]), tmp_path / "run")
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path


@pytest.mark.slow
def test_a_server_killed_in_mid_run_costs_its_cell_and_says_so(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_during_c2(event: Event) -> None:
        if (event.scenario, event.state) == ("C2", "started"):
            pid = _server_pid()
            threading.Timer(0.15, lambda: os.kill(pid, signal.SIGKILL)).start()
            killed.append(pid)

    embedded_columns = CATALOGUE.select(["B1", "C2", "G1"])
    result = _run_quickly_given_up(embedded_columns, tmp_path, kill_during_c2)
    assert killed
    assert result.cell("B1", "py").verdict.outcome is Outcome.PASS
    crash = result.cell("C2", "py").verdict
    assert crash.outcome is Outcome.SERVER_CRASH
    assert "SIGKILL" in crash.reason
    assert result.cell("G1", "py").verdict.outcome is Outcome.NOT_RUN
    assert result.exit_code == 1


def _run_quickly_given_up(scenarios: Any, folder: Path, progress: Any) -> Matrix:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.verdicts.columns.COME_BACK_S", 0.3)
        return embedded.run(scenarios, folder / "run", progress)


def _server_pid() -> int:
    """The child of this process that runs notify_server."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            argv = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if b"notify_server" in argv and parent == os.getpid():
            return int(entry.name)
    raise AssertionError("notify_server is not running")


@pytest.mark.slow
def test_ctrl_c_reports_what_is_done_and_leaves_no_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from lab.scenarios import embedded; from lab.scenarios.catalogue import load\n"
        "show = lambda e: print(e.scenario, e.state, flush=True)\n"
        "m = embedded.run(load().select(['C', 'D']), Path(sys.argv[1]), show)\n"
        "print('partial', m.partial, m.exit_code, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
        env=embedded.client_environment(),
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "C1 started\n"
    assert process.stdout.readline() == "C1 done\n"
    children = _descendants(process.pid)
    assert len(children) == 2  # the server and the interpreter
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(10) == 0
    assert "partial True 3" in rest
    result = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert result["partial"] is True
    verdicts = {cell["scenario"]: cell["verdict"] for cell in result["cells"]}
    assert verdicts["C1"] == "pass"
    assert "not run" in verdicts.values()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline, "children are left behind"
        time.sleep(0.02)


def _descendants(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(entry.name))
    return found
