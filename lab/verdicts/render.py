"""A run's result for people: the matrix on the terminal, or as plain text."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from lab.verdicts.export import junit_xml, matrix_json, summary
from lab.verdicts.matrix import Matrix
from lab.verdicts.verdict import Outcome, Verdict

__all__ = ["junit_xml", "matrix_json", "print_matrix", "summary"]

STYLES = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.KNOWN_DEVIATION: "yellow",
    Outcome.UNEXPECTED_PASS: "bold magenta",
    Outcome.UNSUPPORTED: "blue",
    Outcome.TIMEOUT: "bold red",
    Outcome.SERVER_CRASH: "bold white on red",
    Outcome.CLIENT_CRASH: "bold white on red",
    Outcome.NO_EVIDENCE: "bold red",
    Outcome.NOT_RUN: "dim",
}
LEAST_TITLE = 20


def print_matrix(matrix: Matrix, console: Console) -> None:
    """Scenarios down, servers across; under each row, why its cells are not a pass.

    On a terminal titles and reasons are cut so that each takes one line, and the verdicts are all
    seen; elsewhere they are whole.
    """
    column = _column_width(matrix)
    width = max((len(_title(matrix, number)) for number in range(len(matrix.scenarios))), default=0)
    if console.is_terminal:
        room = console.width - column * len(matrix.servers) - 2
        width = min(width, max(LEAST_TITLE, room))
    _line(console, Text.assemble(" " * width, "  ", *_header(matrix, column)))
    for number, scenario in enumerate(matrix.scenarios):
        verdicts = {s: matrix.cell(scenario.name, s).verdict for s in matrix.servers}
        title = Text(_title(matrix, number), "bold")
        title.truncate(width, overflow="ellipsis", pad=True)
        row = Text.assemble(title, "  ")
        for verdict in verdicts.values():
            row.append(verdict.outcome.ljust(column), STYLES[verdict.outcome])
        _line(console, row)
        for server, verdict in verdicts.items():
            if verdict.outcome is not Outcome.PASS:
                _line(console, _reason(server, verdict))
    _print_summary(matrix, console)


def _title(matrix: Matrix, number: int) -> str:
    scenario = matrix.scenarios[number]
    mark = " *" if scenario.provisional else ""
    return f"{scenario.name:<4}{scenario.title}{mark}"


def _column_width(matrix: Matrix) -> int:
    words = [*matrix.servers, *(verdict.outcome for verdict in matrix.verdicts())]
    return max(map(len, words), default=0) + 2


def _header(matrix: Matrix, column: int) -> list[tuple[str, str]]:
    return [(server.ljust(column), "bold") for server in matrix.servers]


def _reason(server: str, verdict: Verdict) -> Text:
    return Text.assemble(
        "      ",
        (f"{server}: ", STYLES[verdict.outcome]),
        (" ".join(verdict.reason.split()) or str(verdict.outcome), "dim"),
    )


def _print_summary(matrix: Matrix, console: Console) -> None:
    _line(console, Text())
    for server, counts in summary(matrix).items():
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        _line(console, Text(f"{server}: {said}"))
    for server, entries in (matrix.stale or {}).items():
        for entry in entries:
            text = f"{server}: deviation of {entry.scenario} was never seen: {entry.reason}"
            _line(console, Text(text, "yellow"))
    for server, leaks in matrix.leaks.items():
        for leak in leaks:
            known = f" (known: {leak.known.reason})" if leak.known else ""
            _line(console, Text(f"{server}: leak: {leak.crash.title}{known}", "red"))
    if any(scenario.provisional for scenario in matrix.scenarios):
        _line(
            console, Text("* provisional: no capture of a Windows server stands behind it", "dim")
        )
    if matrix.partial:
        _line(console, Text("Interrupted: this result is partial.", "bold yellow"))
    _line(console, Text(f"{matrix.seconds:.1f} s"))
    console.print(Text(str(matrix.run_dir)), soft_wrap=True)


def _line(console: Console, text: Text) -> None:
    text.rstrip()
    if console.is_terminal:
        console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
    else:
        console.print(text, soft_wrap=True)
