"""A run of subtests: cells, what is kept, servers that end, interruption. Without any process."""

from __future__ import annotations

import json
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.errors import LabFailed
from lab.nodes.model import Completed
from lab.scenarios.pipe import Pipe, PipeClosed
from lab.scenarios.server_side import Liveness
from lab.targets import Target
from lab.torture import process
from lab.torture.listing import subtest
from lab.torture.run import Column, run_subtests
from lab.verdicts import columns, deviations
from lab.verdicts.matrix import AS_EXPECTED, LAB_FAILED, NEWLY_FAILING, Matrix
from lab.verdicts.run import Event
from lab.verdicts.verdict import Outcome

PASS = "test: x\ntime: 1\nsuccess: x\n"
FAIL = "failure: x [\nsource4/torture/smb2/notify.c:12: it is wrong\n]\n"
NAMES = ["smb2.notify.dir", "smb2.notify.tree", "smb2.delete-on-close-perms.CREATE Existing"]


class Said:
    """smbtorture's end of the pipe: these lines, then its end."""

    def __init__(self, text: str, code: int) -> None:
        self.lines = text.splitlines()
        self.code = code
        self.told: list[str] = []

    def write_line(self, line: str) -> None:
        self.told.append(line)

    def read_line(self, deadline_s: float) -> str:
        if not self.lines:
            raise PipeClosed("the process ended")
        return self.lines.pop(0)

    def close(self) -> int | None:
        return self.code


class Server:
    """Answers `alive` from a list; alive when that is used up."""

    def __init__(self, *alive: Liveness) -> None:
        self.answers = [*alive]

    def act(self, argv: Sequence[str]) -> Completed:
        raise AssertionError("smbtorture needs nothing done on the server")

    def alive(self) -> Liveness:
        return self.answers.pop(0) if self.answers else Liveness(True)

    def evidence(self, since: float) -> Mapping[str, str]:
        return {"server.log": "what it wrote\n"}


def says(**outputs: str) -> Callable[[Sequence[str]], Pipe]:
    """A client whose smbtorture prints by the last word of a subtest's name; PASS otherwise."""

    def open_pipe(argv: Sequence[str]) -> Pipe:
        text = outputs.get(argv[-1].rpartition(".")[2], PASS)
        return Said(text, 0 if text == PASS else 1)

    return open_pipe


def column(
    name: str = "py",
    server: Server | None = None,
    open_pipe: Callable[[Sequence[str]], Pipe] | None = None,
    known: str = "",
    scale: float = 1.0,
) -> Column:
    target = Target(name, name, 445, "TEST", "tester", "secret", scale=scale)
    return Column(
        target,
        server or Server(),
        open_pipe or says(),
        deviations.parse(tomllib.loads(known), "known.toml"),
    )


def run(tmp_path: Path, *columns: Column, names: Sequence[str] = NAMES) -> Matrix:
    return run_subtests(columns, [subtest(name) for name in names], tmp_path)


def outcomes(matrix: Matrix, server: str = "py") -> list[Outcome]:
    return [matrix.cell(row.name, server).verdict.outcome for row in matrix.scenarios]


def test_each_subtest_has_a_cell_for_each_server(tmp_path: Path) -> None:
    matrix = run(tmp_path, column(), column("samba", open_pipe=says(tree=FAIL)))
    assert outcomes(matrix) == [Outcome.PASS] * 3
    assert outcomes(matrix, "samba") == [Outcome.PASS, Outcome.FAIL, Outcome.PASS]
    assert matrix.cell("smb2.notify.tree", "samba").verdict.reason == "notify.c:12: it is wrong"
    assert matrix.exit_code == NEWLY_FAILING


def test_what_is_kept(tmp_path: Path) -> None:
    run(tmp_path, column(open_pipe=says(tree=FAIL)))
    folder = tmp_path / "py" / "smb2.notify.tree"
    assert (folder / "smbtorture.txt").read_text() == (
        f"$ smbtorture //py/TEST --smb-ports=445 smb2.notify.tree -A credentials\n{FAIL}"
        "[exit code 1]\n"
    )
    assert (folder / "server.log").read_text() == "what it wrote\n"
    cells = json.loads((tmp_path / "matrix.json").read_text())["cells"]
    assert all((tmp_path / cell["evidence"]["file"]).is_file() for cell in cells)
    suites = ElementTree.parse(tmp_path / "junit.xml").getroot()
    (suite,) = suites.findall("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert suite[0].get("classname") == "py.smb2.notify"


def test_the_password_is_kept_nowhere(tmp_path: Path) -> None:
    run(tmp_path, column())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if "secret" in path.read_text()]


KNOWN = """
[[deviation]]
scenario = "smb2.notify.tree"
outcome = "fail"
match = "it is wrong"
reason = "because"
link = "https://example.org/"
"""


def test_a_known_failure_is_as_expected(tmp_path: Path) -> None:
    matrix = run(tmp_path, column(open_pipe=says(tree=FAIL), known=KNOWN))
    assert outcomes(matrix) == [Outcome.PASS, Outcome.KNOWN_DEVIATION, Outcome.PASS]
    assert matrix.exit_code == AS_EXPECTED


def test_one_that_passes_in_spite_of_it_is_an_error(tmp_path: Path) -> None:
    matrix = run(tmp_path, column(known=KNOWN))
    assert outcomes(matrix)[1] is Outcome.UNEXPECTED_PASS
    assert matrix.exit_code == NEWLY_FAILING


def test_a_server_that_ended_costs_its_cell_alone(tmp_path: Path) -> None:
    gone = Liveness(False, "it ended and was started again: Kernel panic - not syncing")
    server = Server(Liveness(True), gone, Liveness(False, "booting"))
    matrix = run(tmp_path, column("ksmbd", server))
    assert outcomes(matrix, "ksmbd") == [Outcome.SERVER_CRASH, Outcome.PASS, Outcome.PASS]
    assert "Kernel panic" in matrix.cell(NAMES[0], "ksmbd").verdict.reason


@pytest.mark.slow
def test_a_server_that_stays_away_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "COME_BACK_S", 0.3)
    looks = 0

    class Gone(Server):
        def alive(self) -> Liveness:
            nonlocal looks
            looks += 1
            return Liveness(False, "gone")

    matrix = run(tmp_path, column(server=Gone()))
    assert outcomes(matrix) == [Outcome.NOT_RUN] * 3
    assert matrix.cell(NAMES[0], "py").verdict.reason == "py does not answer"
    assert matrix.exit_code == LAB_FAILED
    assert looks <= 5


def test_a_client_that_cannot_be_used_is_a_reason(tmp_path: Path) -> None:
    def open_pipe(argv: Sequence[str]) -> Pipe:
        raise LabFailed("client is not running")

    matrix = run(tmp_path, column(open_pipe=open_pipe))
    assert matrix.cell(NAMES[0], "py").verdict.reason == "client is not running"
    assert matrix.exit_code == LAB_FAILED


def test_deadlines_grow_with_what_a_server_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, str, float]] = []

    def fake(
        open_pipe: object, target: Target, share: str, name: str, deadline: float, stop: object
    ) -> process.Ran:
        given.append((share, name, deadline))
        return process.Ran(PASS, 0)

    monkeypatch.setattr(process, "run", fake)
    names = ["smb2.notify.mask", "smb2.notify.dir", "smb2.change_notify_disabled.x"]
    run(tmp_path, column(scale=3.0), names=names)
    assert given == [
        ("TEST", "smb2.notify.mask", 540.0),
        ("TEST", "smb2.notify.dir", 180.0),
        ("NOTIFY_OFF", "smb2.change_notify_disabled.x", 180.0),
    ]
    given.clear()
    run_subtests([column(scale=3.0)], [subtest(names[0])], tmp_path, deadline=10.0)
    assert [deadline for _, _, deadline in given] == [30.0]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[Event] = []
    run_subtests([column()], [subtest(name) for name in NAMES[:2]], tmp_path, told.append)
    assert [(event.scenario, event.state, event.done) for event in told] == [
        (NAMES[0], "started", 0),
        (NAMES[0], "done", 1),
        (NAMES[1], "started", 1),
        (NAMES[1], "done", 2),
    ]


def test_an_interrupted_run_keeps_what_is_done_and_ends_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()
    begun = threading.Event()

    class Endless(Said):
        def read_line(self, deadline_s: float) -> str:
            begun.set()
            raise TimeoutError

        def close(self) -> int | None:
            closed.set()
            return None

    def open_pipe(argv: Sequence[str]) -> Pipe:
        return Said(PASS, 0) if argv[-1] == NAMES[0] else Endless("", 0)

    real_join = threading.Thread.join
    interrupts = [KeyboardInterrupt()]

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        if interrupts:
            assert begun.wait(5)
            raise interrupts.pop()
        real_join(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", join)
    matrix = run(tmp_path, column(open_pipe=open_pipe))
    assert closed.is_set()
    assert matrix.partial
    assert outcomes(matrix) == [Outcome.PASS, Outcome.NOT_RUN, Outcome.NOT_RUN]
    assert json.loads((tmp_path / "matrix.json").read_text())["partial"] is True
