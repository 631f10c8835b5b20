"""Columns of a matrix, whatever its rows are: one thread for each server, one row at a time in it.

A server that is gone after a row costs that cell; the others go on if it comes back in time. What a
row is (a scenario, a subtest of smbtorture) and how it is run and judged is a subclass's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from lab.crashes.known import Identified
from lab.crashes.model import Crash
from lab.errors import LabError
from lab.scenarios.model import Scenario
from lab.scenarios.server_side import Liveness, ServerSide
from lab.verdicts import crashes
from lab.verdicts.deviations import Deviations
from lab.verdicts.matrix import NOT_RUN, Cell, Matrix
from lab.verdicts.verdict import Outcome, Verdict

# Scaled: how long a server that went away may take to answer again. An emulated guest gets as
# long as `lab up` gives it.
COME_BACK_S = 30.0
LOOK_AGAIN_S = 0.2
JUDGED = {Outcome.PASS, Outcome.FAIL, Outcome.UNSUPPORTED}


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


class Interrupted(Exception):
    """The run was told to stop."""


class Row(Protocol):
    """What every row has."""

    @property
    def name(self) -> str: ...


class Kernel(Protocol):
    """A server's kernel, as `lab.crashes.kernel.Watched` looks at its console."""

    def start(self) -> None: ...

    def reports(self, *, ended: bool) -> Sequence[Identified]:
        """What it reported since the last time; `ended`: the server is known to be gone."""
        ...

    def finish(self) -> Sequence[Identified]:
        """What it did not give back since the start."""
        ...

    def decoded(self, crash: Crash) -> str:
        """The report's text, with files and lines where there are symbols."""
        ...


RowT = TypeVar("RowT", bound=Row)


class ColumnRunner(ABC, Generic[RowT]):
    """One server's thread: `cells` by row, and `seen`, the deviations that showed."""

    def __init__(
        self,
        name: str,
        server: ServerSide,
        deviations: Deviations,
        scale: float,
        rows: Sequence[RowT],
        run_dir: Path,
        tell: ProgressCallback,
        stop: threading.Event,
        kernel: Kernel | None = None,
    ) -> None:
        self.name = name
        self.cells: dict[str, Cell] = {}
        self.seen: set[int] = set()
        self.leaks: tuple[Identified, ...] = ()
        self.deviations = deviations
        self._server = server
        self._scale = scale
        self._rows = rows
        self._run_dir = run_dir
        self._tell = tell
        self._stop = stop
        self._kernel = kernel
        self._healthy = False
        self._gone = False  # it was waited for, and did not come back

    @abstractmethod
    def observe(self, row: RowT, began: float) -> Verdict:
        """Run one row and judge it, without regard to whether the server lives on."""

    @abstractmethod
    def keep(self, row: RowT, began: float) -> None:
        """Write what is known of the row that was observed last."""

    def excuse(self, row: RowT) -> Verdict | None:
        """A verdict on a row that need not be run."""
        return None

    def clean(self, row: RowT) -> None:
        """Remove what the row left on a server that lives."""

    def run(self) -> None:
        """All rows; never raises: what cannot run is a cell with a reason."""
        try:
            self._begin()
            for number, row in enumerate(self._rows):
                self._run_one(number, row)
            self._look_for_leaks()
        except Interrupted:
            pass

    def judged(self) -> list[str]:
        """The rows that came to a verdict: only they could have shown a deviation."""
        return [name for name, cell in self.cells.items() if cell.raw.outcome in JUDGED]

    def _begin(self) -> None:
        if self._kernel:
            with contextlib.suppress(LabError, ValueError):  # the first cell says what is wrong
                self._kernel.start()

    def _look_for_leaks(self) -> None:
        """After the last row; a server that cannot be asked has none that we know of."""
        if self._kernel is None or not self._healthy:
            return
        with contextlib.suppress(LabError, ValueError):
            self.leaks = tuple(self._kernel.finish())
        if self.leaks:
            decoded = [self._kernel.decoded(item.crash) for item in self.leaks]
            folder = self._run_dir / self.name
            (folder / crashes.LEAKS_FILE).write_text(crashes.text(self.leaks, decoded))

    def _run_one(self, number: int, row: RowT) -> None:
        total = len(self._rows)
        self._tell(Event(self.name, row.name, "started", number, total))
        began = time.time()
        try:
            raw = self._verdict(row, began)
        except LabError as error:
            raw = replace(NOT_RUN, reason=str(error.message))
        except OSError as error:  # a full disk, most likely: the other cells have no better luck
            raw = replace(NOT_RUN, reason=f"its files cannot be written: {error}")
        verdict, seen = self.deviations.apply(row.name, raw)
        verdict = crashes.judged(verdict)
        self.seen |= seen
        cell = Cell(verdict, raw, round(time.time() - began, 3))
        self.cells[row.name] = cell
        self._tell(Event(self.name, row.name, "done", number + 1, total, verdict))

    def _verdict(self, row: RowT, began: float) -> Verdict:
        if self._stop.is_set():
            raise Interrupted
        excused = self.excuse(row)
        if excused is not None:
            return excused
        if not (self._healthy or self._wait_until_alive()):
            return replace(NOT_RUN, reason=f"{self.name} does not answer")
        verdict = self.observe(row, began)
        alive = self._alive()
        self._healthy = alive.ok
        if alive.ok:
            self.clean(row)
        else:
            verdict = replace(verdict, outcome=Outcome.SERVER_CRASH, reason=alive.detail)
        reported = self._reports(ended=not alive.ok)
        self.keep(row, began)
        self._keep_reports(row, reported)
        return crashes.observed(verdict, reported)

    def _alive(self) -> Liveness:
        """A server about which nothing can be learnt is as gone as one that does not answer."""
        try:
            return self._server.alive()
        except LabError as error:
            return Liveness(False, error.message)

    def _wait_until_alive(self) -> bool:
        """Wait for the server, but only once: one that stays away is just looked for again."""
        deadline = time.monotonic() + COME_BACK_S * self._scale
        while not self._alive().ok:
            if self._gone or time.monotonic() > deadline:
                self._gone = True
                return False
            if self._stop.wait(LOOK_AGAIN_S):
                raise Interrupted
        self._gone = False
        return True

    def _reports(self, *, ended: bool) -> Sequence[Identified]:
        """What the server's kernel reported during the row; nothing if it cannot be asked."""
        if self._kernel is None:
            return ()
        try:
            return self._kernel.reports(ended=ended)
        except LabError:
            return ()  # the evidence of the same cell says why

    def _keep_reports(self, row: RowT, found: Sequence[Identified]) -> None:
        """`crash.txt`, if there is anything to write."""
        if self._kernel and found:
            decoded = [self._kernel.decoded(item.crash) for item in found]
            (self._folder(row) / crashes.FILE).write_text(crashes.text(found, decoded))

    def _folder(self, row: RowT) -> Path:
        folder = self._run_dir / self.name / row.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _keep_evidence(self, folder: Path, began: float) -> None:
        """What the server wrote since."""
        try:
            evidence = self._server.evidence(began)
        except LabError as error:
            evidence = {"evidence-missing.txt": error.message}
        for name, text in evidence.items():
            (folder / name).write_text(text)


def run_columns(
    runners: Sequence[ColumnRunner[RowT]],
    rows: Sequence[Scenario],
    run_dir: Path,
    stop: threading.Event,
    *,
    whole: bool = False,
) -> Matrix:
    """All columns side by side, to their end, as a matrix.

    `whole`: the rows are all that there are. KeyboardInterrupt sets `stop` and ends the run early:
    what is done is returned, marked partial. Whatever else ends it (SIGTERM), no thread stays.
    """
    started = time.time()
    interrupted = _run_all(runners, stop)
    return Matrix(
        scenarios=tuple(rows),
        servers=tuple(runner.name for runner in runners),
        cells={
            (name, runner.name): cell for runner in runners for name, cell in runner.cells.items()
        },
        run_dir=run_dir,
        started=datetime.fromtimestamp(started).astimezone().isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
        partial=interrupted,
        stale={
            runner.name: runner.deviations.stale(runner.seen, runner.judged(), whole=whole)
            for runner in runners
            if not interrupted
        },
        leaks={runner.name: runner.leaks for runner in runners if runner.leaks},
    )


def _run_all(runners: Sequence[ColumnRunner[RowT]], stop: threading.Event) -> bool:
    """Whether they were interrupted."""
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
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    return interrupted
