"""`lab run-scenarios`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli import names as known_names
from lab.cli.commands.evidence import runs_folder
from lab.cli.output import console, print_json
from lab.cli.registry import command
from lab.cli.words import Positional, check_value

MOST_ROUNDS = 1000

if TYPE_CHECKING:
    from lab.matrix import Wanted
    from lab.scenarios.model import Scenario
    from lab.verdicts.matrix import Matrix
    from lab.verdicts.run import Event


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
    servers = _chosen_servers(server or (), all, embedded)
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
    return _report(matrix, known, json)


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

    matrix = run(chosen, runs.new(runs_folder()), Ticker(len(chosen) * rounds), rounds, whole)
    runs.finish(matrix.run_dir, {"host": runs.host_versions()})
    return matrix


def _run_on_lab(wanted: Wanted) -> Matrix:
    from lab import runs
    from lab.matrix import run_on_lab, versions_of
    from lab.session import Lab

    lab = Lab.open()
    with lab.locked("lab run-scenarios"):
        ticker = Ticker(len(wanted.scenarios) * max(len(wanted.servers), 1) * wanted.rounds)
        matrix = run_on_lab(lab, wanted, partial(runs.new, lab.paths.runs), ticker)
        runs.finish(matrix.run_dir, versions_of(lab, matrix.servers))
    return matrix


def _chosen_servers(given: Sequence[str], every: bool, embedded: bool) -> list[str]:
    """The servers that the options name, in the lab's order; [] means: the active one."""
    from lab.errors import UsageError

    words = [word for value in given for word in value.split(",") if word]
    servers = known_names.servers() if words or every else ()
    for word in words:
        check_value("server", word, servers)
    if embedded and (words or every):
        raise UsageError(
            "--embedded runs notify_server alone; it goes with neither --server nor --all",
            "lab run-scenarios --embedded, or lab run-scenarios --server py",
        )
    return [name for name in servers if every or name in words]


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


def _report(matrix: Matrix, known: Mapping[str, Any] | None, as_json: bool) -> int:
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
