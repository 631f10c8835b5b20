"""How long the user waits for the lab: up, switch, the matrix, the embedded run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.report import Figure, timed

LAB = str(Path(sys.executable).with_name("lab"))
ROOT = Path(__file__).resolve().parents[1]


def lab(*words: str) -> str:
    """Standard output of a `lab` command; any failure ends the benchmark with its words."""
    run = subprocess.run([LAB, *words], cwd=ROOT, capture_output=True, text=True, timeout=1800)
    if run.returncode != 0:
        sys.exit(f"lab {' '.join(words)} exited with {run.returncode}:\n{run.stdout}{run.stderr}")
    return run.stdout


def up_once() -> dict[str, Any]:
    lab("down")
    timings: dict[str, Any] = json.loads(lab("up", "--json"))
    return timings


def measure(times: int) -> list[Figure]:
    """The lab's figures; needs an engine; leaves the lab up."""
    lab("up")  # images built: what follows is a warm machine
    ups = [up_once() for _ in range(times)]
    switches = ["ksmbd", "py", "samba"] * times
    order = iter(switches)
    figures = [
        Figure(
            "lab up, containers healthy",
            "s",
            [max(up["healthy"][node] for node in ("front", "samba", "py")) for up in ups],
            5,
            "lab down, lab up --json: seconds from the start of Compose to a NEGOTIATE answered",
        ),
        Figure(
            "lab up, ksmbd guest answers",
            "s",
            [up["healthy"]["ksmbd"] for up in ups],
            10,
            "the same runs",
        ),
        Figure(
            "lab up, as the user waits", "s", [up["total"] for up in ups], None, "the same runs"
        ),
        Figure(
            "lab switch, with its proof",
            "s",
            timed(lambda: lab("switch", next(order)), len(switches)),
            1,
            "wall clock of the command, process start included",
        ),
        Figure(
            "matrix, 3 servers x 14 scenarios",
            "s",
            timed(lambda: lab("run-scenarios", "--all", "core"), times),
            30,
            "wall clock of lab run-scenarios --all",
        ),
        Figure(
            "embedded, 14 scenarios",
            "s",
            timed(lambda: lab("run-scenarios", "--embedded", "core"), times),
            5,
            "wall clock of lab run-scenarios --embedded",
        ),
    ]
    return figures


def facts() -> dict[str, Any]:
    """Versions and the accelerator, as `lab status` knows them."""
    status = json.loads(lab("status", "--json"))
    return {
        "lab": {key: status.get(key) for key in ("accelerator", "versions")},
        "docker": shutil.which("docker")
        and subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout.strip(),
    }
