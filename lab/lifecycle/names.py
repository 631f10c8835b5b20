"""Under which names this lab was brought up: `lab down` finds them, whatever lab.toml says now."""

from __future__ import annotations

from collections.abc import Iterable

from lab.state import State

KEY = "names"


def remembered(state: State) -> list[str]:
    """Names brought up and not wholly taken down, the newest last."""
    return list(state.get(KEY, []))


def remember(state: State, name: str) -> None:
    """Add a name, as the newest."""
    state.set(KEY, [*(other for other in remembered(state) if other != name), name])


def forget(state: State, names: Iterable[str]) -> None:
    """Drop names of which nothing is left."""
    gone = set(names)
    state.set(KEY, [name for name in remembered(state) if name not in gone])
