"""`lab ladder`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.cli.commands.evidence import runs_folder
from lab.cli.output import print_json
from lab.cli.registry import command
from lab.cli.words import Positional

DEPTH = 6


@command(
    "ladder",
    positional=Positional("scenario"),
    flags={
        "server": "only these servers: samba, ksmbd, py, or several as a,b",
        "run": "the run to take it from, instead of the latest",
        "logs": "the server's log lines under the packets that they follow",
        "trace": "the server's calls under their packets, where `lab trace` made the run",
        "depth": f"show calls to this depth ({DEPTH})",
        "mail": "plain ASCII in 74 columns",
        "json": "print the ladders as JSON",
    },
    metavars={"depth": "N"},
    repeated=("server",),
    examples=(
        ("lab ladder H1", "the packets of H1 in the latest run, of each server"),
        ("lab ladder C2 --server samba --logs", "with smbd's log lines among them"),
        ("lab ladder H1 --server ksmbd --trace --logs", "and with the functions of ksmbd"),
    ),
)
def ladder(
    context: Any,
    scenario: str,
    server: Sequence[str] | None = None,
    run: str = "",
    logs: bool = False,
    trace: bool = False,
    depth: str = str(DEPTH),
    mail: bool = False,
    json: bool = False,
) -> int:
    """Print the packets of a scenario in a run that is done.

    Log lines go under the last packet before them, with the time since it, their level and their
    function. Of ksmbd's console there is no function, but the file of the module that logs.
    """
    from lab import runs
    from lab.errors import LabFailed, UsageError
    from lab.evidence import compare, ladder_text, run_folder

    if not depth.isdecimal() or int(depth) < 1:
        raise UsageError(f"--depth {depth!r} is no number of levels", "lab ladder H1 --depth 4")
    folder = runs.find(runs_folder(), run or runs.LATEST)
    matrix = run_folder.read_matrix(folder)
    name = compare.known(scenario, [str(e["name"]) for e in matrix["scenarios"]], "scenario")
    words = [word for value in server or () for word in value.split(",") if word]
    chosen = [compare.known(word, matrix["servers"], "server") for word in words]
    cells = {
        each: run_folder.read_cell(folder / each / name) for each in chosen or matrix["servers"]
    }
    shown = {each: cell for each, cell in cells.items() if cell.ladder is not None}
    if not shown:
        trouble = next(iter(cells.values())).ladder_trouble
        raise LabFailed(
            f"{name} has no packets in {folder.name}: {trouble}", f"lab run-scenarios {name}"
        )
    if json:
        print_json({each: cell.ladder.to_json() for each, cell in shown.items() if cell.ladder})
        return 0
    style = ladder_text.MAIL if mail else ladder_text.TERMINAL
    for cell in shown.values():
        if cell.ladder:
            under = _under(cell, trace, int(depth), logs, "| " if mail else "│ ")
            print(ladder_text.render(cell.ladder, style, under))
    return 0


def _under(cell: Any, trace: bool, depth: int, logs: bool, bar: str) -> dict[int, list[str]]:
    """Calls, then log lines, by rung."""
    from lab.errors import LabFailed
    from lab.evidence import server_log
    from lab.tracing import recording, text

    lines: dict[int, list[str]] = {}
    if trace:
        found = recording.read(cell.path)
        if found is None:
            raise LabFailed(f"{cell.path} was not traced", f"lab trace {cell.path.name}")
        lines = text.under(found, cell.ladder, depth, bar=bar)
    if logs:
        for at, several in server_log.under(cell.log_lines, cell.ladder).items():
            lines.setdefault(at, []).extend(several)
    return lines
