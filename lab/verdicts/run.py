"""Running scenarios against servers: one thread and one interpreter for each server.

Scenarios of one server run one after another, each in a directory and on connections of its own;
the servers run side by side (`columns`). An interpreter that hangs or dies costs its cell, and is
replaced.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from lab.errors import LabError, LabFailed
from lab.evidence.capture import Trust
from lab.scenarios.model import Scenario, language
from lab.scenarios.pipe import Pipe, PipeClosed
from lab.scenarios.server_side import ServerSide
from lab.targets import Target
from lab.verdicts.columns import (
    ColumnRunner,
    Event,
    Interrupted,
    Kernel,
    ProgressCallback,
    run_columns,
)
from lab.verdicts.deviations import Deviations
from lab.verdicts.export import junit_xml, matrix_json
from lab.verdicts.judge import judge
from lab.verdicts.matrix import Matrix
from lab.verdicts.verdict import Outcome, Verdict

__all__ = ["Column", "Event", "Kernel", "ProgressCallback", "Recording", "run_matrix", "save"]

SCENARIO_DEADLINE_S = 60.0  # scaled; a net below the interpreter's own deadlines
HELLO_DEADLINE_S = 30.0


# What happened whether or not packets show it; every other verdict rests on the capture.
NEEDS_NO_CAPTURE = {
    Outcome.TIMEOUT,
    Outcome.SERVER_CRASH,
    Outcome.CLIENT_CRASH,
    Outcome.NOT_RUN,
}


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
    stop = threading.Event()
    tell = progress or (lambda _: None)
    runners = [_ColumnRunner(column, scenarios, run_dir, tell, stop) for column in columns]
    matrix = run_columns(runners, scenarios, run_dir, stop, whole=whole)
    save(matrix)
    return matrix


def save(matrix: Matrix) -> None:
    """Write `matrix.json` and `junit.xml` into the run's folder."""
    matrix.run_dir.mkdir(parents=True, exist_ok=True)
    plain = json.dumps(matrix_json(matrix), indent=2, ensure_ascii=False)
    (matrix.run_dir / "matrix.json").write_text(plain + "\n")
    (matrix.run_dir / "junit.xml").write_text(junit_xml(matrix))


class _ColumnRunner(ColumnRunner[Scenario]):
    """One server's thread, and its interpreter."""

    def __init__(
        self,
        column: Column,
        scenarios: Sequence[Scenario],
        run_dir: Path,
        tell: ProgressCallback,
        stop: threading.Event,
    ) -> None:
        target = column.target
        super().__init__(
            target.name,
            column.server,
            column.deviations,
            target.scale,
            scenarios,
            run_dir,
            tell,
            stop,
            column.kernel,
        )
        self.column = column
        self._pipe: Pipe | None = None
        self._directory = ""
        self._left: list[str] = []  # directories, by their path on the server
        self._observations: list[dict[str, Any]] = []

    def run(self) -> None:
        """All scenarios; never raises: what cannot run is a cell with a reason."""
        recording = self.column.recording
        try:
            if recording:
                recording.start()
            super().run()
        except BaseException:
            if recording:
                recording.abandon()
            raise
        finally:
            self._close_client()
            self._remove()
        if recording:  # after an interruption as well: what is done keeps its evidence
            self._believe(recording.finish())

    def _believe(self, trusts: Mapping[str, Trust]) -> None:
        """A verdict whose capture cannot be believed becomes *no evidence*."""
        for name, trust in trusts.items():
            cell = self.cells.get(name)
            if cell is None or trust.ok or _needs_no_capture(cell.verdict):
                continue
            verdict = replace(cell.verdict, outcome=Outcome.NO_EVIDENCE, reason=trust.reason)
            self.cells[name] = replace(cell, verdict=verdict)

    def excuse(self, row: Scenario) -> Verdict | None:
        """What the server cannot be set up for is not tried."""
        lacking = self.deviations.lacks(row.needs)
        if lacking is None:
            return None
        return Verdict(Outcome.UNSUPPORTED, lacking.reason, link=lacking.link, declared=True)

    def observe(self, row: Scenario, began: float) -> Verdict:
        self._directory = f"{row.name.lower()}-{secrets.token_hex(4)}"
        self._observations = []
        trouble = self._observe(row, self._directory, self._observations)
        return trouble or judge(row, self._observations)

    def clean(self, row: Scenario) -> None:
        """Remembered, and removed at the end: each action on a server costs its time."""
        self._left.append(f"{self.column.target.share_root}/{self._directory}")

    def keep(self, row: Scenario, began: float) -> None:
        """`observations.jsonl`, what the server wrote meanwhile, and the cut for the capture."""
        self._keep(row, self._observations, began)
        if self.column.recording:
            self.column.recording.cell(
                row.name, self._directory, began, time.time(), self._observations
            )

    # -- the dialogue with the interpreter ------------------------------------------------------

    def _observe(
        self, scenario: Scenario, directory: str, observations: list[dict[str, Any]]
    ) -> Verdict | None:
        """Fill `observations`; a verdict only if the interpreter itself failed."""
        target = self.column.target
        try:
            client = self._client()
        except TimeoutError:
            self._close_client()
            said = f"the interpreter did not start within {HELLO_DEADLINE_S:g} s"
            return Verdict(Outcome.CLIENT_CRASH, said)
        except (PipeClosed, json.JSONDecodeError) as error:
            self._close_client()
            return Verdict(Outcome.CLIENT_CRASH, str(error))
        try:
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
                raise Interrupted
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
            said = json.loads(hello)
            if said.get("kind") != "hello":
                raise PipeClosed(f"the interpreter began with {hello[:80]!r}")
            if said.get("language") != language():
                self._close_client()
                raise LabFailed("the client has the interpreter of another lab: `lab up` renews it")
        return self._pipe

    def _close_client(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    # -- afterwards -----------------------------------------------------------------------------

    def _remove(self) -> None:
        """Best effort: names are never used twice, so what is left disturbs nobody."""
        if self._left:
            with contextlib.suppress(LabError):
                self.column.server.act(["rm", "-rf", *self._left])

    def _keep(
        self, scenario: Scenario, observations: Sequence[Mapping[str, Any]], began: float
    ) -> None:
        """`observations.jsonl`, and what the server wrote meanwhile."""
        folder = self._folder(scenario)
        lines = "".join(json.dumps(_without_key(observed)) + "\n" for observed in observations)
        (folder / "observations.jsonl").write_text(lines)
        self._keep_evidence(folder, began)


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
