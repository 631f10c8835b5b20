"""Waiting until every node answers, and what to do about those that do not.

Each node is polled by a thread of its own, because a guest that boots may take ten times as long
as a container, and the containers' time is reported apart. A guest that panics or hangs is
replaced once; its console's last lines are shown.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lab import switching
from lab.backends import is_ksmbd
from lab.errors import LabError, LabFailed
from lab.nodes.registry import container
from lab.probe import ProbeError, negotiate

if TYPE_CHECKING:
    from lab.session import Lab

POLL_S = 0.1
# A probe that reaches a guest too early is swallowed by QEMU's network: short tries, then longer.
FIRST_PROBE_TIMEOUT_S = 0.3
LONGEST_PROBE_TIMEOUT_S = 2.0
LOOK_AT_CONTAINER_S = 1.0
CONTAINER_DEADLINE_S = 30.0
GUEST_DEADLINE_S: Mapping[str, float] = {"kvm": 30.0, "tcg": 90.0}
CONSOLE_LINES = 20
ENOUGH_RESTARTS = 4  # by the engine, after which waiting for a container is in vain

_PANIC = re.compile(
    r"^.*(Kernel panic - not syncing|kernel BUG at|BUG: (?:kernel NULL|unable to handle)|Oops: "
    r"|LAB guest ended: ).*$",
    re.MULTILINE,
)
_LACKS_MEMORY = re.compile(
    r"Out of memory: |invoked oom-killer|System is deadlocked on memory|Initramfs unpacking failed"
)
_MUTE_RESET = re.compile(r"(?:\s*LAB guest ended: RESET .*\n?)+")


class _Stopped(Exception):
    """The whole wait was given up: another node failed, or the user interrupted."""


class NotAnswering(LabFailed):
    """A node did not answer a NEGOTIATE in time, or ended."""


@dataclass(frozen=True)
class Healthy:
    """Seconds from the start of the containers until each node answered."""

    seconds: Mapping[str, float]
    replaced: tuple[str, ...]  # the ksmbd nodes whose guest had to be replaced

    @property
    def guest_replaced(self) -> bool:
        return bool(self.replaced)


def last_lines(text: str, count: int = CONSOLE_LINES) -> list[str]:
    """The last lines that are not blank, without carriage returns."""
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if line][-count:]


def panic_line(console: str) -> str:
    """The first line that tells of a crash of the guest's kernel; "" if there is none."""
    found = _PANIC.search(console)
    return found.group(0).strip() if found else ""


def remedy_for_end(name: str, console: str, memory_mib: int) -> str:
    """What to do about a guest that ended while it booted, by what its console says."""
    section = name.replace("ksmbd@", "flavours.")
    more = f"give it more than {memory_mib} MiB: memory under [{section}] in lab.toml"
    if _LACKS_MEMORY.search(console):
        return more
    shown = f"lab logs {name} shows its console"
    if _MUTE_RESET.fullmatch(console):
        return (
            f"its kernel said nothing: it is not made for a guest, or has too little memory; {more}"
        )
    return shown


class Waiter:
    """Polls the nodes of one `lab up`."""

    def __init__(
        self, lab: Lab, accelerator: str, active: str, started: float, nodes: Iterable[str]
    ) -> None:
        self._lab = lab
        self._active = active
        self._nodes = tuple(nodes)
        self._started = started  # monotonic
        now = time.time()
        self._started_at = dict.fromkeys(self._nodes, now)
        self._stop = threading.Event()
        self._guest_deadline_s = GUEST_DEADLINE_S[accelerator]
        self._replaced: list[str] = []
        self._guest_restarts: dict[str, int] = {}  # by the engine, as first seen

    def wait(self) -> Healthy:
        """Return when all nodes are healthy; raise what the first failing one raised."""
        tasks = {name: partial(self._task_of(name), name) for name in self._nodes}
        with ThreadPoolExecutor(len(tasks)) as pool:
            try:
                futures = {name: pool.submit(self._timed, task) for name, task in tasks.items()}
                wait(futures.values(), return_when=FIRST_EXCEPTION)
                self._raise_first(futures)
                return Healthy(
                    {name: future.result() for name, future in futures.items()},
                    tuple(self._replaced),
                )
            finally:
                self._stop.set()

    def _task_of(self, name: str) -> Callable[[str], None]:
        if is_ksmbd(name):
            return self._wait_for_guest
        others = {"front": self._wait_for_front, "client": self._wait_for_client}
        return others.get(name, self._wait_for_container)

    @staticmethod
    def _raise_first(futures: Mapping[str, Future[float]]) -> None:
        for future in futures.values():
            if future.done() and (error := future.exception()) is not None:
                raise error

    def _timed(self, task: Callable[[], None]) -> float:
        task()
        return time.monotonic() - self._started

    def _wait_for_container(self, name: str) -> None:
        self._poll(name, CONTAINER_DEADLINE_S, lambda timeout: self._probe(name, timeout))

    def _wait_for_client(self, name: str) -> None:
        self._poll(name, CONTAINER_DEADLINE_S, lambda timeout: self._require_running(name))

    def _wait_for_front(self, name: str) -> None:
        """Lead the front to the backend that was active before, then ask through it."""
        front = container(self._lab.engine, "front")

        def lead(timeout: float) -> None:
            known = switching.servers(front)
            if switching.active_of(known) != self._active:
                switching.activate(front, self._active, known)

        self._poll(name, CONTAINER_DEADLINE_S, lead)
        active = self._active
        through = self._guest_deadline(active) * 2 if is_ksmbd(active) else CONTAINER_DEADLINE_S
        self._poll(name, through, lambda timeout: self._probe(name, timeout))

    def _wait_for_guest(self, name: str) -> None:
        self._restarted_by_engine(name)
        for attempt in ("first", "second"):
            try:
                deadline = self._guest_deadline(name)
                self._poll(name, deadline, lambda timeout: self._probe(name, timeout))
                return
            except NotAnswering as error:
                if attempt == "second":
                    raise
                self._replace_guest(name, error)

    def _guest_deadline(self, name: str) -> float:
        return self._guest_deadline_s * self._lab.settings.slowness_of(name)

    def _replace_guest(self, name: str, error: NotAnswering) -> None:
        say = self._lab.progress.say
        console = self._lab.engine.logs(name, since=self._started_at[name])
        say(f"{error.message}; the guest's console ends with:")
        for line in last_lines(console):
            say(f"  | {line}")
        say("a new guest takes its place")
        self._replaced.append(name)
        if not self._restarted_by_engine(name):
            self._lab.engine.restart(name)
        self._started_at[name] = time.time()  # what the old guest said to its end is before that

    def _restarted_by_engine(self, name: str) -> bool:
        """Whether the engine has made a new guest already, because the old one had ended."""
        info = self._lab.engine.containers().get(name)
        count = info.restart_count if info else 0
        return count > self._guest_restarts.setdefault(name, count)

    def _probe(self, name: str, timeout: float) -> None:
        lab = self._lab
        host, port = lab.front_address() if name == "front" else lab.direct_address(name)
        negotiate(host, port, timeout)

    def _require_running(self, name: str) -> None:
        info = self._lab.engine.containers().get(name)
        if info is None or info.state != "running":
            raise ProbeError(f"its container is {info.state if info else 'absent'}")

    def _poll(self, name: str, deadline_s: float, attempt: Callable[[float], None]) -> None:
        """Try until `attempt` raises nothing; NotAnswering past the deadline or when it ended."""
        end = time.monotonic() + deadline_s
        look_at = time.monotonic() + LOOK_AT_CONTAINER_S
        timeout = FIRST_PROBE_TIMEOUT_S
        while True:
            begun = time.monotonic()
            try:
                return attempt(timeout)
            except (ProbeError, LabError) as error:
                cause = str(error).splitlines()[0]
            timeout = min(timeout * 1.2, LONGEST_PROBE_TIMEOUT_S)
            now = time.monotonic()
            if now > look_at:
                look_at = now + LOOK_AT_CONTAINER_S
                self._raise_if_ended(name)
            if now > end:
                raise self._failure(name, f"does not answer after {deadline_s:.0f} s ({cause})")
            if self._stop.wait(max(0.0, POLL_S - (now - begun))):
                raise _Stopped

    def _raise_if_ended(self, name: str) -> None:
        info = self._lab.engine.containers().get(name)
        if info is None:
            raise self._failure(name, "has no container any more")
        if info.state in ("exited", "dead"):
            raise self._failure(name, f"ended with exit code {info.exit_code}")
        if not is_ksmbd(name) and info.restart_count >= ENOUGH_RESTARTS:
            raise self._failure(name, f"ends again and again, with exit code {info.exit_code}")
        if is_ksmbd(name):
            console = self._lab.engine.logs(name, since=self._started_at[name])
            if panic := panic_line(console):
                raise NotAnswering(
                    f"the {name} guest crashed: {panic}",
                    remedy_for_end(name, console, self._lab.settings.ksmbd_of(name).memory),
                )

    def _failure(self, name: str, what: str) -> NotAnswering:
        if is_ksmbd(name):
            return NotAnswering(f"the {name} guest {what}", f"lab logs {name} shows its console")
        lines = last_lines(self._log(name))
        shown = "".join(f"\n    | {line}" for line in lines)
        said = f"; its log ends with:{shown}" if lines else "; its log is empty"
        return NotAnswering(f"{name} {what}{said}", f"lab logs {name}")

    def _log(self, name: str) -> str:
        try:
            return self._lab.engine.logs(name, since=self._started_at[name])
        except LabError:
            return ""
