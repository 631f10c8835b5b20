"""Results on stdout: tables for people, JSON for machines. Progress and errors go to stderr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

GRADE_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def print_json(value: Any) -> None:
    """The one thing on stdout of a command with --json."""
    print(json.dumps(value, indent=2))


def console() -> Console:
    """A console for stdout; without a terminal, wide enough that no cell is cut."""
    import sys

    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160, soft_wrap=False)


def duration(seconds: float | None) -> str:
    """12 s, 3 min, 5 h, 2 d; "" for None."""
    if seconds is None:
        return ""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
