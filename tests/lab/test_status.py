"""Status and versions: what is made of what the nodes say."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from lab import status, versions
from lab.nodes.model import Completed, NodeError
from lab.probe import Negotiated, ProbeError
from lab.settings import NODES, Settings
from lab.switching import Server

ROOT = Path(__file__).resolve().parents[2]


def answer(guid: int) -> Negotiated:
    return Negotiated(UUID(int=guid), 0x311, 1, 7, 8 << 20, 1.0)


PORTS = {"front": 1, "samba": 2, "ksmbd": 3, "py": 4}


class Fake:
    """A lab that publishes PORTS."""

    def __init__(self, states: dict[str, str]) -> None:
        self.settings = Settings(name="lab")
        self.engine = SimpleNamespace(
            containers=lambda: {
                node: SimpleNamespace(state=state, exit_code=1, started_at=0, restart_count=0)
                for node, state in states.items()
            }
        )
        self.paths = SimpleNamespace(
            settings_file=SimpleNamespace(exists=lambda: False), root="/lab"
        )
        self.state = SimpleNamespace(get=lambda key, default: default)

    def guest_facts(self, name: str) -> dict[str, str]:
        return {"accelerator": "tcg", "memory": f"{self.settings.ksmbd_of(name).memory} MiB"}

    def front_address(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    def direct_address(self, name: str) -> tuple[str, int]:
        return "127.0.0.1", PORTS[name]


def ask(
    monkeypatch: pytest.MonkeyPatch, states: dict[str, str], guids: dict[int, int]
) -> status.LabStatus:
    def negotiate(host: str, port: int, timeout: float) -> Negotiated:
        if port not in guids:
            raise ProbeError(f"{host}:{port}: connect: Connection refused")
        return answer(guids[port])

    monkeypatch.setattr(status, "negotiate", negotiate)
    monkeypatch.setattr(status.versions, "ask", lambda name, node: {name: "1"})
    active = {"samba": Server(True, 0), "py": Server(False, 0)}
    monkeypatch.setattr(status.switching, "servers", lambda front: active)
    fake: Any = Fake(states)
    return status.status(fake)


def test_all_healthy_and_the_active_one_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    now = ask(monkeypatch, dict.fromkeys(NODES, "running"), {1: 7, 2: 7, 3: 0, 4: 9})
    assert now.up
    assert now.active == "samba"
    assert now.proof["holds"] is True
    assert [node.name for node in now.nodes] == list(NODES)
    assert now.versions["py"] == "1"


def test_a_ksmbd_node_tells_what_its_guest_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = ask(monkeypatch, dict.fromkeys(NODES, "running"), {1: 7, 2: 7, 3: 0, 4: 9})
    (ksmbd,) = (node for node in now.nodes if node.name == "ksmbd")
    assert ksmbd.versions == {"ksmbd": "1", "accelerator": "tcg", "memory": "256 MiB"}


def test_a_front_that_leads_elsewhere_refutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = ask(monkeypatch, dict.fromkeys(NODES, "running"), {1: 9, 2: 7, 3: 0, 4: 9})
    assert now.proof["holds"] is False


def test_a_running_container_that_does_not_answer_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = ask(monkeypatch, dict.fromkeys(NODES, "running"), {1: 7, 2: 7, 3: 0})
    (py,) = (node for node in now.nodes if node.name == "py")
    assert (py.state, py.healthy) == ("running", False)
    assert "Connection refused" in py.detail
    assert not now.up


def test_a_container_that_ended_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {**dict.fromkeys(NODES, "running"), "ksmbd": "exited"}
    now = ask(monkeypatch, states, {1: 7, 2: 7, 4: 9})
    (ksmbd,) = (node for node in now.nodes if node.name == "ksmbd")
    assert (ksmbd.state, ksmbd.healthy, ksmbd.detail) == ("exited", False, "exit code 1")


def test_nothing_up_is_told_without_asking_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    now = ask(monkeypatch, {}, {})
    assert not now.up
    assert now.active == ""
    assert {node.state for node in now.nodes} == {"absent"}


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        ("front", "HAProxy version 3.0.11-1+deb13u5 2026/01/01 - http", "3.0.11-1+deb13u5"),
        ("samba", "Version 4.22.11-Debian\n", "4.22.11-Debian"),
        ("py", "Python 3.13.5\n", "3.13.5"),
        ("client", "impacket 0.13.1\n", "0.13.1"),
    ],
)
def test_versions_are_read(name: str, output: str, expected: str) -> None:
    found = versions.QUESTIONS[name].read(Completed(0, output.encode(), b""))
    assert list(found.values()) == [expected]


def test_the_guest_tells_kernel_module_and_tools() -> None:
    output = (
        b"kernel 6.12.117+deb13-cloud-amd64\nbuild-id f9a4ec071ad1b6a939dbc9130faf655d376d77e4\n"
        b"taint \nksmbd-tools 3.5.3\n"
    )
    assert versions.QUESTIONS["ksmbd"].read(Completed(0, output, b"")) == {
        "kernel": "6.12.117+deb13-cloud-amd64",
        "ksmbd_build_id": "f9a4ec071ad1",
        "ksmbd_tools": "3.5.3",
    }


def test_notify_server_tells_its_version_and_its_sources() -> None:
    question = versions.QUESTIONS["py"]
    argv = [sys.executable, *question.argv[1:]]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True)
    found = question.read(Completed(0, done.stdout, b""))
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert found["notify_server"] == declared
    assert len(found["notify_server_sources"]) == 12


def test_the_client_tells_of_its_tools() -> None:
    output = b"impacket 0.13.1\nsmbtorture 4.22.11-Debian\nTShark (Wireshark) 4.4.19.\n"
    assert versions.QUESTIONS["client"].read(Completed(0, output, b"")) == {
        "impacket": "0.13.1",
        "smbtorture": "4.22.11-Debian",
        "tshark": "4.4.19",
    }


def test_a_node_that_cannot_be_asked_has_no_versions() -> None:
    def node() -> Any:
        raise NodeError("not running")

    assert versions.ask("py", node) == {}
