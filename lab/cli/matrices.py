"""What commands that run a matrix share: which servers, progress, how the result is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.cli import names
from lab.cli.output import console, print_json
from lab.cli.words import check_value

if TYPE_CHECKING:
    from lab.verdicts.columns import Event
    from lab.verdicts.matrix import Matrix


def chosen_servers(given: Sequence[str], every: bool, embedded: bool = False) -> list[str]:
    """The servers that the options name, in the lab's order; [] means: the active one."""
    from lab.errors import UsageError

    words = [word for value in given for word in value.split(",") if word]
    servers = names.servers() if words or every else ()
    for word in words:
        check_value("server", word, servers)
    if embedded and (words or every):
        raise UsageError(
            "--embedded runs notify_server alone; it goes with neither --server nor --all",
            "lab run-scenarios --embedded, or lab run-scenarios --server py",
        )
    if every and words:
        raise UsageError(
            f"--all means every server, and --server {','.join(words)} means not", "leave one out"
        )
    return [name for name in servers if every or name in words]


def report(matrix: Matrix, known: Mapping[str, Any] | None, as_json: bool) -> int:
    """Print the matrix, and what became of a baseline; the exit code."""
    from lab.evidence.report import NAME
    from lab.verdicts import baseline as baselines
    from lab.verdicts.matrix import AS_EXPECTED, LAB_FAILED, NEWLY_FAILING
    from lab.verdicts.render import matrix_json, print_matrix
    from lab.verdicts.rounds import unstable

    plain = matrix_json(matrix)
    found = baselines.compare(known, plain) if known else None
    if as_json:
        print_json({**plain, "baseline": found.as_json()} if found else plain)
    else:
        out = console()
        print_matrix(matrix, out)
        for line in [*unstable(matrix), *(baselines.lines(found) if found else ())]:
            out.print(line, markup=False, soft_wrap=True)
        out.print(str(matrix.run_dir / NAME), markup=False, soft_wrap=True)
    if found is None:
        return matrix.exit_code
    if not found.compared or matrix.partial:
        return LAB_FAILED
    return AS_EXPECTED if found.holds else NEWLY_FAILING


class Ticker:
    """Progress of a run on stderr: one moving line on a terminal, a line per cell elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._terminal = sys.stderr.isatty()

    def __call__(self, event: Event) -> None:
        if event.state == "done":
            self._done += 1
        elif not self._terminal:
            return
        count = f"{self._done}/{self._total}"
        if self._terminal:
            end = "\r\x1b[K" if self._done == self._total else ""
            line = f"\r\x1b[K{count}  {event.server} {event.scenario}{end}"
            print(line, end="", file=sys.stderr, flush=True)
        else:
            outcome = event.verdict.outcome.value if event.verdict else ""
            print(f"{count}  {event.server} {event.scenario}: {outcome}", file=sys.stderr)
