"""`lab logs`."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lab.cli import names
from lab.cli.registry import command
from lab.cli.words import Positional

if TYPE_CHECKING:
    from lab.evidence.reference import Packet

EARLIER_S = 0.001  # what a server logs about a packet may have been captured before it


@command(
    "logs",
    positional=Positional("node", look_up=names.nodes),
    flags={
        "follow": "go on printing what comes, until Ctrl-C",
        "tail": "only the last N lines",
        "since_pdu": "from a packet of a run on; the report shows this for each packet",
    },
    short={"follow": "-f"},
    metavars={"tail": "N", "since_pdu": "[RUN/][SERVER/]SCENARIO:FRAME"},
    examples=(
        ("lab logs samba --follow", "smbd's log as it is written"),
        ("lab logs ksmbd --tail 50", "the end of the guest's console"),
        ("lab logs samba --since-pdu H1:57", "from frame 57 of H1 on, in the latest run"),
        ("lab logs front --since-pdu latest/samba/H1:#7", "the front's, from MessageId 7 on"),
    ),
)
def logs(
    context: Any, node: str, follow: bool = False, tail: str = "all", since_pdu: str = ""
) -> int:
    """Print a node's log: smbd's, HAProxy's, notify_server's; for ksmbd, the guest's console.

    How much is logged, by class, is set in lab.toml: [samba] log_level = "1 notify:10 smb2:10",
    [ksmbd] debug = "smb vfs", [py] log_level = "info notify:debug".
    """
    from lab.errors import LabFailed, UsageError
    from lab.session import Lab

    if tail != "all" and not tail.isdecimal():
        raise UsageError(f"--tail {tail!r} is no number of lines", "lab logs NODE --tail 50")
    packet = _packet(since_pdu, node) if since_pdu else None
    engine = Lab.open().engine
    containers = engine.containers()
    if packet and not follow:
        made = engine.inspect(node)["Created"] if node in containers else ""
        if not made or datetime.fromisoformat(made[:19] + "+00:00").timestamp() > packet.time:
            return _kept(packet, node)
    if node not in containers:
        raise LabFailed(f"there is no container of {node}: the lab is not up", "lab up")
    sys.stdout.flush()
    words = ["docker", "logs", "--tail", tail, *(["--follow"] if follow else [])]
    if packet:
        words += ["--since", f"{packet.time - EARLIER_S:.6f}"]
    os.execvp("docker", [*words, containers[node].id])  # noqa: S606 - no shell: just this


def _packet(text: str, node: str) -> Packet:
    from lab import runs
    from lab.cli.commands.evidence import runs_folder
    from lab.evidence import reference

    return reference.find(text, node, lambda word: runs.find(runs_folder(), word or runs.LATEST))


def _kept(packet: Packet, node: str) -> int:
    """What the run kept of the log: the server was started anew since then."""
    from lab.errors import LabFailed
    from lab.evidence import run_folder

    if node != packet.server:
        raise LabFailed(
            f"{node} was made anew after that packet, and runs keep only their servers' logs",
            f"lab logs {packet.server} --since-pdu …",
        )
    print(
        f"{node} was made anew after that packet; what the run kept, to the end of the scenario:",
        file=sys.stderr,
    )
    for line in run_folder.read_cell(packet.cell).log_lines:
        if line.time >= packet.time - EARLIER_S:
            print(f"{(line.time - packet.time) * 1000:+9.1f} ms {line.words}")
    return 0
