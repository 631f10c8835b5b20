"""Running scenarios on the lab: the columns for its containers and its guest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab import probe, switching
from lab.engine.sdk import container_info
from lab.errors import LabFailed
from lab.nodes.model import Completed, Node, NodeError
from lab.nodes.registry import backend, container
from lab.scenarios.model import Scenario
from lab.scenarios.pipe import Pipe
from lab.scenarios.server_side import Liveness
from lab.targets import container_target
from lab.verdicts import deviations
from lab.verdicts.matrix import Matrix
from lab.verdicts.run import Column, ProgressCallback, run_matrix

if TYPE_CHECKING:
    from lab.session import Lab

ACT_DEADLINE_S = 10.0
PROBE_TIMEOUT_S = 2.0
CLIENT_ARGV = ("python3", "-m", "lab.client")

_CRASH = re.compile(
    r"^.*(Kernel panic - not syncing|kernel BUG at|Oops: |LAB guest ended: ).*$", re.M
)


@dataclass
class ContainerServer:
    """`ServerSide` of a backend in the lab: `node` is where its files are."""

    lab: Lab
    name: str
    node: Node
    scale: float
    _instance: tuple[str, float, int] | None = field(default=None, init=False)

    def act(self, argv: Sequence[str]) -> Completed:
        return self.node.run(argv, deadline=ACT_DEADLINE_S * self.scale)

    def alive(self) -> Liveness:
        """Whether the container is the one of before, runs, and answers a NEGOTIATE."""
        try:
            info = container_info(self.lab.engine.inspect(self.name))
        except NodeError:
            return Liveness(False, "its container is gone")
        if info.state != "running":
            return Liveness(False, f"its container {info.state} with exit code {info.exit_code}")
        instance = (info.id, info.started_at, info.restart_count)
        before, self._instance = self._instance, instance
        if before is not None and before != instance:
            return Liveness(False, f"it ended and was started again{self._crash_words()}")
        try:
            probe.negotiate(*self.lab.direct_address(self.name), PROBE_TIMEOUT_S * self.scale)
        except (probe.ProbeError, NodeError) as error:
            return Liveness(False, f"it runs but does not answer: {error}{self._crash_words()}")
        return Liveness(True)

    def _crash_words(self) -> str:
        """What the log of the last minute says of a crash."""
        found = _CRASH.search(self.node.logs(time.time() - 60))
        return f": {found.group(0).strip()}" if found else ""

    def evidence(self, since: float) -> Mapping[str, str]:
        name = "console.log" if self.name == "ksmbd" else "server.log"
        return {name: self.node.logs(since)}


def run_on_lab(
    lab: Lab,
    servers: Sequence[str],
    scenarios: Sequence[Scenario],
    new_folder: Callable[[], Path],
    progress: ProgressCallback,
) -> Matrix:
    """Run against `servers` directly, or, if there are none, against the active one's front.

    `new_folder` makes the run's folder, once it is certain that there is something to run on.
    """
    through_front = not servers
    lab.require_running("client", *(["front"] if through_front else servers))
    if through_front:
        servers = [_active(lab)]
    columns = [_column(lab, name, through_front) for name in servers]
    return run_matrix(columns, scenarios, new_folder(), progress)


def _active(lab: Lab) -> str:
    active = switching.active_of(switching.servers(container(lab.engine, "front")))
    if not active:
        raise LabFailed("the front leads to no server", "lab switch samba")
    lab.require_running(active)
    return active


def _column(lab: Lab, name: str, through_front: bool) -> Column:
    target = container_target(
        name,
        lab.settings,
        lab.secrets.password(),
        accelerator=lab.accelerator,
        through_front=through_front,
    )
    server = ContainerServer(lab, name, backend(lab.engine, lab.paths, name), target.scale)
    return Column(target, server, partial(_open_client, lab), deviations.load(name))


def _open_client(lab: Lab) -> Pipe:
    """A new interpreter in the client container."""
    pipe: Pipe = lab.engine.exec_pipe("client", list(CLIENT_ARGV))
    return pipe
