"""Running scenarios on the lab: the columns for its containers and its guest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab import probe, runs, switching, versions
from lab.backends import is_ksmbd
from lab.crashes.kernel import kernel_of
from lab.engine.sdk import container_info
from lab.errors import LabFailed
from lab.evidence import server_log, tshark
from lab.evidence.capture import Recorder
from lab.evidence.column import ColumnEvidence
from lab.nodes.model import Completed, Node, NodeError
from lab.nodes.registry import backend, container
from lab.scenarios.model import Scenario
from lab.scenarios.pipe import Pipe
from lab.scenarios.server_side import Liveness
from lab.targets import Target, container_target
from lab.verdicts import deviations
from lab.verdicts.matrix import Matrix
from lab.verdicts.rounds import run_rounds
from lab.verdicts.run import Column, ProgressCallback

if TYPE_CHECKING:
    from lab.session import Lab

ACT_DEADLINE_S = 10.0
DECODE_DEADLINE_S = 180.0  # on a busy machine; 2 s on one that is not
PROBE_TIMEOUT_S = 2.0
CLIENT_ARGV = ("python3", "-m", "lab.client")


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
            return Liveness(False, "it ended and was started again")
        try:
            probe.negotiate(*self.lab.direct_address(self.name), PROBE_TIMEOUT_S * self.scale)
        except (probe.ProbeError, NodeError) as error:
            return Liveness(False, f"it runs but does not answer: {error}")
        return Liveness(True)

    def evidence(self, since: float) -> Mapping[str, str]:
        if not is_ksmbd(self.name):
            return {server_log.SERVER: self.node.logs(since)}
        stamped = self.lab.engine.logs(self.name, since, timestamps=True)
        console, times = server_log.split_times(stamped)
        return {server_log.CONSOLE: console, server_log.CONSOLE_TIMES: times}


@dataclass(frozen=True)
class Wanted:
    """What a run is to do: `servers` directly, or, if there are none, the active one's front."""

    servers: Sequence[str]
    scenarios: Sequence[Scenario]
    captures: bool = True
    rounds: int = 1
    whole: bool = False  # the scenarios are the whole catalogue


def run_on_lab(
    lab: Lab, wanted: Wanted, new_folder: Callable[[], Path], progress: ProgressCallback
) -> Matrix:
    """The matrix of a run, with its evidence.

    `new_folder` makes the run's folder, once it is certain that there is something to run on.
    """
    through_front = not wanted.servers
    lab.require_running("client", *(["front"] if through_front else wanted.servers))
    servers = [active(lab)] if through_front else wanted.servers

    def columns(folder: Path) -> list[Column]:
        into = folder if wanted.captures else None
        return [
            column(lab, name, through_front=through_front, recorded_in=into) for name in servers
        ]

    return run_rounds(
        columns, wanted.scenarios, new_folder(), wanted.rounds, progress, wanted.whole
    )


def versions_of(lab: Lab, servers: Sequence[str]) -> dict[str, dict[str, str]]:
    """Versions of the servers, the client and this machine, for a run's report."""

    def node(name: str) -> Node:
        in_guest = is_ksmbd(name)
        return backend(lab.engine, lab.paths, name) if in_guest else container(lab.engine, name)

    asked = [*servers, "client"]
    with ThreadPoolExecutor(len(asked)) as pool:
        found = pool.map(lambda name: versions.ask(name, partial(node, name)), asked)
        told = dict(zip(asked, found, strict=True))
    for name in filter(is_ksmbd, told):
        told[name].update(lab.guest_facts(name))
    return {**told, "host": runs.host_versions()}


def active(lab: Lab) -> str:
    """The server that the front leads to; LabFailed if it is none."""
    name = switching.active_of(switching.servers(container(lab.engine, "front")))
    if not name:
        raise LabFailed("the front leads to no server", "lab switch samba")
    lab.require_running(name)
    return name


def column(
    lab: Lab,
    name: str,
    *,
    through_front: bool,
    recorded_in: Path | None,
    port: int | None = None,
) -> Column:
    """One server's column; its capture goes below `recorded_in`, None: none is taken.

    `port`: of a second instance of the server in its container.
    """
    target = container_target(
        name,
        lab.settings,
        lab.secrets,
        accelerator=lab.accelerator,
        through_front=through_front,
    )
    target = replace(target, port=port) if port else target
    node = backend(lab.engine, lab.paths, name)
    return Column(
        target,
        ContainerServer(lab, name, node, target.scale),
        partial(_open_client, lab),
        deviations.load(name),
        _recording(lab, target, recorded_in) if recorded_in else None,
        kernel_of(lab, name, node, target.scale),
    )


def _recording(lab: Lab, target: Target, folder: Path) -> ColumnEvidence:
    """The column's capture, taken and decoded in the client container."""
    client = container(lab.engine, "client")
    recorder = Recorder(
        client,
        lambda argv: lab.engine.exec_pipe("client", list(argv)),
        host=target.host,
        port=target.port,
        path=f"/tmp/{target.name}-{os.getpid()}.pcap",  # noqa: S108 - the container's own
    )
    return ColumnEvidence(
        target.name,
        target.port,
        folder,
        recorder,
        tshark.on_node(client, DECODE_DEADLINE_S),
    )


def _open_client(lab: Lab) -> Pipe:
    """A new interpreter in the client container."""
    pipe: Pipe = lab.engine.exec_pipe("client", list(CLIENT_ARGV))
    return pipe
