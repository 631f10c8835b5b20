"""Which kind of node each of the lab's nodes is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.backends import is_ksmbd
from lab.nodes.container import ContainerNode
from lab.nodes.model import Node
from lab.paths import LabPaths
from lab.secrets import Secrets

if TYPE_CHECKING:
    from lab.engine.sdk import Engine

SSH_PORT = 22


def container(engine: Engine, name: str) -> Node:
    """The container of a node."""
    return ContainerNode(engine, name)


def backend(engine: Engine, paths: LabPaths, name: str) -> Node:
    """Where server-side actions of a backend happen: its container; for ksmbd, the guest."""
    if not is_ksmbd(name):
        return ContainerNode(engine, name)
    from lab.nodes.ssh import SshNode

    return SshNode(
        name,
        "127.0.0.1",
        engine.port(name, SSH_PORT),
        Secrets(paths.secrets).identity,
        read_log=lambda since: engine.logs(name, since=since),
    )
