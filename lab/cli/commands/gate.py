"""`lab gate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli import ksmbd_node, matrices
from lab.cli.output import print_json
from lab.cli.registry import command
from lab.cli.words import Positional

if TYPE_CHECKING:
    from lab.gate.run import Gate
    from lab.gate.verdict import Verdict
    from lab.session import Lab

MOST_ROUNDS = 100


@command(
    "gate",
    positional=Positional("names", variadic=True),
    flags={
        "base": "what it is compared with: a flavour that runs, or with --src a revision",
        "candidate": "what is judged: a flavour, a revision, or with --each a range A..B",
        "src": "the git tree that revisions are of: a kernel tree or an out-of-tree ksmbd",
        "flavour": "revisions run on the kernel of this flavour; without it on the default one's",
        "repeat": "run everything N times on both sides (3)",
        "each": "build and run commit after commit (of a branch, its merge); name the first bad",
        "json": "print the verdict as JSON instead of Markdown",
    },
    metavars={"src": "DIR", "repeat": "N", "flavour": "NAME"},
    examples=(
        ("lab gate --base ksmbd --candidate ksmbd@mine", "two nodes that run"),
        ("lab gate --src ~/linux --base v6.12 --candidate HEAD", "two revisions"),
        ("lab gate --src ~/linux --candidate v6.12..HEAD --each C", "a series, the C scenarios"),
    ),
)
def gate(
    context: Any,
    names: Sequence[str],
    base: str = "",
    candidate: str = "",
    src: str = "",
    flavour: str = "",
    repeat: str = "3",
    each: bool = False,
    json: bool = False,
) -> int:
    """Judge a patch of ksmbd: base against candidate, repeated, as a verdict to paste under it.

    Both run as columns, side by side; with --each the base runs once, before. What is worse in
    every round than in any round of the base fails the gate, and so does a report of the kernel
    (an oops, a warning) that the base does not make and nobody knows. A revision that does not
    build or load fails too. Exits 0 if it passes, 1 if it fails, 2 for a wrong command line, 3 if
    the lab failed or nothing could be compared; verdicts from before it failed are printed.
    """
    from lab.errors import UsageError
    from lab.gate import run as gating
    from lab.gate.sides import plan
    from lab.scenarios.catalogue import load
    from lab.session import Lab

    if not repeat.isdecimal() or not 1 <= int(repeat) <= MOST_ROUNDS:
        raise UsageError(
            f"--repeat {repeat!r} is not allowed", f"a number from 1 to {MOST_ROUNDS}, as in 3"
        )
    tree = Path(src).expanduser().resolve() if src else None
    if tree and not tree.is_dir():
        raise UsageError(f"--src {src}: there is no such folder", "a clone of the kernel's tree")
    lab = Lab.open()
    planned = plan(base, candidate, lab.settings.flavours, in_tree=tree is not None, each=each)
    wanted = gating.Gate(
        planned, load().select(names), int(repeat), tree, ksmbd_node.flavour_of(lab, flavour)
    )
    verdicts: list[Verdict] = []
    try:
        with lab.locked("lab gate"):
            gating.run(lab, wanted, matrices.Ticker, verdicts.append)
    except BaseException:
        if verdicts:  # hours of work, perhaps
            _tell(lab, wanted, verdicts, json, finished=False)
        raise
    _tell(lab, wanted, verdicts, json, finished=True)
    if any(verdict.bad for verdict in verdicts):
        return 1
    return 0 if all(verdict.holds for verdict in verdicts) else 3


def _tell(
    lab: Lab, gate: Gate, verdicts: Sequence[Verdict], as_json: bool, *, finished: bool
) -> None:
    from lab.gate.verdict import markdown

    if as_json:
        bad = [verdict for verdict in verdicts if verdict.bad]
        print_json(
            {
                "holds": finished and all(verdict.holds for verdict in verdicts),
                "finished": finished,
                "first_bad": bad[0].candidate.what if bad else "",
                "rounds": gate.rounds,
                "verdicts": [verdict.as_json() for verdict in verdicts],
            }
        )
    else:
        figures = (len(gate.scenarios), gate.rounds, lab.accelerator)
        print(markdown(verdicts, *figures, finished=finished), end="")
