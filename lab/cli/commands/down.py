"""`lab down`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from lab.cli.registry import command


@command(
    "down",
    flags={"volumes": "remove the shares' contents too"},
    examples=(
        ("lab down", "remove containers and networks; shares and images stay"),
        ("lab down --volumes", "remove the shares too"),
    ),
)
def down(context: Any, volumes: bool = False) -> int:
    """Take the lab down and check that nothing is left.

    What carries the lab's label is removed, under every name that this lab was brought up with;
    so it works after lab.toml was changed or deleted, and after an interrupted `lab up`. Images
    stay, so that the next `lab up` takes seconds.
    """
    from lab import lock
    from lab.engine.sdk import Engine
    from lab.errors import LabFailed, UsageError
    from lab.lifecycle import names
    from lab.lifecycle.down import down as take_down
    from lab.paths import find_root
    from lab.progress import Progress
    from lab.settings import load
    from lab.state import State

    paths = find_root(Path.cwd(), os.environ)
    progress = Progress()
    try:
        configured = load(paths.root, os.environ).name
    except UsageError as error:
        configured = ""
        progress.say(f"going by the names of earlier `lab up`s, because {error.message}")
    with lock.held(paths.lock, "lab down"):
        try:
            engine = Engine(configured)
        except LabFailed:
            if names.remembered(State(paths.state)):
                raise
            print("There is nothing to take down, and no engine answers.", file=sys.stderr)
            return 0
        done = take_down(paths, engine, configured, progress, volumes=volumes)
    if done.removed:
        print(f"Removed {len(done.removed)}: {', '.join(done.removed)}. Nothing else is left.")
    else:
        print("There was nothing to remove.")
    if done.volumes_left:
        shares = ", ".join(volume.removeprefix("volume ") for volume in done.volumes_left)
        print(f"The shares stay ({shares}); `lab down --volumes` removes them.")
    return 0
