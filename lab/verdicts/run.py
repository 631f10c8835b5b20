"""Running scenarios against servers: one thread and one interpreter for each server.

Scenarios of one server run one after another, each in a directory and on connections of its own;
the servers run side by side. A server that is gone after a scenario costs that cell; the others go
on if it comes back in time. An interpreter that hangs or dies costs its cell, and is replaced.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from lab.crashes.known import Identified
from lab.crashes.model import Crash
from lab.errors import LabError
from lab.evidence.capture import Trust
from lab.scenarios.model import Scenario
from lab.scenarios.pipe import Pipe, PipeClosed
from lab.scenarios.server_side import Liveness, ServerSide
from lab.targets import Target
from lab.verdicts import crashes
from lab.verdicts.deviations import Deviations
from lab.verdicts.export import junit_xml, matrix_json
from lab.verdicts.judge import judge
from lab.verdicts.matrix import NOT_RUN, Cell, Matrix
from lab.verdicts.verdict import Outcome, Verdict

SCENARIO_DEADLINE_S = 30.0  # scaled; a net below the interpreter's own deadlines
HELLO_DEADLINE_S = 15.0
COME_BACK_S = 20.0  # scaled: how long a server that went away may take to answer again


# What happened whether or not packets show it; every other verdict rests on the capture.
NEEDS_NO_CAPTURE = {
    Outcome.TIMEOUT,
    Outcome.SERVER_CRASH,
    Outcome.CLIENT_CRASH,
    Outcome.NOT_RUN,
}


JUDGED = {Outcome.PASS, Outcome.FAIL, Outcome.UNSUPPORTED}


class Kernel(Protocol):
    """A server's kernel, as `lab.crashes.kernel.Watched` looks at its console."""

    def start(self) -> None: ...

    def reports(self, *, ended: bool) -> Sequence[Identified]:
        """What it reported since the last time; `ended`: the server is known to be gone."""
        ...

    def decoded(self, crash: Crash) -> str:
        """The report's text, with files and lines where there are symbols."""
        ...


class Recording(Protocol):
    """A column's capture, as `lab.evidence.column.ColumnEvidence` takes it."""

    def start(self) -> None: ...

    def cell(
        self,
        scenario: str,
        directory: str,
        began: float,
        ended: float,
        observations: Sequence[Mapping[str, Any]],
    ) -> None: ...

    def finish(self) -> Mapping[str, Trust]: ...

    def abandon(self) -> None: ...


@dataclass(frozen=True)
class Column:
    """One server of the matrix, and all that is needed to run scenarios against it.

    Without `recording` no capture is taken, and verdicts stand on the observations alone. `kernel`
    is there where a server has one of its own.
    """

    target: Target
    server: ServerSide
    open_client: Callable[[], Pipe]
    deviations: Deviations = field(default_factory=Deviations)
    recording: Recording | None = None
    kernel: Kernel | None = None


@dataclass(frozen=True)
class Event:
    """Told to the progress callback, from the column's thread."""

    server: str
    scenario: str
    state: Literal["started", "done"]
    done: int
    total: int
    verdict: Verdict | None = None


ProgressCallback = Callable[[Event], None]


def run_matrix(
    columns: Sequence[Column],
    scenarios: Sequence[Scenario],
    run_dir: Path,
    progress: ProgressCallback | None = None,
    whole: bool = False,
) -> Matrix:
    """Every scenario against every column; writes `<server>/<scenario>/` below `run_dir`.

    `whole`: the scenarios are the whole catalogue. KeyboardInterrupt ends the run early: what is
    done is returned, marked partial.
    """
    started = time.time()
    tell = progress or (lambda _: None)
    stop = threading.Event()
    runners = [_ColumnRunner(column, scenarios, run_dir, tell, stop) for column in columns]
    threads = [threading.Thread(target=runner.run, name=runner.name) for runner in runners]
    for thread in threads:
        thread.start()
    interrupted = False
    while any(thread.is_alive() for thread in threads):
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            interrupted = True
            stop.set()
    cells = {(name, runner.name): cell for runner in runners for name, cell in runner.cells.items()}
    matrix = Matrix(
        scenarios=tuple(scenarios),
        servers=tuple(runner.name for runner in runners),
        cells=cells,
        run_dir=run_dir,
        started=datetime.fromtimestamp(started).astimezone().isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
        partial=interrupted,
        stale={
            runner.name: runner.column.deviations.stale(runner.seen, runner.judged(), whole=whole)
            for runner in runners
            if not interrupted
        },
    )
    save(matrix)
    return matrix


def save(matrix: Matrix) -> None:
    """Write `matrix.json` and `junit.xml` into the run's folder."""
    matrix.run_dir.mkdir(parents=True, exist_ok=True)
    plain = json.dumps(matrix_json(matrix), indent=2, ensure_ascii=False)
    (matrix.run_dir / "matrix.json").write_text(plain + "\n")
    (matrix.run_dir / "junit.xml").write_text(junit_xml(matrix))


class _Interrupted(Exception):
    """The run was told to stop."""


class _ColumnRunner:
    """One server's thread."""

    def __init__(
        self,
        column: Column,
        scenarios: Sequence[Scenario],
        run_dir: Path,
        tell: ProgressCallback,
        stop: threading.Event,
    ) -> None:
        self.column = column
        self.name = column.target.name
        self.cells: dict[str, Cell] = {}
        self.seen: set[int] = set()
        self._scenarios = scenarios
        self._run_dir = run_dir
        self._tell = tell
        self._stop = stop
        self._pipe: Pipe | None = None
        self._healthy = False
        self._gone = False  # it was waited for, and did not come back

    def run(self) -> None:
        """All scenarios; never raises: what cannot run is a cell with a reason."""
        recording = self.column.recording
        try:
            if recording:
                recording.start()
            if self.column.kernel:
                self.column.kernel.start()
            for number, scenario in enumerate(self._scenarios):
                self._run_one(number, scenario)
        except _Interrupted:
            pass
        except BaseException:
            if recording:
                recording.abandon()
            raise
        finally:
            self._close_client()
        if recording:  # after an interruption as well: what is done keeps its evidence
            self._believe(recording.finish())

    def judged(self) -> list[str]:
        """The scenarios that came to a verdict: only they could have shown a deviation."""
        return [name for name, cell in self.cells.items() if cell.raw.outcome in JUDGED]

    def _believe(self, trusts: Mapping[str, Trust]) -> None:
        """A verdict whose capture cannot be believed becomes *no evidence*."""
        for name, trust in trusts.items():
            cell = self.cells.get(name)
            if cell is None or trust.ok or _needs_no_capture(cell.verdict):
                continue
            verdict = replace(cell.verdict, outcome=Outcome.NO_EVIDENCE, reason=trust.reason)
            self.cells[name] = replace(cell, verdict=verdict)

    def _run_one(self, number: int, scenario: Scenario) -> None:
        total = len(self._scenarios)
        self._tell(Event(self.name, scenario.name, "started", number, total))
        began = time.time()
        try:
            raw = self._verdict(scenario, began)
        except LabError as error:
            raw = replace(NOT_RUN, reason=str(error.message))
        except OSError as error:  # a full disk, most likely: the other cells have no better luck
            raw = replace(NOT_RUN, reason=f"its files cannot be written: {error}")
        verdict, seen = self.column.deviations.apply(scenario.name, raw)
        verdict = crashes.judged(verdict)
        self.seen |= seen
        cell = Cell(verdict, raw, round(time.time() - began, 3))
        self.cells[scenario.name] = cell
        self._tell(Event(self.name, scenario.name, "done", number + 1, total, verdict))

    def _verdict(self, scenario: Scenario, began: float) -> Verdict:
        if self._stop.is_set():
            raise _Interrupted
        lacking = self.column.deviations.lacks(scenario.needs)
        if lacking is not None:
            return Verdict(Outcome.UNSUPPORTED, lacking.reason, link=lacking.link, declared=True)
        if not (self._healthy or self._wait_until_alive()):
            return replace(NOT_RUN, reason=f"{self.name} does not answer")
        directory = f"{scenario.name.lower()}-{secrets.token_hex(4)}"
        observations: list[dict[str, Any]] = []
        trouble = self._observe(scenario, directory, observations)
        verdict = trouble or judge(scenario, observations)
        alive = self._alive()
        self._healthy = alive.ok
        if not alive.ok:
            verdict = replace(verdict, outcome=Outcome.SERVER_CRASH, reason=alive.detail)
        else:
            self._remove(directory)
        reported = reports(self.column.kernel, ended=not alive.ok)
        verdict = crashes.observed(verdict, reported)
        self._keep(scenario, observations, began)
        keep_reports(self._run_dir / self.name / scenario.name, self.column.kernel, reported)
        if self.column.recording:
            self.column.recording.cell(scenario.name, directory, began, time.time(), observations)
        return verdict

    def _alive(self) -> Liveness:
        """A server about which nothing can be learnt is as gone as one that does not answer."""
        try:
            return self.column.server.alive()
        except LabError as error:
            return Liveness(False, error.message)

    def _wait_until_alive(self) -> bool:
        """Wait for the server, but only once: one that stays away is just looked for again."""
        deadline = time.monotonic() + COME_BACK_S * self.column.target.scale
        while not self._alive().ok:
            if self._gone or time.monotonic() > deadline:
                self._gone = True
                return False
            if self._stop.wait(0.2):
                raise _Interrupted
        self._gone = False
        return True

    # -- the dialogue with the interpreter ------------------------------------------------------

    def _observe(
        self, scenario: Scenario, directory: str, observations: list[dict[str, Any]]
    ) -> Verdict | None:
        """Fill `observations`; a verdict only if the interpreter itself failed."""
        target = self.column.target
        try:
            client = self._client()
            client.write_line(json.dumps(_job(scenario, target, directory)))
            deadline = time.monotonic() + SCENARIO_DEADLINE_S * target.scale
            while True:
                line = self._read(client, deadline)
                observed = json.loads(line)
                if observed["kind"] == "ask":
                    client.write_line(json.dumps({"reply": self._act(observed, directory)}))
                    continue
                observations.append(observed)
                if observed["kind"] == "end":
                    return None
        except TimeoutError:
            self._close_client()
            seconds = SCENARIO_DEADLINE_S * target.scale
            return Verdict(Outcome.TIMEOUT, f"the scenario did not end within {seconds:g} s")
        except (PipeClosed, json.JSONDecodeError) as error:
            self._close_client()
            return Verdict(Outcome.CLIENT_CRASH, str(error))

    def _read(self, client: Pipe, deadline: float) -> str:
        """One line, looking up now and then to see whether the run was interrupted."""
        while True:
            if self._stop.is_set():
                self._close_client()
                raise _Interrupted
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                return client.read_line(min(left, 0.25))
            except TimeoutError:
                continue

    def _act(self, asked: Mapping[str, Any], directory: str) -> dict[str, Any]:
        root = f"{self.column.target.share_root}/{directory}"
        argv = [part.replace("{dir}", root) for part in asked["argv"]]
        try:
            done = self.column.server.act(argv)
        except LabError as error:
            return {"returncode": -1, "stdout": "", "stderr": error.message}
        return {
            "returncode": done.returncode,
            "stdout": done.stdout.decode(errors="backslashreplace"),
            "stderr": done.stderr.decode(errors="backslashreplace"),
        }

    def _client(self) -> Pipe:
        if self._pipe is None:
            self._pipe = self.column.open_client()
            hello = self._read(self._pipe, time.monotonic() + HELLO_DEADLINE_S)
            if json.loads(hello).get("kind") != "hello":
                raise PipeClosed(f"the interpreter began with {hello[:80]!r}")
        return self._pipe

    def _close_client(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    # -- afterwards -----------------------------------------------------------------------------

    def _remove(self, directory: str) -> None:
        """Best effort: names are never used twice, so what is left disturbs nobody."""
        with contextlib.suppress(LabError):
            self.column.server.act(["rm", "-rf", f"{self.column.target.share_root}/{directory}"])

    def _keep(
        self, scenario: Scenario, observations: Sequence[Mapping[str, Any]], began: float
    ) -> None:
        """`observations.jsonl`, and what the server wrote meanwhile."""
        folder = self._run_dir / self.name / scenario.name
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(_without_key(observed)) + "\n" for observed in observations)
        (folder / "observations.jsonl").write_text(lines)
        try:
            evidence = self.column.server.evidence(began)
        except LabError as error:
            evidence = {"evidence-missing.txt": error.message}
        for name, text in evidence.items():
            (folder / name).write_text(text)


def reports(kernel: Kernel | None, *, ended: bool) -> Sequence[Identified]:
    """What the server's kernel reported during the cell; nothing if its console cannot be read."""
    if kernel is None:
        return ()
    try:
        return kernel.reports(ended=ended)
    except LabError:
        return ()  # the evidence of the same cell says why


def keep_reports(folder: Path, kernel: Kernel | None, found: Sequence[Identified]) -> None:
    """`crash.txt`, if there is anything to write."""
    if kernel and found:
        decoded = [kernel.decoded(item.crash) for item in found]
        (folder / crashes.FILE).write_text(crashes.text(found, decoded))


def _needs_no_capture(verdict: Verdict) -> bool:
    new = any(item.known is None for item in verdict.crashes)
    return new or verdict.outcome in NEEDS_NO_CAPTURE


def _without_key(observed: Mapping[str, Any]) -> dict[str, Any]:
    """The observation without a session's key, which lies beside the capture that it opens."""
    return {name: value for name, value in observed.items() if name != "session_key"}


def _job(scenario: Scenario, target: Target, directory: str) -> dict[str, Any]:
    return {
        "job": "run",
        "steps": scenario.to_json()["steps"],
        "target": {
            "host": target.host,
            "port": target.port,
            "share": target.share,
            "user": target.user,
            "password": target.password,
            "directory": directory,
            "scale": target.scale,
            "accounts": {name: list(account) for name, account in target.accounts.items()},
        },
    }
