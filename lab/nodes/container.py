"""A node that is a container: everything goes through the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lab.nodes.model import DEFAULT_DEADLINE_S, Completed


class Engine(Protocol):
    """What a container node needs of `lab.engine.sdk.Engine`."""

    def exec(
        self, node: str, argv: Sequence[str], input: bytes | None = None, timeout: float = 10.0
    ) -> Completed: ...

    def put(self, node: str, path: str, data: bytes, mode: int) -> None: ...

    def logs(self, node: str, since: float | None = None) -> str: ...


class ContainerNode:
    """One container of the lab, by its service's name."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", deadline: float = DEFAULT_DEADLINE_S
    ) -> Completed:
        return self._engine.exec(self.name, list(argv), input=input or None, timeout=deadline)

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._engine.put(self.name, path, data, mode)

    def logs(self, since: float | None = None) -> str:
        return self._engine.logs(self.name, since=since)
