"""Running subtests against servers: one thread for each server, one smbtorture at a time in it."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.scenarios.server_side import ServerSide
from lab.targets import Target
from lab.torture import process
from lab.torture.listing import Subtest, deadline_of, share_of
from lab.torture.output import judge
from lab.verdicts.columns import ColumnRunner, Kernel, ProgressCallback, run_columns
from lab.verdicts.deviations import Deviations
from lab.verdicts.matrix import Matrix
from lab.verdicts.run import save
from lab.verdicts.verdict import Verdict


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
    stop = threading.Event()
    tell = progress or (lambda _: None)
    runners = [_ColumnRunner(column, subtests, run_dir, tell, deadline, stop) for column in columns]
    matrix = run_columns(runners, subtests, run_dir, stop)
    save(matrix)
    return matrix


class _ColumnRunner(ColumnRunner[Subtest]):
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
        target = column.target
        super().__init__(
            target.name,
            column.server,
            column.deviations,
            target.scale,
            subtests,
            run_dir,
            tell,
            stop,
            column.kernel,
        )
        self.column = column
        self._deadline = deadline
        self._ran = process.Ran("", None)

    def observe(self, row: Subtest, began: float) -> Verdict:
        target = self.column.target
        share = share_of(row.name, target.share)
        deadline = (self._deadline or deadline_of(row.name)) * target.scale
        self._ran = process.run(
            self.column.open_pipe, target, share, row.name, deadline, self._stop
        )
        return judge(self._ran.text, self._ran.code, deadline)

    def keep(self, row: Subtest, began: float) -> None:
        """What smbtorture printed under how it was called, and what the server wrote meanwhile."""
        folder = self._folder(row)
        target = self.column.target
        words = process.arguments(target, share_of(row.name, target.share), row.name)
        called = shlex.join(["smbtorture", *words, "-A", "credentials"])
        end = "it was ended" if self._ran.code is None else f"exit code {self._ran.code}"
        (folder / row.evidence).write_text(f"$ {called}\n{self._ran.text}[{end}]\n")
        self._keep_evidence(folder, began)
