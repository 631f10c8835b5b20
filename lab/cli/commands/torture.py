"""`lab run-torture`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lab.cli.output import console, print_json
from lab.cli.registry import command
from lab.cli.words import Positional


@command(
    "run-torture",
    positional=Positional("patterns", variadic=True),
    flags={
        "server": "these servers: samba, ksmbd, py, or several as a,b (else the active one)",
        "all": "every server",
        "deadline": "seconds that one subtest may take (180; more for an emulated guest)",
        "list": "list the subtests instead of running them",
        "json": "print the matrix (or the list) as JSON",
    },
    metavars={"deadline": "SECONDS"},
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
    list: bool = False,
    json: bool = False,
) -> int:
    """Run Samba's smbtorture, one subtest a process, into the same matrix as the scenarios.

    A pattern is a subtest (smb2.notify.dir), a suite (smb2.notify) or has * in it; smb2. may be
    left out. Without one: smb2.notify and the compound, credits and session subtests that it
    rests on. Servers run side by side. Verdicts and each subtest's output go to .lab/runs/TIME/.
    Exits 0 if all is as expected, 1 if something newly fails.
    """
    from lab.cli.commands.scenarios import Ticker, _chosen_servers
    from lab.session import Lab
    from lab.torture import on_lab
    from lab.torture.run import DEADLINE_S, torture_json
    from lab.verdicts.render import print_matrix

    servers = _chosen_servers(server or (), all, False)
    seconds = _seconds(deadline) if deadline else DEADLINE_S
    lab = Lab.open()
    names = on_lab.choose(lab, patterns)
    if list:
        print_json(names) if json else print("\n".join(names))
        return 0
    with lab.locked("lab run-torture"):
        ticker = Ticker(len(names) * max(len(servers), 1))
        new_run = partial(_new_run, lab.paths.runs)
        matrix = on_lab.run_on_lab(lab, servers, names, new_run, ticker, seconds)
    if json:
        print_json(torture_json(matrix))
    else:
        print_matrix(matrix, console())
    return matrix.exit_code


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
