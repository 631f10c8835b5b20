"""The server's side of a run on containers: alive, crashed, started anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import matrix
from lab.nodes.model import Completed, NodeError
from lab.paths import LabPaths
from lab.probe import ProbeError
from lab.settings import Settings


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
        self.log = ""

    def logs(self, node: str, since: float | None = None, *, timestamps: bool = False) -> str:
        assert timestamps, "lines of a console have no time that could be believed"
        return self.log

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
    one = server(engine)
    assert one.alive().ok
    assert engine.raw is not None
    engine.raw["RestartCount"] = 1
    again = one.alive()
    assert not again.ok
    assert again.detail == "it ended and was started again"
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
    engine.log = "2026-11-22T18:40:00.5Z [    1.0] ksmbd: up\n"
    assert server(engine, FakeNode()).evidence(time.time()) == {
        "console.log": "[    1.0] ksmbd: up\n",
        "console-times.json": "[1795372800.5]",
    }


class FakeLab:
    """A lab whose nodes answer what versions they are of; `pipes` are the commands piped."""

    accelerator = "tcg"

    def __init__(self) -> None:
        self.pipes: list[tuple[str, list[str]]] = []
        self.asked: list[str] = []
        self.engine = self
        self.settings = Settings(name="l")
        self.paths = LabPaths(Path("/nowhere"))
        self.secrets = SimpleNamespace(
            password=lambda: "s3cret-word", second_password=lambda: "other-word"
        )

    def exec(self, node: str, argv: Sequence[str], **_: Any) -> Completed:
        self.asked.append(node)
        said = {"samba": b"Version 4.22.8\n", "client": b"impacket 0.13.1\n"}
        return Completed(0, said.get(node, b""), b"")

    def exec_pipe(self, node: str, argv: list[str]) -> Any:
        self.pipes.append((node, argv))
        raise NodeError("the test goes no further")

    def port(self, node: str, port: int) -> int:
        return 1


def test_a_column_captures_what_its_client_says_to_its_server(tmp_path: Path) -> None:
    lab = FakeLab()
    direct = matrix.column(lab, "samba", through_front=False, recorded_in=tmp_path)  # type: ignore[arg-type]
    assert direct.recording is not None
    direct.recording.start()
    ((node, argv),) = lab.pipes
    assert node == "client"
    assert argv[-1] == "tcp port 445 and host samba"
    assert "s3cret-word" not in " ".join(argv)
    assert [trust.reason for trust in direct.recording.finish().values()] == []


def test_through_the_front_it_captures_what_goes_there(tmp_path: Path) -> None:
    lab = FakeLab()
    column = matrix.column(lab, "py", through_front=True, recorded_in=tmp_path)  # type: ignore[arg-type]
    assert column.recording is not None
    column.recording.start()
    assert lab.pipes[0][1][-1] == "tcp port 445 and host server"


def test_without_a_folder_no_capture_is_taken() -> None:
    column = matrix.column(FakeLab(), "py", through_front=False, recorded_in=None)  # type: ignore[arg-type]
    assert column.recording is None


def test_the_versions_are_those_of_who_took_part() -> None:
    lab = FakeLab()
    told = matrix.versions_of(lab, ["samba"])  # type: ignore[arg-type]
    assert told["samba"] == {"smbd": "4.22.8"}
    assert told["client"] == {"impacket": "0.13.1"}
    assert set(told) == {"samba", "client", "host"}
    assert told["host"]["kernel"]
    assert set(lab.asked) == {"samba", "client"}
