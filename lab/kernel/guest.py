"""The ksmbd guest: what is asked of it over SSH, and a new one in its place."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from lab.engine.sdk import container_info
from lab.errors import LabFailed
from lab.lifecycle.waiting import GUEST_DEADLINE_S, last_lines
from lab.nodes.model import Completed, Node, NodeError, check
from lab.nodes.registry import backend
from lab.probe import ProbeError, negotiate

if TYPE_CHECKING:
    from lab.session import Lab

ASK_DEADLINE_S = 20.0
NEGOTIATE_DEADLINE_S = 20.0
PROBE_TIMEOUT_S: Mapping[str, float] = {"kvm": 0.5, "tcg": 1.5}
# How long the old module may take to end, before a new guest is quicker.
UNLOAD_DEADLINE_S: Mapping[str, int] = {"kvm": 5, "tcg": 12}
RELOAD_DEADLINE_S = 60.0
_POLL_S = 0.1
_LOOK_AT_CONSOLE_S = 1.0
UPLOAD = "/run/ksmbd.ko"

_LOADED = re.compile(r"^(build-id|srcversion) (\S+)$", re.MULTILINE)
_PHASE = re.compile(r"^phase (\w+) ([\d.]+)$", re.MULTILINE)
# What ends a guest. KASAN, lockdep and the like report (`BUG: …`) and let it go on.
_CRASH = re.compile(
    r"^.*(Kernel panic - not syncing|kernel BUG at|BUG: (?:kernel NULL|unable to handle)"
    r"|Oops: ).*$",
    re.MULTILINE,
)
_BOOT_FAILURE = re.compile(r"^LAB FAILED (?:uptime=\S+ )?(.*)$", re.MULTILINE)


class Code(IntEnum):
    """How `lab-ksmbd reload` in the guest ended."""

    DONE = 0
    OOPSED = 10
    STUCK = 11
    REFUSED = 12
    LOST = 13
    SILENT = 14


class GuestFailed(LabFailed):
    """A new guest did not come to serve; `console` is what it said.

    `by_module`: its kernel crashed, or /init found no ksmbd. Else it was merely too slow.
    """

    def __init__(self, message: str, console: str, remedy: str, *, by_module: bool) -> None:
        super().__init__(message, remedy)
        self.console = console
        self.by_module = by_module


@dataclass(frozen=True)
class Loaded:
    """What `lab-ksmbd reload` said: its code, seconds per phase, the module, the kernel's lines."""

    code: int
    phases: Mapping[str, float] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def understand(completed: Completed) -> Loaded:
    """Read the output of `lab-ksmbd reload`."""
    text = completed.text
    marks = [(name, float(uptime)) for name, uptime in _PHASE.findall(text)]
    return Loaded(
        completed.returncode,
        {name: round(after - began, 2) for (name, began), (_, after) in pairwise(marks)},
        identities(text),
        tuple(line for line in text.splitlines() if line.startswith(("insmod:", "kernel:"))),
    )


def identities(text: str) -> tuple[str, ...]:
    """The build id, then the srcversion, in what `lab-ksmbd identity` says."""
    return tuple(value for _, value in sorted(_LOADED.findall(text)))


def node(lab: Lab, name: str) -> Node:
    """The guest of a ksmbd node."""
    return backend(lab.engine, lab.paths, name)


def identity(lab: Lab, name: str) -> tuple[str, ...]:
    """Which module runs, as the kernel says; () if it does not say."""
    asked = node(lab, name).run(["lab-ksmbd", "identity"], deadline=ASK_DEADLINE_S)
    return identities(asked.text)


def load(lab: Lab, name: str, module: bytes) -> Loaded:
    """Put a module into the guest and exchange it; NodeError if the guest is lost on the way."""
    guest = node(lab, name)
    unload = UNLOAD_DEADLINE_S[lab.accelerator]
    # put() has a file's deadline; a module may take longer on a machine that has other work.
    check(
        guest.run(["sh", "-c", f"cat >{UPLOAD}"], input=module, deadline=RELOAD_DEADLINE_S),
        name,
        ["put", UPLOAD],
    )
    command = ["lab-ksmbd", "reload", UPLOAD, str(unload)]
    return understand(guest.run(command, deadline=unload + RELOAD_DEADLINE_S))


def replace(lab: Lab, name: str) -> None:
    """A new guest, which answers a NEGOTIATE when this returns; GuestFailed if it does not."""
    lab.engine.restart(name)
    began = container_info(lab.engine.inspect(name)).started_at
    slowness = lab.settings.slowness_of(name)
    deadline = time.monotonic() + GUEST_DEADLINE_S[lab.accelerator] * slowness
    look_at = time.monotonic() + _LOOK_AT_CONSOLE_S
    while not answers(lab, name):
        now = time.monotonic()
        if now > look_at or now > deadline:
            look_at = now + _LOOK_AT_CONSOLE_S
            console = lab.engine.logs(name, since=began)
            if why := failure(console):
                remedy = f"lab ksmbd console --every-guest shows it ({name})"
                raise GuestFailed(why, console, remedy, by_module=True)
            if now > deadline:
                lines = "".join(f"\n    | {line}" for line in last_lines(console))
                raise GuestFailed(
                    f"the new {name} guest does not answer; its console ends with:{lines}",
                    console,
                    "lab ksmbd reload tries again; lab doctor tells whether this machine is slow",
                    by_module=False,
                )
        time.sleep(_POLL_S)


def failure(console: str) -> str:
    """What a guest's console says of its end, in words; "" if it says nothing of the kind."""
    crash = _CRASH.search(console)
    if crash:
        return f"the guest's kernel crashed: {crash.group(0).strip()}"
    failed = _BOOT_FAILURE.search(console)
    return f"the guest gave up: {failed.group(1).strip()}" if failed else ""


def kernel_lines(console: str) -> list[str]:
    """What the kernel said of ksmbd, as /init repeats it when ksmbd is missing."""
    prefix = "LAB kernel: "
    return [
        f"kernel: {line.removeprefix(prefix)}"
        for line in console.splitlines()
        if line.startswith(prefix)
    ]


def answers(lab: Lab, name: str) -> bool:
    """Whether the guest answers a NEGOTIATE now."""
    try:
        negotiate(*lab.direct_address(name), PROBE_TIMEOUT_S[lab.accelerator])
    except (ProbeError, NodeError):
        return False
    return True


def wait_until_it_answers(lab: Lab, name: str) -> bool:
    """Whether it answers before long."""
    deadline = time.monotonic() + NEGOTIATE_DEADLINE_S
    while not answers(lab, name):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
