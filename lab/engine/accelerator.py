"""Find out whether the guest can run on KVM: by booting it.

/dev/kvm may be there and open, and a kernel still never start (nested and paravirtual hosts): then
nothing says so, only a deadline notices. The answer is remembered with the host kernel that it
was found on.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lab.engine.build import tag
from lab.errors import LabError, LabFailed
from lab.nodes.model import Completed, DeadlineExceeded

if TYPE_CHECKING:
    from lab.settings import Settings
    from lab.state import State

Say = Callable[[str], None]
Kind = Literal["kvm", "tcg"]

KVM = Path("/dev/kvm")
KEY = "accelerator"  # in state.json
BOOT_DEADLINE_S = 10
# Beyond the guest's own deadline, which the probe in the container keeps.
CONTAINER_DEADLINE_S = 30.0
TRY_AGAIN = f"lab forgets what it found when {KEY!r} is removed from .lab/state.json"


class Remembers(Protocol):
    """What is needed of `lab.state.State`."""

    def get(self, key: str, default: Any = None) -> Any: ...
    def set(self, key: str, value: Any) -> None: ...


def resolve(settings: Settings, state: State, say: Say) -> tuple[Kind, str]:
    """Return what the guest runs on and why; raise LabFailed if KVM was demanded in vain."""
    return decide(
        settings.ksmbd.accelerator,
        device=KVM,
        host_kernel=os.uname().release,
        state=state,
        boot=lambda: boot(tag(settings.name, "ksmbd"), settings.name),
        say=say,
    )


def decide(
    wanted: str,
    *,
    device: Path,
    host_kernel: str,
    state: Remembers,
    boot: Callable[[], str],
    say: Say,
) -> tuple[Kind, str]:
    """Decide; `boot` returns "" if the guest came up on KVM, else why not."""
    if wanted == "tcg":
        return "tcg", "[ksmbd] accelerator = tcg"
    if not device.exists():
        reason = f"there is no {device}"
        if wanted == "kvm":
            raise LabFailed(
                f"[ksmbd] accelerator = kvm, but {reason}",
                'load kvm_intel or kvm_amd, or set it to "auto" or "tcg"',
            )
        return "tcg", reason
    remembered = state.get(KEY)
    if isinstance(remembered, dict) and remembered.get("host_kernel") == host_kernel:
        problem = str(remembered.get("problem", ""))
    else:
        say(f"trying KVM: booting a guest, at most {BOOT_DEADLINE_S} s")
        problem = boot()
        state.set(KEY, {"host_kernel": host_kernel, "problem": problem})
    if not problem:
        return "kvm", "a guest booted on it"
    if wanted == "kvm":
        raise LabFailed(f"[ksmbd] accelerator = kvm, but {problem}", TRY_AGAIN)
    return "tcg", problem


def boot(image: str, name: str) -> str:
    """Boot the bare guest kernel on KVM in a container; return "" or why that failed."""
    from lab.engine.sdk import Images

    environment = {
        "LAB_KSMBD_ACCELERATOR": "kvm",
        "LAB_KSMBD_BOOT_DEADLINE": str(BOOT_DEADLINE_S),
        "LAB_KSMBD_CPUS": "1",
    }
    try:
        done = Images().run(
            image,
            ["--probe"],
            name=name,
            deadline=CONTAINER_DEADLINE_S,
            devices=[f"{KVM}:{KVM}:rw"],
            environment=environment,
        )
    except DeadlineExceeded:
        return f"a guest on {KVM} did not boot within {CONTAINER_DEADLINE_S:g} s"
    except LabError as error:
        return f"{KVM} cannot be given to a container: {error.message}"
    return problem_of(done)


def problem_of(done: Completed) -> str:
    """Return "" if the probe's guest booted, else what was wrong, in one line."""
    if done.returncode == 0:
        return ""
    said = [line for line in done.text.splitlines() if line.startswith("qemu-system")]
    if said:
        return f"QEMU cannot use {KVM}: {said[-1].partition(': ')[2]}"
    return f"a guest on {KVM} did not boot within {BOOT_DEADLINE_S} s"


def compose_variables(kind: str, device: Path = KVM) -> dict[str, str]:
    """Return the variables by which docker-compose.yml hands the device in, and its group."""
    if kind != "kvm":
        return {"LAB_KVM_DEVICE": "/dev/null"}
    status = device.stat()
    variables = {"LAB_KVM_DEVICE": str(device)}
    if status.st_mode & stat.S_IRGRP and status.st_mode & stat.S_IWGRP:
        variables["LAB_KVM_GID"] = str(status.st_gid)
    return variables
