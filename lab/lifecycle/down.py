"""`lab down`: remove what carries the lab's label, under every name that it was brought up with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import LabFailed
from lab.lifecycle import names
from lab.paths import LabPaths, default_name
from lab.progress import Progress
from lab.state import State

if TYPE_CHECKING:
    from lab.engine.sdk import Engine


@dataclass(frozen=True)
class Down:
    """What was removed, and which volumes stay."""

    removed: tuple[str, ...]
    volumes_left: tuple[str, ...]


def names_to_remove(paths: LabPaths, state: State, configured: str) -> list[str]:
    """Every name under which something of this lab may exist; `configured` may be ""."""
    found = [*names.remembered(state), configured, default_name(paths.root)]
    return [name for name in dict.fromkeys(found) if name]


def down(
    paths: LabPaths, engine: Engine, configured: str, progress: Progress, *, volumes: bool
) -> Down:
    """Remove the lab; raise LabFailed if something of it is left. The caller holds the lock."""
    state = State(paths.state)
    removed: list[str] = []
    volumes_left: list[str] = []
    for name in names_to_remove(paths, state, configured):
        with progress.step(f"remove {name}", f"Removing {name}"):
            removed += engine.remove_everything(name, volumes)
        left = engine.left_over(name)
        kept = [thing for thing in left if thing.startswith("volume ")]
        stuck = [thing for thing in left if volumes or thing not in kept]
        if stuck:
            raise LabFailed(
                f"still there after `lab down`: {', '.join(stuck)}",
                "lab down again; if that does not help: docker rm -f, docker network rm",
            )
        volumes_left += kept
        if not kept:
            names.forget(state, [name])
    state.set(names.KEY, names.remembered(state))  # so that the key is there, empty or not
    return Down(tuple(removed), tuple(volumes_left))
