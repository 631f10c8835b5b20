"""From a saved file to a verdict: build, exchange the module, run, tell what changed.

One turn after the other; what fails in one (a compiler's error, a module that does not load) is
told and the next save begins another. What a turn is compared with is the last run that was made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import backends, runs
from lab.errors import LabFailed
from lab.evidence import compare
from lab.kbuild.build import build_module
from lab.kbuild.model import BuiltModule
from lab.kernel import guest, tree
from lab.kernel.reload import Reloaded, reload_module
from lab.matrix import Wanted, run_on_lab
from lab.nodes.model import NodeError
from lab.scenarios.model import Scenario
from lab.verdicts.matrix import Matrix
from lab.verdicts.run import ProgressCallback

if TYPE_CHECKING:
    from lab.session import Lab

LOOK_S = 0.2


@dataclass
class Turn:
    """What came of one save. `error` ends a turn early; `changes` is None without a run before."""

    files: Sequence[str]
    seconds: dict[str, float] = field(default_factory=dict)
    built: BuiltModule | None = None
    reloaded: Reloaded | None = None
    matrix: Matrix | None = None
    changes: Sequence[compare.CellChange] | None = None
    error: str = ""

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "files": list(self.files),
            "seconds": {phase: round(value, 2) for phase, value in self.seconds.items()},
            "total": round(self.total, 2),
            "identity": self.built.identity if self.built else "",
            "reloaded": self.reloaded.as_json() if self.reloaded else None,
            "verdicts": verdicts(self.matrix) if self.matrix else {},
            "folder": str(self.matrix.run_dir) if self.matrix else "",
            "changes": None if self.changes is None else [_change(c) for c in self.changes],
            "error": self.error,
        }


def _change(change: compare.CellChange) -> dict[str, Any]:
    return {
        "server": change.server,
        "scenario": change.scenario,
        "before": change.before,
        "after": change.after,
        "said": compare.render([change]).splitlines(),
    }


def verdicts(matrix: Matrix) -> dict[str, str]:
    """Each scenario's verdict; there is but one column."""
    return {name: str(cell.verdict.outcome) for (name, _), cell in matrix.cells.items()}


class Loop:
    """Turns of one source, on one node, with the same scenarios."""

    def __init__(
        self,
        lab: Lab,
        flavour: str,
        source: Path,
        scenarios: Sequence[Scenario],
        progress: Callable[[int], ProgressCallback],
    ) -> None:
        self._lab = lab
        self._flavour = flavour
        self._name = backends.named(flavour)
        self._source = source
        self._scenarios = scenarios
        self._progress = progress
        self._before: Path | None = None

    def turn(self, files: Sequence[str]) -> Turn:
        """One turn; only Ctrl-C, and what is wrong with the command line, are raised."""
        turn = Turn(files)
        try:
            with self._lab.locked("lab ksmbd dev"):
                self._go(turn)
        except LabFailed as error:
            turn.error = str(error)
        return turn

    def turns(self) -> Iterator[Turn]:
        """The first turn at once, then one at each save, until Ctrl-C."""
        saves = tree.Saves(tree.look(self._source))
        yield self.turn(())
        while True:
            files = saves.take(tree.look(self._source), time.monotonic())
            if files:
                yield self.turn(files)
            else:
                time.sleep(LOOK_S)

    def _go(self, turn: Turn) -> None:
        progress = self._lab.progress
        with _timed(turn, "build"), progress.step("build", "Building ksmbd.ko"):
            turn.built = build_module(
                self._lab, self._flavour, source=self._source, say=progress.say
            )
        if turn.built.identity not in self._runs():
            with _timed(turn, "reload"), progress.step("reload", "Exchanging the module"):
                turn.reloaded = reload_module(self._lab, self._flavour, turn.built)
        with _timed(turn, "run"):
            wanted = Wanted([self._name], self._scenarios)
            matrix = run_on_lab(
                self._lab,
                wanted,
                lambda: runs.new(self._lab.paths.runs),
                self._progress(len(self._scenarios)),
            )
        if matrix.partial:
            raise KeyboardInterrupt
        turn.matrix = matrix
        if self._before is not None:
            turn.changes = compare.between_runs(self._before, matrix.run_dir)
        self._before = matrix.run_dir
        ran = {"ksmbd_build_id": turn.built.identity[:12], "kernel": turn.built.release}
        runs.finish(matrix.run_dir, {self._name: ran, "host": runs.host_versions()})

    def _runs(self) -> Sequence[str]:
        """Which module runs; none where the guest cannot say."""
        try:
            return guest.identity(self._lab, self._name)
        except NodeError:
            return ()


@contextmanager
def _timed(turn: Turn, phase: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        turn.seconds[phase] = time.monotonic() - began
