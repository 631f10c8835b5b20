"""The lab's state, asked of its nodes: who runs, who answers, who is active, which versions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from lab import switching, versions
from lab.backends import flavour, is_ksmbd
from lab.errors import LabFailed
from lab.nodes.model import NodeError
from lab.nodes.registry import backend, container
from lab.probe import Negotiated, ProbeError, negotiate

if TYPE_CHECKING:
    from lab.session import Lab

PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class NodeStatus:
    """One node. `healthy`: it answered a NEGOTIATE; the client, which serves nothing, runs."""

    name: str
    state: str
    healthy: bool
    address: str = ""
    detail: str = ""
    dialect: str = ""
    server_guid: str = ""
    uptime_s: float | None = None
    restarts: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LabStatus:
    """The whole lab. `active` is the backend that the front leads to, "" if that is not known."""

    name: str
    root: str
    settings_file: str
    up: bool
    active: str
    proof: Mapping[str, Any]
    accelerator: Mapping[str, str]
    versions: Mapping[str, str]
    nodes: tuple[NodeStatus, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def status(lab: Lab) -> LabStatus:
    """Ask every node, all at once."""
    containers = lab.engine.containers()
    names = lab.settings.nodes
    with ThreadPoolExecutor(2 * len(names)) as pool:
        active = pool.submit(_active, lab) if "front" in containers else None
        answers = {
            name: pool.submit(_probe, lab, name)
            for name in ("front", *lab.settings.backends)
            if _runs(containers, name)
        }
        asked = {
            name: pool.submit(versions.ask, name, partial(_node, lab, name))
            for name in names
            if _runs(containers, name)
        }
        nodes = tuple(
            _node_status(
                name,
                containers.get(name),
                answers[name].result() if name in answers else "",
                {
                    **(asked[name].result() if name in asked else {}),
                    **(lab.guest_facts(name) if name in asked and is_ksmbd(name) else {}),
                },
            )
            for name in names
        )
        answered = {name: future.result() for name, future in answers.items()}
        active_name = active.result() if active else ""
    settings_file = lab.paths.settings_file
    return LabStatus(
        name=lab.settings.name,
        root=str(lab.paths.root),
        settings_file=str(settings_file) if settings_file.exists() else "",
        up=all(node.healthy for node in nodes),
        active=active_name,
        proof=_proof(active_name, answered),
        accelerator=lab.state.get("running_accelerator", {}),
        versions={
            key: value
            for node in nodes
            if not flavour(node.name)  # theirs stand with their nodes
            for key, value in node.versions.items()
        },
        nodes=nodes,
    )


def _runs(containers: Mapping[str, Any], name: str) -> bool:
    return name in containers and containers[name].state == "running"


def _node(lab: Lab, name: str) -> Any:
    in_guest = is_ksmbd(name)
    return backend(lab.engine, lab.paths, name) if in_guest else container(lab.engine, name)


def _active(lab: Lab) -> str:
    try:
        return switching.active_of(switching.servers(container(lab.engine, "front")))
    except LabFailed:
        return ""


@dataclass(frozen=True)
class _Answer:
    """What came of probing a node at its published port."""

    address: str
    said: Negotiated | None
    failure: str = ""


def _probe(lab: Lab, name: str) -> _Answer:
    try:
        host, port = lab.front_address() if name == "front" else lab.direct_address(name)
    except NodeError as error:
        return _Answer("", None, error.message)
    try:
        return _Answer(f"{host}:{port}", negotiate(host, port, PROBE_TIMEOUT_S))
    except ProbeError as error:
        return _Answer(f"{host}:{port}", None, str(error))


def _node_status(
    name: str, info: Any, answer: _Answer | str, found: Mapping[str, str]
) -> NodeStatus:
    if info is None:
        return NodeStatus(name, "absent", False)
    running = info.state == "running"
    uptime = time.time() - info.started_at if running else None
    if not isinstance(answer, _Answer):
        detail = "" if running else f"exit code {info.exit_code}"
        return NodeStatus(
            name,
            info.state,
            healthy=running and name == "client",
            detail=detail,
            uptime_s=uptime,
            restarts=info.restart_count,
            versions=found,
        )
    said = answer.said
    return NodeStatus(
        name,
        info.state,
        healthy=said is not None,
        address=answer.address,
        detail=answer.failure,
        dialect=said.dialect_name if said else "",
        server_guid=str(said.server_guid) if said else "",
        uptime_s=uptime,
        restarts=info.restart_count,
        versions=found,
    )


def _proof(active: str, answers: Mapping[str, _Answer]) -> dict[str, Any]:
    """The proof that the front leads to `active`; {} where one of the two did not answer."""
    front, direct = answers.get("front"), answers.get(active)
    if front is None or direct is None or front.said is None or direct.said is None:
        return {}
    return switching.Proof(active, front.said, direct.said).as_json()
