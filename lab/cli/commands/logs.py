"""`lab logs`."""

from __future__ import annotations

import os
import sys
from typing import Any

from lab.cli import names
from lab.cli.registry import command
from lab.cli.words import Positional


@command(
    "logs",
    positional=Positional("node", look_up=names.nodes),
    flags={
        "follow": "go on printing what comes, until Ctrl-C",
        "tail": "only the last N lines",
    },
    short={"follow": "-f"},
    metavars={"tail": "N"},
    examples=(
        ("lab logs samba --follow", "smbd's log as it is written"),
        ("lab logs ksmbd --tail 50", "the end of the guest's console"),
    ),
)
def logs(context: Any, node: str, follow: bool = False, tail: str = "all") -> int:
    """Print a node's log: smbd's, HAProxy's, notify_server's; for ksmbd, the guest's console."""
    from lab.errors import LabFailed, UsageError
    from lab.session import Lab

    if tail != "all" and not tail.isdecimal():
        raise UsageError(f"--tail {tail!r} is no number of lines", "lab logs NODE --tail 50")
    containers = Lab.open().engine.containers()
    if node not in containers:
        raise LabFailed(f"there is no container of {node}: the lab is not up", "lab up")
    sys.stdout.flush()
    words = ["docker", "logs", "--tail", tail, *(["--follow"] if follow else [])]
    os.execvp("docker", [*words, containers[node].id])  # noqa: S606 - no shell: just this
