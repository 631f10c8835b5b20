"""`lab trace`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lab.cli.matrices import Ticker
from lab.cli.names import servers as known_servers
from lab.cli.output import console, print_json
from lab.cli.registry import command
from lab.cli.words import Positional, check_value

if TYPE_CHECKING:
    from lab.tracing.run import Traced

DEPTH = 6
REPRODUCE = "lab trace {scenario} --server {server}"


@command(
    "trace",
    positional=Positional("names", variadic=True),
    flags={
        "server": "these servers: samba, ksmbd, py, ksmbd@FLAVOUR, or several as a,b; "
        "without it the active one",
        "depth": f"show calls to this depth ({DEPTH})",
        "whole": "every call: nothing folded, nothing cut",
        "json": "print the trees as JSON",
    },
    metavars={"depth": "N"},
    repeated=("server",),
    examples=(
        ("lab trace H1 --server ksmbd", "the functions of ksmbd under the packets of H1"),
        ("lab trace C2 --server samba,py --depth 4", "two servers, less deep"),
        ("lab trace G1 --server ksmbd@mine --whole", "everything that the module did"),
    ),
)
def trace(
    context: Any,
    names: Sequence[str],
    server: Sequence[str] | None = None,
    depth: str = str(DEPTH),
    whole: bool = False,
    json: bool = False,
) -> int:
    """Run scenarios with tracing on, and show under each packet the functions that handled it.

    ksmbd by ftrace's function graph in the guest, py by its own trace, smbd built from source by
    breakpoints. Only while this runs. Trees and ladders stay in the run's folder, its report and
    its bundles. Exits 0 when every server was traced, whatever its verdicts are.
    """
    from lab.errors import UsageError
    from lab.scenarios.catalogue import load

    if not names:
        raise UsageError("which scenario?", "lab trace H1 --server ksmbd; lab run-scenarios --list")
    if not depth.isdecimal() or int(depth) < 1:
        raise UsageError(f"--depth {depth!r} is no number of levels", "lab trace H1 --depth 4")
    chosen = load().select(names)
    words = [word for value in server or () for word in value.split(",") if word]
    for word in words:
        check_value("server", word, known_servers())
    traced = _run(words, chosen)
    if json:
        print_json(_plain(traced))
    else:
        _show(traced, int(depth), whole)
    for name, trouble in traced.troubles.items():
        print(f"lab: {name}: {trouble}", file=sys.stderr)
    return 3 if traced.troubles or traced.matrix.partial else 0


def _run(servers: Sequence[str], chosen: Sequence[Any]) -> Traced:
    from lab import runs
    from lab.matrix import active, versions_of
    from lab.session import Lab
    from lab.tracing.run import run_traced

    lab = Lab.open()
    with lab.locked("lab trace"):
        lab.require_running("front", "client")
        wanted = [name for name in known_servers() if name in servers] or [active(lab)]
        ticker = Ticker(len(chosen) * len(wanted))
        traced = run_traced(lab, wanted, chosen, partial(runs.new, lab.paths.runs), ticker)
        runs.finish(traced.matrix.run_dir, versions_of(lab, wanted), REPRODUCE)
    return traced


def _plain(traced: Traced) -> Mapping[str, Any]:
    from lab.tracing import recording

    cells = []
    for (scenario, server), cell in traced.matrix.cells.items():
        found = recording.read(traced.matrix.run_dir / server / scenario)
        cells.append(
            {
                "server": server,
                "scenario": scenario,
                "verdict": cell.verdict.outcome.value,
                "reason": cell.verdict.reason,
                "trace": found.to_json() if found else None,
            }
        )
    return {"folder": str(traced.matrix.run_dir), "cells": cells, "troubles": traced.troubles}


def _show(traced: Traced, depth: int, whole: bool) -> None:
    from lab.evidence import ladder_text, run_folder
    from lab.evidence.report import NAME
    from lab.tracing import recording, text

    for (scenario, server), cell in traced.matrix.cells.items():
        folder = traced.matrix.run_dir / server / scenario
        ladder, _ = run_folder.read_ladder(folder)
        found = recording.read(folder)
        if ladder is None or found is None:
            continue
        under = text.under(found, ladder, depth, whole)
        print(ladder_text.render(ladder, ladder_text.TERMINAL, under))
        print(f"traced: {found.how}")
        if found.lost:
            print(f"{found.lost} events were lost: the tracer's buffer was too small")
        reason = f": {cell.verdict.reason}" if cell.verdict.reason else ""
        print(f"verdict: {cell.verdict.outcome.value}{reason}\n")
    console().print(str(traced.matrix.run_dir / NAME), markup=False, soft_wrap=True)
