"""`lab run-scenarios`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli import matrices
from lab.cli.commands.evidence import runs_folder
from lab.cli.output import console, print_json
from lab.cli.registry import command
from lab.cli.words import Positional

MOST_ROUNDS = 1000

if TYPE_CHECKING:
    from lab.matrix import Wanted
    from lab.scenarios.model import Scenario
    from lab.verdicts.matrix import Matrix


@command(
    "run-scenarios",
    positional=Positional("names", variadic=True),
    flags={
        "server": "these servers, directly, past the front: samba, ksmbd, py, ksmbd@FLAVOUR, or "
        "several as a,b",
        "all": "every server, directly",
        "embedded": "against notify_server on this machine: no Docker, no root",
        "file": "scenarios of this file instead of the catalogue's",
        "repeat": "run everything N times; each cell then tells how stable it is",
        "baseline": "fail only on what newly fails, in every round, against this file",
        "no_capture": "take no captures: quicker, but without ladders, differences and proof",
        "list": "list the scenarios instead of running them",
        "json": "print the matrix (or the list) as JSON",
    },
    metavars={"repeat": "N", "baseline": "FILE", "file": "FILE.py"},
    repeated=("server", "file"),
    examples=(
        ("lab run-scenarios", "all of them against the active server, through the front"),
        ("lab run-scenarios --all", "the matrix: every scenario, every server"),
        ("lab run-scenarios C1 G --server ksmbd,py", "one scenario and a group, two servers"),
        ("lab run-scenarios MS-SMB2/3.3.5.19", "those that rest on a section"),
        ("lab run-scenarios --embedded", "a quick look, without the lab"),
        ("lab run-scenarios --all --repeat 3 --baseline base.json", "the gate for a patch series"),
        ("lab run-scenarios --file mine.py --server ksmbd", "a scenario of your own"),
        ("lab run-scenarios --list", "what there is"),
    ),
)
def run_scenarios(
    context: Any,
    names: Sequence[str],
    server: Sequence[str] | None = None,
    all: bool = False,
    embedded: bool = False,
    file: Sequence[str] | None = None,
    repeat: str = "1",
    baseline: str = "",
    no_capture: bool = False,
    list: bool = False,
    json: bool = False,
) -> int:
    """Run scenarios and judge what the servers did.

    Scenarios are named by name (C1), by group (C), or by a section that they cite. Each runs in
    a directory of its own; servers run side by side. Verdicts, captures, ladders, logs and
    report.html go to .lab/runs/TIME/. Exits 0 if all is as expected, 1 if something newly fails;
    with --baseline, 1 only for what fails in every round and did not in the baseline.
    """
    from lab.matrix import Wanted
    from lab.scenarios.catalogue import load, load_files
    from lab.verdicts import baseline as baselines

    catalogue = load_files([Path(path) for path in file]) if file else load()
    chosen = catalogue.select(names)
    servers = matrices.chosen_servers(server or (), all, embedded)
    if list:
        _list(chosen, json)
        return 0
    rounds = _rounds(repeat)
    whole = len(chosen) == len(catalogue) and not file
    known = baselines.load(Path(baseline)) if baseline else None
    if embedded:
        matrix = _run_embedded(chosen, rounds, whole)
    else:
        wanted = Wanted(servers, chosen, not no_capture, rounds, whole)
        matrix = _run_on_lab(wanted)
    return matrices.report(matrix, known, json)


def _rounds(given: str) -> int:
    from lab.errors import UsageError

    if not given.isdecimal() or not 1 <= int(given) <= MOST_ROUNDS:
        raise UsageError(
            f"--repeat {given!r} is not allowed", f"a number from 1 to {MOST_ROUNDS}, as in 3"
        )
    return int(given)


def _run_embedded(chosen: Sequence[Scenario], rounds: int, whole: bool) -> Matrix:
    """Without captures: taking them needs a privilege, and this needs none."""
    from lab import runs
    from lab.scenarios.embedded import run

    matrix = run(
        chosen, runs.new(runs_folder()), matrices.Ticker(len(chosen) * rounds), rounds, whole
    )
    runs.finish(matrix.run_dir, {"host": runs.host_versions()})
    return matrix


def _run_on_lab(wanted: Wanted) -> Matrix:
    from lab import runs
    from lab.matrix import run_on_lab, versions_of
    from lab.session import Lab

    lab = Lab.open()
    with lab.locked("lab run-scenarios"):
        ticker = matrices.Ticker(
            len(wanted.scenarios) * max(len(wanted.servers), 1) * wanted.rounds
        )
        matrix = run_on_lab(lab, wanted, partial(runs.new, lab.paths.runs), ticker)
        runs.finish(matrix.run_dir, versions_of(lab, matrix.servers))
    return matrix


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
