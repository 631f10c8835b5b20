"""`lab run-torture`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lab.cli import matrices
from lab.cli.output import print_json
from lab.cli.registry import command
from lab.cli.words import Positional


@command(
    "run-torture",
    positional=Positional("patterns", variadic=True),
    flags={
        "server": "these servers: samba, ksmbd, py, or several as a,b (else the active one)",
        "all": "every server",
        "deadline": "seconds that each subtest may take (60; scaled where a server is emulated)",
        "baseline": "fail only on what newly fails against this file",
        "list": "list the subtests instead of running them",
        "json": "print the matrix (or the list) as JSON",
    },
    metavars={"deadline": "SECONDS", "baseline": "FILE"},
    repeated=("server",),
    examples=(
        ("lab run-torture --all", "CHANGE_NOTIFY and what it rests on, against every server"),
        ("lab run-torture smb2.notify --server py", "one suite, one server"),
        ("lab run-torture 'session.signing-*' --server samba,py", "a pattern, two servers"),
        ("lab run-torture smb2 --list", "every subtest for SMB2 that there is"),
    ),
)
def run_torture(
    context: Any,
    patterns: Sequence[str],
    server: Sequence[str] | None = None,
    all: bool = False,
    deadline: str = "",
    baseline: str = "",
    list: bool = False,
    json: bool = False,
) -> int:
    """Run Samba's smbtorture, one subtest a process, into the same matrix as the scenarios.

    A pattern is a subtest (smb2.notify.dir), a suite (smb2.notify) or has * in it; smb2. may be
    left out. Without one: smb2.notify and the compound, credits and session subtests that it
    rests on. Servers run side by side. Verdicts, each subtest's
    output and report.html go to .lab/runs/TIME/.
    Exits 0 if all is as expected, 1 if something newly fails.
    """
    from lab import runs
    from lab.matrix import versions_of
    from lab.session import Lab
    from lab.torture import on_lab
    from lab.verdicts import baseline as baselines

    servers = matrices.chosen_servers(server or (), all)
    seconds = _seconds(deadline) if deadline else None
    known = baselines.load(Path(baseline)) if baseline else None
    lab = Lab.open()
    names = on_lab.choose(lab, patterns)
    if list:
        print_json(names) if json else print("\n".join(names))
        return 0
    with lab.locked("lab run-torture"):
        ticker = matrices.Ticker(len(names) * max(len(servers), 1))
        new_run = partial(runs.new, lab.paths.runs)
        matrix = on_lab.run_on_lab(lab, servers, names, new_run, ticker, seconds)
        runs.finish(matrix.run_dir, versions_of(lab, matrix.servers))
    return matrices.report(matrix, known, json)


def _seconds(text: str) -> float:
    from lab.errors import UsageError

    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86400:
        raise UsageError(
            f"--deadline {text}: not a number of seconds from 1 to 86400", "--deadline 60"
        )
    return seconds
