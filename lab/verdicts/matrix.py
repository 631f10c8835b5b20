"""The result of a run: a verdict for each scenario and server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.crashes.known import Identified
from lab.scenarios.model import Scenario
from lab.verdicts.deviations import Deviation
from lab.verdicts.verdict import Outcome, Verdict

AS_EXPECTED, NEWLY_FAILING, LAB_FAILED = 0, 1, 3


@dataclass(frozen=True)
class Cell:
    """`raw` is the verdict before the server's deviations were considered.

    `rounds` are the verdicts of a run that repeats; empty if it ran once.
    """

    verdict: Verdict
    raw: Verdict
    seconds: float = 0.0
    rounds: tuple[Verdict, ...] = ()


NOT_RUN = Verdict(Outcome.NOT_RUN)


@dataclass(frozen=True)
class Matrix:
    """Scenarios down, servers across. `partial` after an interruption.

    `leaks` are what servers' kernels did not give back after the last scenario.
    """

    scenarios: tuple[Scenario, ...]
    servers: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]  # by (scenario, server)
    run_dir: Path
    started: str
    seconds: float
    partial: bool = False
    stale: Mapping[str, tuple[Deviation, ...]] | None = None
    leaks: Mapping[str, tuple[Identified, ...]] = field(default_factory=dict)  # by server

    def cell(self, scenario: str, server: str) -> Cell:
        return self.cells.get((scenario, server), Cell(NOT_RUN, NOT_RUN))

    def verdicts(self) -> list[Verdict]:
        return [
            self.cell(scenario.name, server).verdict
            for scenario in self.scenarios
            for server in self.servers
        ]

    @property
    def exit_code(self) -> int:
        """0 as expected, 1 something new fails (or passes unexpectedly), 3 some did not run."""
        verdicts = self.verdicts()
        not_run = [v for v in verdicts if v.outcome is Outcome.NOT_RUN]
        if any(not v.as_expected for v in verdicts if v.outcome is not Outcome.NOT_RUN):
            return NEWLY_FAILING
        if any(leak.known is None for leaks in self.leaks.values() for leak in leaks):
            return NEWLY_FAILING
        return LAB_FAILED if not_run or self.partial else AS_EXPECTED
