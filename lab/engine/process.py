"""Run a program on the host: with a deadline, and ended when the user interrupts us."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabFailed

GRACE_S = 8.0  # for a program that was told to end; Compose removes what it half made meanwhile


@dataclass(frozen=True)
class Ran:
    """A program that ended; `output` is stdout and stderr as they came."""

    returncode: int
    output: str


def run(
    argv: Sequence[str],
    *,
    deadline: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ran:
    """Run to the end; raise LabFailed if the program is missing or not done within `deadline` s.

    On an interrupt the program is told to end, waited for, and only then is the interrupt raised:
    whoever comes next finds nothing still changing.
    """
    # A file rather than a pipe: a daemon that the program leaves behind may keep it open.
    with tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd
            )
        except OSError as error:
            raise LabFailed(f"{argv[0]} cannot be run: {error.strerror}") from None
        try:
            child.wait(timeout=deadline)
        except subprocess.TimeoutExpired:
            end(child, signal.SIGTERM)
            raise LabFailed(f"{' '.join(argv[:3])} … did not end within {deadline:g} s") from None
        except BaseException:
            end(child, signal.SIGINT)
            raise
        output.seek(0)
        return Ran(child.returncode, output.read().decode(errors="replace"))


def end(child: subprocess.Popen[bytes], politely: signal.Signals) -> None:
    """End a child: ask, wait GRACE_S, kill. A second interrupt shortens the wait."""
    for ask, wait in ((politely, GRACE_S), (signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            child.send_signal(ask)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(timeout=wait)
        if child.returncode is not None:
            return
