"""How long somebody who changes ksmbd waits: build, exchange, verdict; and with a new guest."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.lab_figures import LAB, ROOT, lab
from bench.report import Figure

if TYPE_CHECKING:
    from lab.session import Lab

SCENARIO = "A1"
POLL_S = 0.1
BOOT_DEADLINE_S = 120
FILE = "fs/smb/server/smb2pdu.c"


def measure(times: int) -> list[Figure]:
    """The figures of the loop; needs an engine; the guest has its own module again afterwards."""
    lab("up", "ksmbd")
    source = Path(json.loads(lab("ksmbd", "build", "--json"))["source"])
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "linux"
        shutil.copytree(source, tree)
        try:
            full = timed_build(tree)
            turns = [turn(tree, number) for number in range(times)]
            guests = [with_a_new_guest(tree, number) for number in range(times)]
        finally:
            lab("ksmbd", "reload", "--original")
    exchanged = [each for each in turns if each["reloaded"]["how"] == "module"]
    return [
        *guest_figures(times),
        Figure(
            "ksmbd.ko from nothing",
            "s",
            [full],
            40,
            "lab ksmbd build --src of a tree that was never built; the image is there",
        ),
        Figure(
            "one changed file to module",
            "s",
            [each["seconds"]["build"] for each in turns],
            5,
            f"{FILE} changed; the phase `build` of lab ksmbd dev",
        ),
        Figure(
            "module exchanged in the guest",
            "s",
            [each["seconds"]["reload"] for each in exchanged],
            None,
            f"the phase `reload`; {len(turns) - len(exchanged)} of {len(turns)} took a new guest",
        ),
        Figure(
            "one changed file to verdict",
            "s",
            [each["total"] for each in turns],
            12,
            f"build, exchange, {SCENARIO} with its capture: lab ksmbd dev --once",
        ),
        Figure(
            "one changed file to verdict, new guest",
            "s",
            guests,
            18,
            f"lab ksmbd build, reload --new-guest, run-scenarios {SCENARIO}: three commands",
        ),
    ]


def guest_figures(times: int) -> list[Figure]:
    """How long the guest takes until it answers, and what it has and uses of memory."""
    from lab.session import Lab

    opened = Lab.open()
    memory = guest_memory()
    return [
        Figure(
            "guest, from its start to NEGOTIATE",
            "s",
            [boot(opened) for _ in range(times)],
            5,
            f"the ksmbd container started anew, asked every {POLL_S} s; {opened.accelerator}",
        ),
        Figure(
            "guest, memory",
            "MiB",
            [float(opened.settings.ksmbd.memory)],
            256,
            "as configured; the rest as /proc/meminfo of the idle guest tells",
            extra={"total_mib": memory["MemTotal"], "available_mib": memory["MemAvailable"]},
        ),
    ]


def boot(opened: Lab) -> float:
    """Seconds from the start of a new guest until it answers a NEGOTIATE."""
    from lab.engine.sdk import container_info
    from lab.probe import ProbeError, negotiate

    opened.engine.restart("ksmbd")
    started = container_info(opened.engine.inspect("ksmbd")).started_at
    while time.time() < started + BOOT_DEADLINE_S:
        try:
            negotiate(*opened.direct_address("ksmbd"), POLL_S * 4)
            return time.time() - started
        except ProbeError:
            time.sleep(POLL_S)
    raise SystemExit("the guest did not answer: lab logs ksmbd")


def guest_memory() -> dict[str, int]:
    """Lines of the guest's /proc/meminfo, in MiB."""
    shell = subprocess.run(
        [LAB, "shell", "ksmbd"], cwd=ROOT, input="cat /proc/meminfo\n", text=True,
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    words = (line.split() for line in shell.stdout.splitlines() if line.endswith(" kB"))
    return {line[0].rstrip(":"): int(line[1]) // 1024 for line in words}


def change(tree: Path, word: str) -> None:
    """Another constant in the module, so that the file compiles to other code."""
    text = (tree / FILE).read_text()
    marked = text.split("/* lab-bench */")[0]
    (tree / FILE).write_text(f'{marked}/* lab-bench */\nconst char lab_bench[] = "{word}";\n')


def timed_build(tree: Path) -> float:
    begun = time.perf_counter()
    lab("ksmbd", "build", "--src", str(tree))
    return time.perf_counter() - begun


def turn(tree: Path, number: int) -> dict[str, Any]:
    """One turn of the loop, as it told it."""
    change(tree, f"turn {number}")
    # exits 1 where the scenario fails, which is no matter here
    run = subprocess.run(
        [LAB, "ksmbd", "dev", "--src", str(tree), "--once", "--json", SCENARIO],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    told: dict[str, Any] = json.loads(run.stdout)
    if told["error"] or not told["reloaded"]:
        raise SystemExit(f"lab ksmbd dev: {told['error'] or 'nothing was exchanged'}\n{run.stderr}")
    return told


def with_a_new_guest(tree: Path, number: int) -> float:
    change(tree, f"guest {number}")
    begun = time.perf_counter()
    lab("ksmbd", "build", "--src", str(tree))
    lab("ksmbd", "reload", "--new-guest")
    lab("run-scenarios", SCENARIO, "--server", "ksmbd")
    return time.perf_counter() - begun
