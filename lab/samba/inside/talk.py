"""How a script in a container talks with `lab`: lines on stdout that begin with a mark.

Every other line is the tools' own and goes to the log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

MARK = "LAB "


def line(kind: str, **content: Any) -> str:
    """A line that says one thing to `lab`: phase, note, failed, result, …"""
    return MARK + json.dumps({"kind": kind, **content}) + "\n"


def tell(kind: str, **content: Any) -> None:
    """Say it."""
    print(line(kind, **content), end="", flush=True)


def note(text: str) -> None:
    """Tell the user one line."""
    tell("note", text=text)


def run(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], politely: int = signal.SIGTERM
) -> int:
    """Run a tool, its output to the log; asked to end, tell it and its children by `politely`."""
    child = subprocess.Popen(
        argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, start_new_session=True
    )

    def forward(number: int, frame: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(child.pid, politely)
        child.wait()
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, forward)
    try:
        return child.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
