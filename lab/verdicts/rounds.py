"""Running the same matrix several times: one verdict for each cell, and how stable it is.

Each round has a folder of its own, `rounds/<number>/`. A cell's verdict is that of the last round
that was not as expected, or of the last round: a failure now and then is a failure to look into.
That round's evidence is the cell's.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.crashes.known import Identified
from lab.scenarios.model import Scenario
from lab.verdicts.deviations import Deviation
from lab.verdicts.matrix import Cell, Matrix
from lab.verdicts.run import Column, ProgressCallback, run_matrix, save
from lab.verdicts.verdict import Outcome

FOLDER = "rounds"


def run_rounds(
    columns: Callable[[Path], Sequence[Column]],
    scenarios: Sequence[Scenario],
    folder: Path,
    rounds: int = 1,
    progress: ProgressCallback | None = None,
    whole: bool = False,
) -> Matrix:
    """The matrix of so many rounds; `columns(folder)` gives those of one round."""
    if rounds == 1:
        matrix = run_matrix(columns(folder), scenarios, folder, progress, whole)
        once = {server: _always(entries) for server, entries in (matrix.stale or {}).items()}
        matrix = replace(matrix, stale=once)
        save(matrix)
        return matrix
    done: list[Matrix] = []
    while len(done) < rounds and not (done and done[-1].partial):
        into = folder / FOLDER / str(len(done) + 1)
        into.mkdir(parents=True)
        done.append(run_matrix(columns(into), scenarios, into, progress, whole))
    merged = merge(done, folder)
    save(merged)
    return merged


def _always(entries: Sequence[Deviation]) -> tuple[Deviation, ...]:
    """Without those that come and go: one run that did not show them says nothing."""
    return tuple(entry for entry in entries if not entry.sometimes)


def merge(rounds: Sequence[Matrix], folder: Path) -> Matrix:
    """One matrix of several; the deciding round's files are linked into `folder`."""
    cells: dict[tuple[str, str], Cell] = {}
    for key in dict.fromkeys(key for matrix in rounds for key in matrix.cells):
        scenario, server = key
        ran = [(matrix, matrix.cells[key]) for matrix in rounds if key in matrix.cells]
        matrix, cell = deciding(ran)
        cells[key] = replace(cell, rounds=tuple(each.verdict for _, each in ran))
        source, target = (path / server / scenario for path in (matrix.run_dir, folder))
        if source.is_dir():
            shutil.copytree(source, target, copy_function=os.link)
    first, last = rounds[0], rounds[-1]
    stale = {
        server: tuple(
            entry
            for entry in entries
            if all(entry in (matrix.stale or {}).get(server, (entry,)) for matrix in rounds)
        )
        for server, entries in (first.stale or {}).items()
    }
    return replace(
        first,
        cells=cells,
        run_dir=folder,
        seconds=round(sum(matrix.seconds for matrix in rounds), 3),
        partial=last.partial,
        stale=stale,
        leaks=_leaks(rounds),
    )


def _leaks(rounds: Sequence[Matrix]) -> dict[str, tuple[Identified, ...]]:
    """Those of all rounds, each once."""
    found: dict[str, dict[str, Identified]] = {}
    for matrix in rounds:
        for server, leaks in matrix.leaks.items():
            of_server = found.setdefault(server, {})
            for leak in leaks:
                of_server.setdefault(leak.crash.fingerprint, leak)
    return {server: tuple(leaks.values()) for server, leaks in found.items()}


def deciding(ran: Sequence[tuple[Matrix, Cell]]) -> tuple[Matrix, Cell]:
    """The round whose verdict a cell gets."""
    odd = [pair for pair in ran if not pair[1].verdict.as_expected]
    answered = [pair for pair in odd if pair[1].verdict.outcome is not Outcome.NOT_RUN]
    return (answered or odd or ran)[-1]


def unstable(matrix: Matrix) -> list[str]:
    """A line for each cell that did not end the same way in every round."""
    return [
        f"{scenario.name} on {server}: unstable: "
        + ", ".join(f"{count}x {word}" for word, count in counts.most_common())
        for scenario in matrix.scenarios
        for server in matrix.servers
        if len(counts := Counter(v.outcome for v in matrix.cell(scenario.name, server).rounds)) > 1
    ]
