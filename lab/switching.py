"""Which backend the front leads to, and the proof of it.

All backends run at once; a switch is a few words to HAProxy's runtime API: the old server goes
into maintenance, the new one is made ready, and what is connected to any other is shut. Then the
proof: who answers a NEGOTIATE through the front must be who answers one directly.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lab.backends import of_service, service
from lab.errors import LabFailed
from lab.nodes.model import Node, NodeError, check
from lab.probe import Negotiated, ProbeError, negotiate

if TYPE_CHECKING:
    from lab.session import Lab

PROXY = "active"  # the proxy in haproxy.cfg with one server line per backend
RUNTIME_API = "runtime-api"  # in the front: says each argument to HAProxy, prints the answers
STATE = (f"show servers state {PROXY}", "show stat")
STEP_DEADLINE_S = 2.0
PROOF_DEADLINE_S = 2.0
_POLL_S = 0.02
_NIL = UUID(int=0)
_FORCED_MAINTENANCE = 0x01  # SRV_ADMF_FMAINT


@dataclass(frozen=True)
class Server:
    """A backend as HAProxy sees it: whether it is led to, and how many sessions it has."""

    active: bool
    sessions: int


@dataclass(frozen=True)
class Proof:
    """Two NEGOTIATE Responses: one through the front, one from the backend itself."""

    backend: str
    front: Negotiated
    direct: Negotiated

    @property
    def holds(self) -> bool:
        """Tell whether the same server gave both answers."""
        return identity(self.front) == identity(self.direct)

    def as_json(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "front": self.front.as_json(),
            "direct": self.direct.as_json(),
        }


@dataclass(frozen=True)
class Switched:
    """A switch that was done and proved."""

    old: str
    new: str
    sessions_shut: int
    proof: Proof
    milliseconds: float


def identity(answer: Negotiated) -> tuple[object, ...]:
    """What tells servers apart ([MS-SMB2] 2.2.4).

    The ServerGuid alone would do, but ksmbd leaves it zero; so with it what differs between the
    implementations anyway.
    """
    return (
        answer.server_guid,
        answer.dialect,
        answer.security_mode,
        answer.capabilities,
        answer.max_transact_size,
    )


def guid_words(answer: Negotiated) -> str:
    """The ServerGuid for people, with a word on the zero one."""
    zero = "  (zero: this server sends none)" if answer.server_guid == _NIL else ""
    return f"{answer.server_guid}{zero}"


def parse_state(text: str) -> dict[str, Server]:
    """Read the answer to STATE: `show servers state` and `show stat`, a blank line between.

    The state comes from the former, whose bit says what was *ordered*: in `show stat`, a server
    that is led to but has no address at the moment reads MAINT as well.
    """
    states, _, stat = text.strip().partition("\n\n")
    header = next((line for line in states.splitlines() if line.startswith("# ")), "# ")
    columns = header.removeprefix("# ").split()
    lines = [line.split() for line in states.splitlines() if not line.startswith("#")]
    servers = [dict(zip(columns, line, strict=False)) for line in lines]
    sessions = {
        row["svname"]: int(row["scur"] or 0)
        for row in csv.DictReader(io.StringIO(stat.strip().removeprefix("# ")))
        if row["pxname"] == PROXY
    }
    return {
        of_service(row["srv_name"]): Server(
            not int(row["srv_admin_state"]) & _FORCED_MAINTENANCE,
            sessions.get(row["srv_name"], 0),
        )
        for row in servers
        if row.get("be_name") == PROXY
    }


def switch_commands(target: str, backends: Iterable[str]) -> list[str]:
    """What makes `target` the only one of `backends`, in the words of the runtime API.

    The others go first: for the moment between, nobody is led to, rather than two.
    """
    others = [service(backend) for backend in backends if backend != target]
    words = [f"set server {PROXY}/{other} state maint" for other in others]
    words += [f"set server {PROXY}/{service(target)} state ready"]
    words += [f"shutdown sessions server {PROXY}/{other}" for other in others]
    return words


def runtime(front: Node, commands: Iterable[str]) -> str:
    """Say `commands` to HAProxy, all in one go, and return what it answers."""
    argv = [RUNTIME_API, *commands]
    return check(front.run(argv, deadline=STEP_DEADLINE_S), front.name, argv).text


def servers(front: Node) -> dict[str, Server]:
    """The backends as HAProxy sees them now."""
    return parse_state(runtime(front, STATE))


def active_of(states: Mapping[str, Server]) -> str:
    """The backend that the front leads to; "" if it is none or several."""
    active = [name for name, server in states.items() if server.active]
    return active[0] if len(active) == 1 else ""


def activate(front: Node, target: str, known: Collection[str]) -> None:
    """Make `target` the one of the `known` backends of the front; shut connections to others."""
    if target not in known:
        raise LabFailed(f"the front does not know {target} yet", "lab up")
    complaints = runtime(front, switch_commands(target, known)).strip()
    if complaints:
        raise LabFailed(f"HAProxy refused the switch to {target}: {complaints}")


def prove(
    backend: str,
    through_front: Callable[[], Negotiated],
    direct: Negotiated,
    *,
    deadline_s: float = PROOF_DEADLINE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Proof:
    """Ask through the front until the backend's own answer comes; the last answer at the deadline.

    Raise LabFailed if the front did not answer at all.
    """
    end = clock() + deadline_s
    while True:
        failure = ""
        try:
            proof = Proof(backend, through_front(), direct)
        except ProbeError as error:
            failure = str(error)
        else:
            if proof.holds:
                return proof
        if clock() >= end:
            if failure:
                raise LabFailed(f"the front does not answer: {failure}", "lab logs front")
            return proof
        sleep(_POLL_S)


def switch(lab: Lab, target: str, front: Node) -> Switched:
    """Switch to `target`; on failure everything stays (or is put back) as it was."""
    start = time.monotonic()
    host, port = lab.front_address()
    try:
        direct = negotiate(*lab.direct_address(target), STEP_DEADLINE_S)
    except (ProbeError, NodeError) as error:
        raise LabFailed(
            f"{target} does not answer, so nothing was switched: {_first_line(error)}",
            f"lab logs {target} shows why; lab up mends it",
        ) from None
    before = servers(front)
    old = active_of(before)
    try:
        activate(front, target, before)
        proof = prove(target, lambda: negotiate(host, port, STEP_DEADLINE_S), direct)
        if not proof.holds:
            raise LabFailed(
                f"the front was switched to {target}, but another server answers there: ServerGuid "
                f"{proof.front.server_guid} instead of {proof.direct.server_guid}",
                "lab logs front",
            )
    except BaseException:
        if old:
            with suppress(LabFailed):  # what failed first is what the user must know
                activate(front, old, before)
        raise
    lab.state.set("active", target)
    shut = sum(server.sessions for name, server in before.items() if name != target)
    return Switched(old, target, shut, proof, (time.monotonic() - start) * 1000)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def net_use_lines(address: str, share: str) -> list[str]:
    """What drops a Windows client's connections to the server that answered before."""
    return [rf"net use \\{address}\{name} /delete" for name in ("IPC$", share)]
