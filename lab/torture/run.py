"""Running subtests against servers: one thread for each server, one smbtorture at a time in it.

A server that is gone after a subtest costs that cell; the others go on when it, or the guest that
takes its place, answers again.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from lab.errors import LabError
from lab.scenarios.server_side import ServerSide
from lab.targets import Target
from lab.torture import process
from lab.torture.listing import Subtest, deadline_of, share_of
from lab.torture.output import judge
from lab.verdicts import crashes
from lab.verdicts.deviations import Deviations
from lab.verdicts.matrix import NOT_RUN, Cell, Matrix
from lab.verdicts.run import (
    COME_BACK_S,
    Event,
    Kernel,
    ProgressCallback,
    keep_reports,
    reports,
    save,
)
from lab.verdicts.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Column:
    """One server of the matrix, and all that is needed to run smbtorture against it."""

    target: Target
    server: ServerSide
    open_pipe: process.OpenPipe
    deviations: Deviations = field(default_factory=Deviations)
    kernel: Kernel | None = None


def run_subtests(
    columns: Sequence[Column],
    subtests: Sequence[Subtest],
    run_dir: Path,
    progress: ProgressCallback | None = None,
    deadline: float | None = None,
) -> Matrix:
    """Every subtest against every column; writes `<server>/<subtest>/` below `run_dir`.

    `deadline` (seconds, scaled by what a server runs on) replaces each subtest's own.

    KeyboardInterrupt ends the run early: what is done is returned, marked partial.
    """
    started = time.time()
    stop = threading.Event()
    runners = [
        _ColumnRunner(column, subtests, run_dir, progress or (lambda _: None), deadline, stop)
        for column in columns
    ]
    interrupted = _run_all(runners, stop)
    names = [subtest.name for subtest in subtests]
    matrix = Matrix(
        scenarios=tuple(subtests),
        servers=tuple(runner.name for runner in runners),
        cells={
            (name, runner.name): cell for runner in runners for name, cell in runner.cells.items()
        },
        run_dir=run_dir,
        started=datetime.fromtimestamp(started).astimezone().isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
        partial=interrupted,
        stale={
            runner.name: runner.column.deviations.stale(runner.seen, names)
            for runner in runners
            if not interrupted
        },
    )
    save(matrix)
    return matrix


def _run_all(runners: Sequence[_ColumnRunner], stop: threading.Event) -> bool:
    """Run all columns to their end; whether they were interrupted."""
    threads = [threading.Thread(target=runner.run, name=runner.name) for runner in runners]
    interrupted = False
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            try:
                for thread in threads:
                    thread.join()
            except KeyboardInterrupt:
                interrupted = True
                stop.set()
    finally:
        stop.set()  # whatever else ends us (SIGTERM): no smbtorture stays behind
        for thread in threads:
            thread.join()
    return interrupted


class _ColumnRunner:
    """One server's thread."""

    def __init__(
        self,
        column: Column,
        subtests: Sequence[Subtest],
        run_dir: Path,
        tell: ProgressCallback,
        deadline: float | None,
        stop: threading.Event,
    ) -> None:
        self.column = column
        self.name = column.target.name
        self.cells: dict[str, Cell] = {}
        self.seen: set[int] = set()
        self._subtests = subtests
        self._folder = run_dir / self.name
        self._tell = tell
        self._deadline = deadline
        self._stop = stop
        self._healthy = False
        self._patience = COME_BACK_S * column.target.scale

    def run(self) -> None:
        """All subtests; never raises: what cannot run is a cell with a reason."""
        try:
            if self.column.kernel:
                self.column.kernel.start()
            for number, subtest in enumerate(self._subtests):
                self._run_one(number, subtest)
        except process.Stopped:
            pass

    def _run_one(self, number: int, subtest: Subtest) -> None:
        total = len(self._subtests)
        self._tell(Event(self.name, subtest.name, "started", number, total))
        began = time.time()
        try:
            raw = self._verdict(subtest, began)
        except LabError as error:
            raw = replace(NOT_RUN, reason=error.message)
        verdict, seen = self.column.deviations.apply(subtest.name, raw)
        verdict = crashes.judged(verdict)
        self.seen |= seen
        self.cells[subtest.name] = Cell(verdict, raw, round(time.time() - began, 3))
        self._tell(Event(self.name, subtest.name, "done", number + 1, total, verdict))

    def _verdict(self, subtest: Subtest, began: float) -> Verdict:
        if self._stop.is_set():
            raise process.Stopped
        if not (self._healthy or self._wait_until_alive()):
            return replace(NOT_RUN, reason=f"{self.name} does not answer")
        target = self.column.target
        share = share_of(subtest.name, target.share)
        deadline = (self._deadline or deadline_of(subtest.name)) * target.scale
        ran = process.run(self.column.open_pipe, target, share, subtest.name, deadline, self._stop)
        verdict = judge(ran.text, ran.code, deadline)
        alive = self.column.server.alive()
        self._healthy = alive.ok
        if not alive.ok:
            verdict = replace(verdict, outcome=Outcome.SERVER_CRASH, reason=alive.detail)
        reported = reports(self.column.kernel, ended=not alive.ok)
        self._keep(subtest, share, ran, began)
        keep_reports(self._folder / subtest.name, self.column.kernel, reported)
        return crashes.observed(verdict, reported)

    def _wait_until_alive(self) -> bool:
        """Wait for the server; once in vain, and each later subtest looks only once."""
        end = time.monotonic() + self._patience
        while not self.column.server.alive().ok:
            if time.monotonic() >= end:
                self._patience = 0.0
                return False
            if self._stop.wait(0.2):
                raise process.Stopped
        self._patience = COME_BACK_S * self.column.target.scale
        return True

    def _keep(self, subtest: Subtest, share: str, ran: process.Ran, began: float) -> None:
        """What smbtorture printed under how it was called, and what the server wrote meanwhile."""
        folder = self._folder / subtest.name
        folder.mkdir(parents=True, exist_ok=True)
        words = process.arguments(self.column.target, share, subtest.name)
        called = shlex.join(["smbtorture", *words, "-A", "credentials"])
        end = "it was ended" if ran.code is None else f"exit code {ran.code}"
        (folder / subtest.evidence).write_text(f"$ {called}\n{ran.text}[{end}]\n")
        try:
            evidence = self.column.server.evidence(began)
        except LabError as error:
            evidence = {"evidence-missing.txt": error.message}
        for name, text in evidence.items():
            (folder / name).write_text(text)
