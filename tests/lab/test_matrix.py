"""The server's side of a run on containers: alive, crashed, started anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from lab import matrix
from lab.nodes.model import Completed, NodeError
from lab.probe import ProbeError


class FakeNode:
    """A node that remembers what was run, and whose log is given."""

    name = "ksmbd"

    def __init__(self, log: str = "") -> None:
        self.log = log
        self.deadlines: list[float] = []

    def run(self, argv: Sequence[str], *, input: bytes = b"", deadline: float = 10.0) -> Completed:
        self.deadlines.append(deadline)
        return Completed(0, " ".join(argv).encode(), b"")

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        raise NotImplementedError

    def logs(self, since: float | None = None) -> str:
        return self.log


class FakeEngine:
    """One container, as `inspect` shows it; None: there is none."""

    def __init__(self) -> None:
        self.raw: dict[str, Any] | None = {
            "Id": "c1",
            "Name": "/lab_ksmbd_1",
            "Image": "i",
            "RestartCount": 0,
            "Config": {"Labels": {}},
            "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z", "ExitCode": 0},
        }

    def inspect(self, node: str) -> dict[str, Any]:
        if self.raw is None:
            raise NodeError("no such container")
        return self.raw


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Put an exception in, and the probe raises it."""
    failures: list[Exception] = []

    def negotiate(host: str, port: int, timeout: float) -> None:
        if failures:
            raise failures[0]

    monkeypatch.setattr(matrix.probe, "negotiate", negotiate)
    return failures


def server(engine: FakeEngine, node: FakeNode | None = None) -> matrix.ContainerServer:
    lab = SimpleNamespace(engine=engine, direct_address=lambda name: ("127.0.0.1", 1))
    return matrix.ContainerServer(lab, "ksmbd", node or FakeNode(), 3.0)  # type: ignore[arg-type]


def test_a_server_that_answers_is_alive(engine: FakeEngine, answering: list[Exception]) -> None:
    one = server(engine)
    assert one.alive().ok
    assert one.alive().ok


def test_a_container_that_ended_says_how(engine: FakeEngine, answering: list[Exception]) -> None:
    assert engine.raw is not None
    engine.raw["State"] |= {"Status": "exited", "ExitCode": 137}
    liveness = server(engine).alive()
    assert not liveness.ok
    assert liveness.detail == "its container exited with exit code 137"


def test_a_container_that_is_gone(engine: FakeEngine, answering: list[Exception]) -> None:
    engine.raw = None
    assert server(engine).alive().detail == "its container is gone"


def test_a_new_instance_is_not_alive_once_and_then_is(
    engine: FakeEngine, answering: list[Exception]
) -> None:
    console = "x\n[ 9.1] kernel BUG at lib/list_debug.c:29!\nmore\n"
    one = server(engine, FakeNode(console))
    assert one.alive().ok
    assert engine.raw is not None
    engine.raw["RestartCount"] = 1
    again = one.alive()
    assert not again.ok
    assert again.detail == (
        "it ended and was started again: [ 9.1] kernel BUG at lib/list_debug.c:29!"
    )
    assert one.alive().ok


def test_a_server_that_runs_and_is_silent_is_not_alive(
    engine: FakeEngine, answering: list[Exception]
) -> None:
    answering.append(ProbeError("NEGOTIATE: no answer within 6 s"))
    liveness = server(engine).alive()
    assert not liveness.ok
    assert "no answer within 6 s" in liveness.detail


def test_acting_gets_the_scaled_deadline(engine: FakeEngine) -> None:
    node = FakeNode()
    assert server(engine, node).act(["touch", "a"]).stdout == b"touch a"
    assert node.deadlines == [30.0]


def test_the_evidence_is_named_after_what_it_is(engine: FakeEngine) -> None:
    one = server(engine, FakeNode("console"))
    assert one.evidence(time.time()) == {"console.log": "console"}
