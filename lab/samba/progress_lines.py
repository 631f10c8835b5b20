"""From what waf and make print to a line of progress. Pure."""

from __future__ import annotations

import re

_STEP = re.compile(r"^\[\s*(\d+)/(\d+)\] (\w+) (.*)")


def step(line: str) -> str:
    """`123 of 4567: Compiling source3/smbd/notify.c` for one of waf's lines; "" for others."""
    match = _STEP.match(line)
    if not match:
        return ""
    done, total, verb, what = match.groups()
    return f"{int(done)} of {total}: {verb} {what}"


def percent(line: str) -> int | None:
    """How much of the present group of tasks is done."""
    match = _STEP.match(line)
    return int(match[1]) * 100 // int(match[2]) if match and int(match[2]) else None
