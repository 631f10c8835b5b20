"""`lab ksmbd dev`."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli import ksmbd_node, matrices
from lab.cli.registry import command
from lab.cli.words import Positional

if TYPE_CHECKING:
    from lab.kernel.dev import Turn

DEFAULT = ("core",)


@command(
    "ksmbd.dev",
    positional=Positional("names", variadic=True),
    flags={
        "src": "the tree that you edit: a kernel tree or an out-of-tree ksmbd",
        "flavour": ksmbd_node.HELP,
        "once": "one turn, without waiting for a save; exits as lab run-scenarios does",
        "json": "print each turn as one line of JSON",
    },
    metavars={"src": "DIR", "flavour": "NAME"},
    examples=(
        ("lab ksmbd dev --src ~/linux A1 H1", "at each save: build, exchange, run A1 and H1"),
        ("lab ksmbd dev --src ~/linux", "the fourteen scenarios of the group core"),
        ("lab ksmbd dev --src ~/linux --once A1", "just now, once"),
    ),
)
def dev(
    context: Any,
    names: Sequence[str],
    src: str = "",
    flavour: str = "",
    once: bool = False,
    json: bool = False,
) -> int:
    """At each saved file: build ksmbd.ko, exchange the module, run scenarios, tell what changed.

    The tree is looked at, never written to; the build is incremental and runs in a container. Of
    each turn are told: the compiler's words, the seconds of each phase, the verdicts that changed
    since the last run, and the first packet that differs. Errors do not end it; Ctrl-C does.
    """
    from lab.errors import UsageError
    from lab.kernel.dev import Loop
    from lab.scenarios.catalogue import load
    from lab.session import Lab

    source = Path(src).expanduser().resolve()
    if not src or not source.is_dir():
        raise UsageError(
            f"--src {src}: there is no such folder" if src else "which tree? --src is missing",
            "lab ksmbd dev --src DIR; lab ksmbd build fetches Debian's source to .lab/src/",
        )
    scenarios = load().select(names or DEFAULT)
    lab = Lab.open()
    chosen = ksmbd_node.flavour_of(lab, flavour)
    loop = Loop(lab, chosen, source, scenarios, matrices.Ticker)
    if once:
        turn = loop.turn(())
        _show(turn, json)
        return turn.matrix.exit_code if turn.matrix else 3
    try:
        for turn in loop.turns():
            _show(turn, json)
            if not json:
                print(f"Watching {source}; Ctrl-C ends.", flush=True)
    except KeyboardInterrupt:
        if not json:
            print("\nEnded; the guest keeps the module that it has: lab ksmbd reload --original")
    return 0


def _show(turn: Turn, as_json: bool) -> None:
    if as_json:
        print(json_module.dumps(turn.as_json()), flush=True)
        return
    for line in lines(turn):
        print(line)
    print(flush=True)


def lines(turn: Turn) -> list[str]:
    """One turn for people."""
    from lab.evidence import compare
    from lab.kernel.dev import verdicts

    told = [f"{time.strftime('%H:%M:%S')}  {', '.join(turn.files) or 'the tree as it is'}"]
    if turn.built:
        told += [f"  {line}" for line in turn.built.warnings]
    told += [f"  {line}" for line in turn.error.splitlines()]
    if turn.matrix and turn.changes is None:
        told += [f"  {name}: {word}" for name, word in verdicts(turn.matrix).items()]
    elif turn.matrix:
        said = compare.render(turn.changes or ()).splitlines()
        told += [f"  {line}" for line in said]
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in turn.seconds.items())
    what = f"; module {turn.built.identity[:12]}" if turn.built else ""
    return [*told, f"  {turn.total:.1f} s ({phases}){what}"]
