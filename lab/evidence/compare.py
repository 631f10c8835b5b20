"""Comparing what runs left on disk: two servers in one run, or the same servers in two runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UsageError
from lab.evidence import diff, run_folder
from lab.evidence.diff import Difference
from lab.evidence.ladder import Ladder
from lab.evidence.run_folder import Run


def between_servers(run_dir: Path, scenario: str, left: str, right: str) -> Difference:
    """The ladders of one scenario on two servers. Raises `UsageError` for unknown names."""
    run = run_folder.read(run_dir)
    names = [str(entry["name"]) for entry in run.matrix["scenarios"]]
    scenario = known(scenario, names, "scenario")
    servers = [known(server, run.servers, "server") for server in (left, right)]
    a, b = (_ladder(run, server, scenario) for server in servers)
    return diff.compare(a, b)


def known(name: str, names: Iterable[str], what: str) -> str:
    """The name as the run spells it; `UsageError` with the nearest one if it has none such."""
    listed = list(names)
    by_lower = {entry.lower(): entry for entry in listed}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f" Did you mean {by_lower[near[0]]}?" if near else ""
    raise UsageError(f"the run has no {what} {name}.{hint}", f"It has: {', '.join(listed)}")


def _ladder(run: Run, server: str, scenario: str) -> Ladder:
    folder = run.cells[server, scenario]
    if folder.ladder is None:
        raise UsageError(f"{scenario} on {server} has no ladder: {folder.ladder_trouble}")
    return folder.ladder


@dataclass(frozen=True)
class CellChange:
    """A cell that two runs tell differently. `difference` is None if a ladder is missing."""

    server: str
    scenario: str
    before: str
    after: str
    difference: Difference | None

    @property
    def verdict_changed(self) -> bool:
        return self.before != self.after


ABSENT = "absent"


def between_runs(before: Path, after: Path) -> list[CellChange]:
    """The cells whose verdict or packets differ, those with another verdict first."""
    one, two = run_folder.read(before), run_folder.read(after)
    verdicts = [
        {(cell["server"], cell["scenario"]): str(cell["verdict"]) for cell in run.matrix["cells"]}
        for run in (one, two)
    ]
    changes: list[CellChange] = []
    for key in dict.fromkeys([*verdicts[0], *verdicts[1]]):
        words = [found.get(key, ABSENT) for found in verdicts]
        a, b = (run.cells[key].ladder if key in run.cells else None for run in (one, two))
        difference = diff.compare(a, b) if a and b else None
        if words[0] != words[1] or (difference and not difference.same):
            changes.append(CellChange(*key, words[0], words[1], difference))
    return sorted(changes, key=lambda change: not change.verdict_changed)


def render(changes: Iterable[CellChange]) -> str:
    """A line for each changed verdict, and the first PDU that differs under it."""
    lines: list[str] = []
    for change in changes:
        arrow = f"{change.before} -> {change.after}" if change.verdict_changed else change.before
        lines.append(f"{change.scenario} on {change.server}: {arrow}")
        difference = change.difference
        if difference is None or difference.same:
            continue
        lines.append(f"    {diff.describe(difference.rows[difference.first], difference)}")
        if difference.rule is not None:
            lines.append(f"    {difference.rule.section}: {difference.rule.says}")
    return "\n".join(lines or ["No difference."]) + "\n"
