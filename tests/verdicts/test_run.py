"""The runner against interpreters and servers that fail in every way they can."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lab.crashes.known import Identified, Known
from lab.crashes.model import Crash, Frame, Kind
from lab.errors import LabFailed
from lab.nodes.model import Completed
from lab.scenarios.model import Scenario, language
from lab.scenarios.pipe import PipeClosed
from lab.scenarios.server_side import Liveness
from lab.targets import Target
from lab.verdicts import columns, run
from lab.verdicts.deviations import Cannot, Deviation, Deviations
from lab.verdicts.matrix import Matrix
from lab.verdicts.rounds import merge
from lab.verdicts.run import Column, Event, run_matrix
from lab.verdicts.verdict import Outcome
from tests.verdicts.tape import ONE_CHANGE, one_change_observed

HELLO = json.dumps({"kind": "hello", "language": language()})
SCENARIOS = tuple(replace(ONE_CHANGE, name=name) for name in ("C1", "C2", "C3"))
ASK = {"kind": "ask", "index": 4, "argv": ["touch", "{dir}/a"]}

Behave = Callable[["FakePipe", dict[str, Any]], None]


class FakePipe:
    """An interpreter whose answer to a job is decided by the test."""

    says_hello = True

    def __init__(self, behave: Behave) -> None:
        self.lines: deque[str] = deque([HELLO] if self.says_hello else [])
        self.written: list[dict[str, Any]] = []
        self.closed = False
        self.dead = ""
        self._behave = behave

    def write_line(self, line: str) -> None:
        assert "\n" not in line
        plain = json.loads(line)
        self.written.append(plain)
        if "job" in plain:
            self._behave(self, plain)

    def read_line(self, deadline_s: float) -> str:
        if self.lines:
            return self.lines.popleft()
        if self.dead:
            raise PipeClosed(self.dead)
        time.sleep(min(deadline_s, 0.01))
        raise TimeoutError

    def close(self) -> int | None:
        self.closed = True
        return 0

    def say(self, observations: Sequence[Mapping[str, Any]]) -> None:
        self.lines.extend(json.dumps(line) for line in observations)


@dataclass
class FakeServer:
    """Alive as long as `lives` says so, call by call; afterwards as in its last item."""

    lives: list[Liveness] = field(default_factory=lambda: [Liveness(True)])
    acted: list[list[str]] = field(default_factory=list)

    def act(self, argv: Sequence[str]) -> Completed:
        self.acted.append(list(argv))
        return Completed(0, b"", b"")

    def alive(self) -> Liveness:
        return self.lives.pop(0) if len(self.lives) > 1 else self.lives[0]

    def evidence(self, since: float) -> Mapping[str, str]:
        return {"server.log": "it served\n"}


@dataclass
class FakeKernel:
    """Reports, look by look; `told` is what it was asked."""

    found: list[list[Identified]]
    told: list[str] = field(default_factory=list)
    leaks: list[Identified] = field(default_factory=list)

    def start(self) -> None:
        self.told.append("start")

    def reports(self, *, ended: bool) -> Sequence[Identified]:
        self.told.append("ended" if ended else "alive")
        return self.found.pop(0)

    def finish(self) -> Sequence[Identified]:
        self.told.append("finish")
        return self.leaks

    def decoded(self, crash: Crash) -> str:
        return f"{crash.text}, decoded"


def behaves(pipe: FakePipe, job: dict[str, Any]) -> None:
    pipe.say([*one_change_observed()[:-1], ASK, {"kind": "end"}])


def on_second(other: Behave) -> Behave:
    """Behave, but for the second job of all interpreters together."""
    jobs: list[int] = []

    def behave(pipe: FakePipe, job: dict[str, Any]) -> None:
        jobs.append(1)
        (other if len(jobs) == 2 else behaves)(pipe, job)

    return behave


class Runner:
    """One column of fakes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = FakeServer()
        self.behave: Behave = behaves
        self.pipes: list[FakePipe] = []
        self.deviations = Deviations()
        self.kernel: FakeKernel | None = None
        self.events: list[Event] = []

    def _open(self) -> FakePipe:
        self.pipes.append(FakePipe(self.behave))
        return self.pipes[-1]

    def column(self, name: str = "samba") -> Column:
        target = Target(name, "samba", 445, "TEST", "tester", "s3cret-word", "/srv/share")
        return Column(target, self.server, self._open, self.deviations, kernel=self.kernel)

    def run(self, scenarios: Sequence[Scenario] = SCENARIOS) -> Matrix:
        return run_matrix([self.column()], scenarios, self.folder, self.events.append)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr(run, "SCENARIO_DEADLINE_S", 0.2)
    monkeypatch.setattr(columns, "COME_BACK_S", 0.5)
    return Runner(tmp_path / "run")


def outcomes(matrix: Matrix) -> list[Outcome]:
    return [verdict.outcome for verdict in matrix.verdicts()]


PASS = Outcome.PASS


def test_one_interpreter_serves_all_scenarios_each_in_its_own_directory(runner: Runner) -> None:
    matrix = runner.run()
    assert outcomes(matrix) == [PASS, PASS, PASS]
    assert matrix.exit_code == 0
    (pipe,) = runner.pipes
    assert pipe.closed
    directories = [line["target"]["directory"] for line in pipe.written if "job" in line]
    assert [name.split("-")[0] for name in directories] == ["c1", "c2", "c3"]
    assert len(set(directories)) == 3
    touched = [argv for argv in runner.server.acted if argv[0] == "touch"]
    assert touched == [["touch", f"/srv/share/{name}/a"] for name in directories]
    removed = [argv for argv in runner.server.acted if argv[0] == "rm"]
    assert removed == [["rm", "-rf", *(f"/srv/share/{name}" for name in directories)]]


def test_the_evidence_is_kept_and_the_password_is_not(runner: Runner) -> None:
    matrix = runner.run()
    folder = matrix.run_dir / "samba" / "C2"
    assert (folder / "server.log").read_text() == "it served\n"
    lines = [json.loads(x) for x in (folder / "observations.jsonl").read_text().splitlines()]
    assert (lines[0]["kind"], lines[-1]["kind"]) == ("begin", "end")
    for path in matrix.run_dir.rglob("*"):
        assert path.is_dir() or "s3cret-word" not in path.read_text()


def test_progress_is_told_as_it_happens(runner: Runner) -> None:
    runner.run()
    assert [(e.scenario, e.state, e.done, e.total) for e in runner.events[:4]] == [
        ("C1", "started", 0, 3),
        ("C1", "done", 1, 3),
        ("C2", "started", 1, 3),
        ("C2", "done", 2, 3),
    ]


def test_an_interpreter_that_hangs_is_a_timeout_and_is_replaced(runner: Runner) -> None:
    runner.behave = on_second(lambda pipe, job: pipe.say([{"kind": "begin"}]))
    matrix = runner.run()
    assert outcomes(matrix) == [PASS, Outcome.TIMEOUT, PASS]
    assert [pipe.closed for pipe in runner.pipes] == [True, True]
    assert matrix.exit_code == 1


def test_an_interpreter_that_dies_is_a_client_crash_with_its_last_words(runner: Runner) -> None:
    def die(pipe: FakePipe, job: dict[str, Any]) -> None:
        pipe.dead = "MemoryError"

    runner.behave = on_second(die)
    matrix = runner.run()
    assert outcomes(matrix) == [PASS, Outcome.CLIENT_CRASH, PASS]
    assert matrix.cell("C2", "samba").verdict.reason == "MemoryError"


def test_an_interpreter_that_does_not_start_is_a_client_crash(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HELLO_DEADLINE_S", 0.05)
    monkeypatch.setattr(FakePipe, "says_hello", False)
    verdict = runner.run(SCENARIOS[:1]).cell("C1", "samba").verdict
    assert verdict.outcome is Outcome.CLIENT_CRASH
    assert verdict.reason == "the interpreter did not start within 0.05 s"


def test_an_interpreter_of_another_lab_runs_nothing_and_says_what_to_do(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "language", lambda: "another")
    matrix = runner.run()
    assert outcomes(matrix) == [Outcome.NOT_RUN] * 3
    assert "the interpreter of another lab" in matrix.cell("C1", "samba").verdict.reason
    assert matrix.exit_code == 3


def test_nonsense_from_the_interpreter_is_a_client_crash(runner: Runner) -> None:
    runner.behave = on_second(lambda pipe, job: pipe.lines.append("Segmentation fault"))
    assert outcomes(runner.run()) == [PASS, Outcome.CLIENT_CRASH, PASS]


def test_a_server_that_dies_and_comes_back_costs_one_cell(runner: Runner) -> None:
    up, gone = Liveness(True), Liveness(False, "kernel BUG at lib/list_debug.c:29")
    runner.server.lives = [up, up, gone, gone, up]
    matrix = runner.run()
    assert outcomes(matrix) == [PASS, Outcome.SERVER_CRASH, PASS]
    assert "list_debug" in matrix.cell("C2", "samba").verdict.reason
    assert matrix.exit_code == 1


@pytest.mark.slow
def test_a_server_that_stays_away_leaves_the_rest_not_run(runner: Runner) -> None:
    runner.server.lives = [Liveness(True), Liveness(False, "exit code 137")]
    matrix = runner.run()
    assert outcomes(matrix) == [Outcome.SERVER_CRASH, Outcome.NOT_RUN, Outcome.NOT_RUN]
    assert matrix.cell("C3", "samba").verdict.reason == "samba does not answer"


def test_a_server_of_which_nothing_can_be_learnt_is_gone(runner: Runner) -> None:
    lives = [Liveness(True), LabFailed("its log cannot be read"), Liveness(True)]

    def alive() -> Liveness:
        life = lives.pop(0) if len(lives) > 1 else lives[0]
        if isinstance(life, LabFailed):
            raise life
        return life

    runner.server.alive = alive  # type: ignore[method-assign]
    matrix = runner.run()
    assert outcomes(matrix) == [Outcome.SERVER_CRASH, PASS, PASS]
    assert matrix.cell("C1", "samba").verdict.reason == "its log cannot be read"


@pytest.mark.slow
def test_a_server_that_was_never_there_is_the_labs_failure(runner: Runner) -> None:
    runner.server.lives = [Liveness(False, "no such container")]
    matrix = runner.run()
    assert outcomes(matrix) == [Outcome.NOT_RUN] * 3
    assert matrix.exit_code == 3


def test_an_interpreter_that_cannot_be_started_is_the_labs_failure(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Runner) -> FakePipe:
        raise LabFailed("the client container is not running")

    monkeypatch.setattr(Runner, "_open", refuse)
    matrix = runner.run()
    assert outcomes(matrix) == [Outcome.NOT_RUN] * 3
    assert "client container" in matrix.cell("C1", "samba").verdict.reason


def test_a_command_that_cannot_be_run_on_the_server_is_told_to_the_client(runner: Runner) -> None:
    def fail(argv: Sequence[str]) -> Completed:
        raise LabFailed("the guest does not answer")

    runner.server.act = fail  # type: ignore[method-assign]
    runner.run()
    reply = next(line["reply"] for line in runner.pipes[0].written if "reply" in line)
    assert reply == {"returncode": -1, "stdout": "", "stderr": "the guest does not answer"}


def test_a_known_deviation_and_a_stale_one(runner: Runner) -> None:
    def deviate(pipe: FakePipe, job: dict[str, Any]) -> None:
        lines = one_change_observed()
        final = next(x for x in lines if x.get("stage") == "final" and x["ref"] == "notify1")
        final["status"] = "STATUS_NOTIFY_ENUM_DIR"
        pipe.say(lines)

    known = Deviation("C2", "it enumerates", "https://x", Outcome.FAIL, match="ENUM_DIR")
    stale = Deviation("C3", "it sleeps", "https://x", finding="signature")
    runner.deviations = Deviations((known, stale))
    runner.behave = on_second(deviate)
    matrix = runner.run()
    assert outcomes(matrix) == [PASS, Outcome.KNOWN_DEVIATION, PASS]
    assert matrix.exit_code == 0
    assert matrix.stale == {"samba": (stale,)}
    assert matrix.cell("C2", "samba").raw.outcome is Outcome.FAIL


def test_what_the_server_cannot_do_is_not_tried(runner: Runner) -> None:
    scenarios = [replace(item, needs=("a tail",)) for item in SCENARIOS]
    runner.deviations = Deviations(cannot=(Cannot("a tail", "it is a bird", "https://x"),))
    matrix = runner.run(scenarios)
    assert outcomes(matrix) == [Outcome.UNSUPPORTED] * 3
    assert matrix.exit_code == 0
    assert matrix.cell("C1", "samba").verdict.reason == "it is a bird"
    assert not runner.pipes


@pytest.mark.slow
def test_a_deviation_of_what_never_ran_is_not_stale(runner: Runner) -> None:
    runner.server.lives = [Liveness(True), Liveness(True), Liveness(False, "exit code 137")]
    entries = [Deviation(name, "why", "https://x", Outcome.FAIL) for name in ("C1", "C2", "C3")]
    runner.deviations = Deviations(tuple(entries))
    matrix = runner.run()
    assert outcomes(matrix)[1:] == [Outcome.SERVER_CRASH, Outcome.NOT_RUN]
    assert matrix.stale == {"samba": (entries[0],)}


def test_columns_run_side_by_side(runner: Runner, tmp_path: Path) -> None:
    """Each waits for the other's first scenario: one after another, neither would end."""
    barrier = threading.Barrier(2, timeout=5.0)

    def meet(event: Event) -> None:
        if (event.scenario, event.state) == ("C1", "started"):
            barrier.wait()

    columns = [runner.column("samba"), runner.column("py")]
    matrix = run_matrix(columns, SCENARIOS, tmp_path / "both", meet)
    assert matrix.servers == ("samba", "py")
    assert outcomes(matrix) == [PASS] * 6


OOPS = Crash(Kind.OOPS, "a bad end in f", (Frame("f", 1),), fatal=True, text="Oops")
WARN = Crash(Kind.WARNING, "a warning in g", (Frame("g", 2),), text="Warned")


def test_what_the_kernel_reports_belongs_to_its_cell(runner: Runner) -> None:
    first, second = (scenario.name for scenario in SCENARIOS[:2])
    runner.server.lives = [Liveness(True), Liveness(False, "it ended"), Liveness(True)]
    runner.kernel = FakeKernel([[Identified(OOPS)], [Identified(WARN)]])
    matrix = runner.run(SCENARIOS[:2])
    crashed, warned = (matrix.cell(name, "samba") for name in (first, second))
    assert (crashed.verdict.outcome, crashed.verdict.reason) == (
        Outcome.SERVER_CRASH,
        "it ended: kernel: a bad end in f",
    )
    assert (warned.verdict.outcome, warned.raw.outcome) == (Outcome.FAIL, Outcome.PASS)
    assert runner.kernel.told == ["start", "ended", "alive", "finish"]
    assert "Oops, decoded" in (runner.folder / "samba" / first / "crash.txt").read_text()
    plain = json.loads((runner.folder / "matrix.json").read_text())
    assert [cell["crashes"][0]["fingerprint"] for cell in plain["cells"]] == [
        "oops: f+0x1",
        "warning: g+0x2",
    ]


def test_a_quiet_kernel_leaves_nothing(runner: Runner) -> None:
    runner.kernel = FakeKernel([[]])
    matrix = runner.run(SCENARIOS[:1])
    assert outcomes(matrix) == [PASS]
    assert not list(runner.folder.rglob("crash.txt"))


def test_a_deviation_explains_no_report(runner: Runner) -> None:
    """What is known of the scenario is not known of the kernel."""
    name = SCENARIOS[0].name
    known = Deviation(name, "it does that", "https://example.org", Outcome.FAIL)
    runner.deviations = Deviations((known,))
    runner.kernel = FakeKernel([[Identified(WARN)]])
    matrix = runner.run(SCENARIOS[:1])
    verdict = matrix.cell(name, "samba").verdict
    assert verdict.outcome is Outcome.FAIL
    assert "kernel: a warning in g" in verdict.reason


@pytest.mark.parametrize(("known", "code"), [(None, 1), (Known("r", "l", pattern="."), 0)])
def test_what_is_not_given_back_fails_the_run_unless_known(
    runner: Runner, known: Known | None, code: int
) -> None:
    leak = Crash(Kind.LEAK, "memory that nothing refers to, allocated in f", (Frame("f", 1),))
    runner.kernel = FakeKernel([[]], leaks=[Identified(leak, known)])
    matrix = runner.run(SCENARIOS[:1])
    assert outcomes(matrix) == [PASS]
    assert matrix.exit_code == code
    plain = json.loads((runner.folder / "matrix.json").read_text())
    assert plain["leaks"]["samba"][0]["fingerprint"] == "leak: f+0x1"
    assert "allocated in f" in (runner.folder / "samba/leaks.txt").read_text()
    assert (
        'name="memory that nothing refers to, allocated in f"'
        in (runner.folder / "junit.xml").read_text()
    )


def test_rounds_tell_each_leak_once(tmp_path: Path, runner: Runner) -> None:
    leak = Identified(Crash(Kind.LEAK, "files that stay open"))
    runner.kernel = FakeKernel([[], []], leaks=[leak])
    one = runner.run(SCENARIOS[:1])
    two = runner.run(SCENARIOS[:1])
    assert merge([one, two], tmp_path / "merged").leaks == {"samba": (leak,)}
