"""`lab up`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.cli import names
from lab.cli.output import console, print_json
from lab.cli.registry import command
from lab.cli.words import Positional

if TYPE_CHECKING:
    from lab.lifecycle.up import Up
    from lab.session import Lab


@command(
    "up",
    positional=Positional("servers", variadic=True, look_up=names.servers),
    flags={"json": "print the seconds of each phase as JSON"},
    examples=(
        ("lab up", "all nodes; mends what was killed or changed since"),
        ("lab up ksmbd ksmbd@sid", "only these servers, with the front and the client"),
        ("LAB_FRONT_PORT=4450 lab up", "with another port for the front"),
    ),
)
def up(context: Any, servers: Sequence[str], json: bool = False) -> int:
    """Bring the lab up: engine, images, containers, guest.

    Finds Docker (or, as root on Debian or Fedora, installs it), builds the images that are
    missing or out of date, starts all nodes and waits until each answers a NEGOTIATE. Repeating
    it is safe: what runs and is up to date is left alone, what was killed is started, what was
    changed in lab.toml or templates/ is rebuilt or restarted. The backend that was active before
    is active again. The first time takes minutes; later, seconds.

    With names, only those servers; others that run go on running.
    """
    from lab.lifecycle.up import up as bring_up
    from lab.session import Lab

    lab = Lab.open()
    try:
        with lab.locked("lab up"):
            done = bring_up(lab, servers)
    except KeyboardInterrupt:
        print("`lab up` goes on from here; `lab down` removes what there is", file=sys.stderr)
        raise
    if json:
        print_json(done.timings())
    else:
        _show(lab, done)
    return 0


def _show(lab: Lab, done: Up) -> None:
    from lab.backends import is_ksmbd
    from lab.cli.commands.status import show_nodes
    from lab.cli.hints import connection_hints, path_hint
    from lab.status import status

    out = console()
    show_nodes(out, status(lab))
    healthy = done.healthy.seconds
    guests = {node: seconds for node, seconds in healthy.items() if is_ksmbd(node)}
    containers = max(
        seconds for node, seconds in healthy.items() if node != "front" and node not in guests
    )
    answering = [
        f"containers {containers:.1f} s",
        *(f"{node} guest {seconds:.1f} s" for node, seconds in guests.items()),
    ]
    out.print(
        f"\naccelerator: {done.accelerator} ({done.accelerator_reason})\n"
        f"answering after: {', '.join(answering)}; "
        f"the whole of it {done.seconds['total']:.1f} s",
        markup=False,
    )
    for line in (*connection_hints(lab), *path_hint(lab)):
        out.print(line, markup=False)
