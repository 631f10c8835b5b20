"""`lab capture`."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli.output import print_json
from lab.cli.registry import command

if TYPE_CHECKING:
    from lab.capturing import Captured
    from lab.session import Lab
    from lab.verdicts.matrix import Matrix

SEED_SCENARIO = "H1"
SEED_FOLDER, SEED_FILE = "dir", "dir/file1"


@command(
    "capture",
    flags={
        "seed": "three events: enter the root, enter dir, a file is touched in it on the server",
        "play": "with --seed: let the lab's own client perform them, as Explorer does",
        "seconds": "end by itself after so many seconds, instead of at Ctrl-C",
        "json": "print where everything is as JSON",
    },
    metavars={"seconds": "N"},
    examples=(
        ("lab capture", "capture what goes through the front until Ctrl-C"),
        ("lab capture --seed", "the three events, performed in Windows Explorer"),
        ("lab capture --seed --play", "the three events, performed by the lab"),
    ),
)
def capture(
    context: Any, seed: bool = False, play: bool = False, seconds: str = "", json: bool = False
) -> int:
    """Capture while one works by hand, and show the packets as a ladder.

    What goes through the front is captured until Ctrl-C, also across a `lab switch`. Then the
    ladder of each server is printed; it lies with the capture and a report in
    .lab/captures/TIME/. Connect only when it says so: a capture that lacks the beginning of a
    connection is not believed.
    """
    from lab import capturing
    from lab.errors import UsageError
    from lab.scenarios.catalogue import load
    from lab.session import Lab

    if play and not seed:
        raise UsageError("--play goes with --seed", "lab capture --seed --play")
    if seconds and not seconds.isdecimal():
        raise UsageError(f"--seconds {seconds!r} is no number of seconds", "as in --seconds 60")
    lab = Lab.open()
    if play:
        (scenario,) = load().select([SEED_SCENARIO])
        with lab.locked("lab capture --seed --play"):
            done = capturing.record(lab, partial(capturing.play, lab, scenario))
    else:
        done = capturing.record(lab, partial(_by_hand, lab, seed, seconds))
    _show(done, json)
    return 0


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def _by_hand(lab: Lab, seed: bool, seconds: str, server: str, folder: Path) -> Matrix | None:
    """Wait for whoever works; with `seed`, tell what to do and touch the file."""
    host, port = lab.front_address()
    _say(f"Capturing what goes through {host}:{port}, now to {server}.")
    end = time.monotonic() + int(seconds) if seconds else float("inf")
    if seed:
        _lead_through_the_seed(lab, server)
    _say("Ctrl-C ends it." if end == float("inf") else f"It ends in {seconds} s, or at Ctrl-C.")
    while time.monotonic() < end:
        time.sleep(0.1)
    return None


def _lead_through_the_seed(lab: Lab, server: str) -> None:
    from lab.matrix import active
    from lab.nodes.registry import backend
    from lab.targets import SHARE_ROOT

    def run(name: str, *argv: str) -> None:
        backend(lab.engine, lab.paths, name).run(argv)

    def prepare(name: str) -> None:
        run(name, "mkdir", "-p", f"{SHARE_ROOT}/{SEED_FOLDER}")
        run(name, "chmod", "777", f"{SHARE_ROOT}/{SEED_FOLDER}")

    run(server, "rm", "-f", f"{SHARE_ROOT}/{SEED_FILE}")
    prepare(server)
    address = lab.settings.front.client_address
    _say(
        rf"1. Open \\{address}\{lab.settings.share.name} in the Explorer.",
        f"2. Enter {SEED_FOLDER} there, and stay.",
        f"3. Press Enter here: the server then executes `touch {SEED_FILE}`.",
    )
    if sys.stdin.readline():
        now = active(lab)  # somebody may have switched
        prepare(now)
        run(now, "touch", f"{SHARE_ROOT}/{SEED_FILE}")
        _say(f"{SHARE_ROOT}/{SEED_FILE} is touched on {now}.")


def _show(done: Captured, as_json: bool) -> None:
    from lab.evidence import ladder_text
    from lab.evidence.column import CAPTURE, LADDER_SVG, LADDER_TEXT

    servers = {}
    for server, ladder in done.ladders.items():
        cell = done.folder / server / ladder.scenario
        servers[server] = {
            "capture": str(cell / CAPTURE),
            "ladder": str(cell / LADDER_TEXT),
            "svg": str(cell / LADDER_SVG),
        }
    if as_json:
        believed = {"believed": done.trust.ok, "reason": done.trust.reason}
        print_json({"servers": servers, **believed, "report": str(done.report)})
        return
    for ladder in done.ladders.values():
        print(ladder_text.render(ladder))
    if not done.trust.ok:
        print(f"Do not believe it wholly: {done.trust.reason}.\n")
    for files in servers.values():
        print("\n".join(files.values()))
    print(done.report)
