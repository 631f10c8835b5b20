"""`lab status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.cli.output import console, duration, print_json
from lab.cli.registry import command

if TYPE_CHECKING:
    from rich.console import Console

    from lab.status import LabStatus


@command(
    "status",
    flags={"json": "print it as JSON"},
    examples=(
        ("lab status", "the nodes, the active backend and the proof of it, versions"),
        ("lab status --json | jq -r .active", "just the active backend"),
    ),
)
def status(context: Any, json: bool = False) -> int:
    """Tell who runs, who answers, and which server is active.

    A server counts as healthy when it answers a NEGOTIATE at its published port. The active
    backend is what HAProxy says, and the proof is the ServerGuid: seen through the front and
    seen directly.
    """
    from lab.session import Lab
    from lab.status import status as ask

    now = ask(Lab.open())
    if json:
        print_json(now.as_json())
        return 0
    out = console()
    show_nodes(out, now)
    _show_rest(out, now)
    return 0


def show_nodes(out: Console, now: LabStatus) -> None:
    """The table of nodes."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("node", "state", "health", "address", "up", "versions"):
        table.add_column(column, overflow="fold")
    for node in now.nodes:
        marker = " *" if node.name == now.active else ""
        health = Text("healthy", "green") if node.healthy else Text("not healthy", "red")
        shown = [f"{key} {value}" for key, value in node.versions.items()]
        if node.restarts:
            shown.append("restarted once" if node.restarts == 1 else f"restarted {node.restarts}x")
        table.add_row(
            node.name + marker,
            node.state,
            health,
            node.address,
            duration(node.uptime_s),
            Text(", ".join(shown) if node.healthy else node.detail),
        )
    out.print(table)


def _show_rest(out: Console, now: LabStatus) -> None:
    if not any(node.state != "absent" for node in now.nodes):
        lines = ["", f"The lab {now.name} is not up: lab up"]
    else:
        lines = [
            "",
            f"active:      {now.active or 'none'} {_proof_words(now)}",
            f"accelerator: {now.accelerator.get('kind', 'unknown')} "
            f"({now.accelerator.get('reason', 'lab up was not run')})",
        ]
    lines += [
        f"lab:         {now.name} in {now.root}",
        f"settings:    {now.settings_file or 'defaults (no lab.toml)'}",
    ]
    for line in lines:
        out.print(line, markup=False)


def _proof_words(now: LabStatus) -> str:
    if not now.proof:
        return "(not proved: it or the front did not answer)"
    front, direct = now.proof["front"]["server_guid"], now.proof["direct"]["server_guid"]
    if now.proof["holds"]:
        return f"(proved: ServerGuid {front} through the front and directly)"
    return f"(REFUTED: ServerGuid {front} through the front, {direct} directly)"
