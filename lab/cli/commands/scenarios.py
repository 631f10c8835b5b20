"""`lab run-scenarios`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli.output import console, print_json
from lab.cli.registry import command
from lab.cli.words import Positional, check_value
from lab.settings import BACKENDS

if TYPE_CHECKING:
    from lab.scenarios.model import Scenario
    from lab.verdicts.matrix import Matrix
    from lab.verdicts.run import Event


@command(
    "run-scenarios",
    positional=Positional("names", variadic=True),
    flags={
        "server": "these servers, directly, past the front: samba, ksmbd, py, or several as a,b",
        "all": "every server, directly",
        "embedded": "against notify_server on this machine: no Docker, no root",
        "list": "list the scenarios instead of running them",
        "json": "print the matrix (or the list) as JSON",
    },
    repeated=("server",),
    examples=(
        ("lab run-scenarios", "all of them against the active server, through the front"),
        ("lab run-scenarios --all", "the matrix: every scenario, every server"),
        ("lab run-scenarios C1 G --server ksmbd,py", "one scenario and a group, two servers"),
        ("lab run-scenarios MS-SMB2/3.3.5.19", "those that rest on a section"),
        ("lab run-scenarios --embedded", "a quick look, without the lab"),
        ("lab run-scenarios --list", "what there is"),
    ),
)
def run_scenarios(
    context: Any,
    names: Sequence[str],
    server: Sequence[str] | None = None,
    all: bool = False,
    embedded: bool = False,
    list: bool = False,
    json: bool = False,
) -> int:
    """Run scenarios and judge what the servers did.

    Scenarios are named by name (C1), by group (C), or by a section that they cite. Each runs in
    a directory of its own; servers run side by side. Verdicts, reasons and evidence go to
    .lab/runs/TIME/. Exits 0 if all is as expected, 1 if something newly fails.
    """
    from lab.scenarios.catalogue import load

    chosen = load().select(names)
    servers = _chosen_servers(server or (), all, embedded)
    if list:
        _list(chosen, json)
        return 0
    runs = _runs_folder()
    if embedded:
        from lab.scenarios.embedded import run

        matrix = run(chosen, _new_run(runs), Ticker(len(chosen)))
    else:
        from lab.matrix import run_on_lab
        from lab.session import Lab

        lab = Lab.open()
        with lab.locked("lab run-scenarios"):
            total = len(chosen) * max(len(servers), 1)
            matrix = run_on_lab(lab, servers, chosen, partial(_new_run, runs), Ticker(total))
    return _report(matrix, json)


def _chosen_servers(given: Sequence[str], every: bool, embedded: bool) -> list[str]:
    """The servers that the options name, in the lab's order; [] means: the active one."""
    from lab.errors import UsageError

    words = [word for value in given for word in value.split(",") if word]
    for word in words:
        check_value("server", word, BACKENDS)
    if embedded and (words or every):
        raise UsageError(
            "--embedded runs notify_server alone; it goes with neither --server nor --all",
            "lab run-scenarios --embedded, or lab run-scenarios --server py",
        )
    return [name for name in BACKENDS if every or name in words]


def _runs_folder() -> Path:
    """Where runs go: into the lab; embedded in an installed package, where one stands."""
    from lab.errors import UsageError
    from lab.paths import find_root

    try:
        return find_root(Path.cwd(), os.environ).runs
    except UsageError:
        return Path.cwd() / ".lab" / "runs"


def _new_run(runs: Path) -> Path:
    """A new folder, named after the time; a second run in the same second gets a suffix."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for name in (stamp, *(f"{stamp}-{number}" for number in range(2, 100))):
        try:
            (runs / name).mkdir(parents=True)
        except FileExistsError:
            continue
        return runs / name
    raise FileExistsError(runs / stamp)


def _list(chosen: Sequence[Scenario], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "name": scenario.name,
                    "group": scenario.group,
                    "title": scenario.title,
                    "cites": [*scenario.cites],
                    "rests_on": scenario.rests_on,
                }
                for scenario in chosen
            ]
        )
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "title", "cites"):
        table.add_column(column, overflow="fold")
    for scenario in chosen:
        table.add_row(scenario.name, scenario.title, ", ".join(scenario.cites))
    console().print(table)


def _report(matrix: Matrix, as_json: bool) -> int:
    from lab.verdicts.render import matrix_json, print_matrix

    if as_json:
        print_json(matrix_json(matrix))
    else:
        print_matrix(matrix, console())
    return matrix.exit_code


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
