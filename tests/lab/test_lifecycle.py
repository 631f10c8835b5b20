"""Up and down without an engine: names, ports, waiting, and what is done about those that fail."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.errors import LabFailed
from lab.lifecycle import names, ports, waiting
from lab.lifecycle.down import down, names_to_remove
from lab.lifecycle.up import changes, images, wanted_nodes
from lab.paths import LabPaths, default_name
from lab.probe import ProbeError
from lab.progress import Progress
from lab.render import Rendered
from lab.settings import NODES, Settings
from lab.state import State


class TestNames:
    """Every name that was brought up is remembered until nothing of it is left."""

    def test_the_newest_is_the_last_and_none_is_there_twice(self, tmp_path: Path) -> None:
        state = State(tmp_path / "state.json")
        for name in ("one", "two", "one"):
            names.remember(state, name)
        assert names.remembered(state) == ["two", "one"]

    def test_all_names_are_removed_whatever_the_settings_say_now(self, tmp_path: Path) -> None:
        paths = LabPaths(tmp_path)
        state = State(paths.state)
        names.remember(state, "earlier")
        expected = ["earlier", "today", default_name(tmp_path)]
        assert names_to_remove(paths, state, "today") == expected
        assert names_to_remove(paths, state, "") == ["earlier", default_name(tmp_path)]


@dataclass
class FakeEngine:
    """Removes what it holds, except what is `stuck`."""

    things: dict[str, list[str]]
    stuck: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    def remove_everything(self, name: str, volumes: bool) -> list[str]:
        self.asked.append(name)
        gone = [
            thing
            for thing in self.things.get(name, [])
            if thing not in self.stuck and (volumes or not thing.startswith("volume "))
        ]
        self.things[name] = [thing for thing in self.things.get(name, []) if thing not in gone]
        return gone

    def left_over(self, name: str) -> list[str]:
        return self.things.get(name, [])


class TestDown:
    """Down removes by name, and looks whether it is true."""

    @pytest.fixture
    def paths(self, tmp_path: Path) -> LabPaths:
        names.remember(State(LabPaths(tmp_path).state), "lab")
        return LabPaths(tmp_path)

    def take_down(self, paths: LabPaths, engine: FakeEngine, *, volumes: bool) -> Any:
        return down(paths, engine, "lab", Progress(), volumes=volumes)  # type: ignore[arg-type]

    def test_volumes_stay_and_so_does_the_name(self, paths: LabPaths) -> None:
        engine = FakeEngine({"lab": ["container a", "network n", "volume v"]})
        done = self.take_down(paths, engine, volumes=False)
        assert done.removed == ("container a", "network n")
        assert done.volumes_left == ("volume v",)
        assert names.remembered(State(paths.state)) == ["lab"]

    def test_with_volumes_nothing_stays(self, paths: LabPaths) -> None:
        engine = FakeEngine({"lab": ["container a", "volume v"]})
        done = self.take_down(paths, engine, volumes=True)
        assert done.volumes_left == ()
        assert State(paths.state).get(names.KEY) == []

    def test_what_cannot_be_removed_is_named(self, paths: LabPaths) -> None:
        engine = FakeEngine({"lab": ["container a"]}, stuck=("container a",))
        with pytest.raises(LabFailed, match="still there after `lab down`: container a"):
            self.take_down(paths, engine, volumes=False)
        assert names.remembered(State(paths.state)) == ["lab"]


class TestPorts:
    """A taken port is named with its process."""

    def test_a_free_port_is_fine(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        ports.require_free("127.0.0.1", port)

    def test_a_taken_port_names_port_process_and_another_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            with pytest.raises(LabFailed) as caught:
                ports.require_free("127.0.0.1", port)
        assert f"port {port} of 127.0.0.1" in caught.value.message
        assert f"(pid {os.getpid()})" in caught.value.message
        assert "LAB_FRONT_PORT=" in caught.value.remedy

    def test_an_address_of_another_host_is_explained(self) -> None:
        with pytest.raises(LabFailed, match=r"192\.0\.2\.1 is no address of this host"):
            ports.require_free("192.0.2.1", 1445)

    def test_a_port_that_nobody_listens_on_has_no_owner(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        assert ports.owner_of(port) is None


def test_changes_are_named_while_they_are_few() -> None:
    rendered = [
        Rendered("samba/etc/smb.conf", "changed"),
        Rendered("samba/probe.py", "unchanged"),
        Rendered("front/new", "new"),
        *(Rendered(f"py/{number}.py", "changed") for number in range(9)),
    ]
    assert changes(rendered) == ["changed: samba: etc/smb.conf", "changed: py: 9 files"]


def test_named_servers_come_up_with_what_every_run_needs() -> None:
    nodes = ("front", "samba", "ksmbd", "ksmbd@sid", "py", "client")
    assert wanted_nodes(nodes, ["ksmbd@sid"]) == ("front", "ksmbd@sid", "client")
    assert wanted_nodes(nodes, []) == nodes


def test_flavours_share_an_image() -> None:
    assert images(["front", "ksmbd", "ksmbd@sid", "client"]) == ["front", "ksmbd", "client"]


def test_a_crash_is_found_on_the_console() -> None:
    console = "booting\n[  3.1] Kernel panic - not syncing: sysrq triggered crash\n[ 3.2] more\n"
    assert waiting.panic_line(console).startswith("[  3.1] Kernel panic")
    assert waiting.panic_line("booting\nLAB READY\n") == ""


@pytest.mark.parametrize(
    ("console", "said"),
    [
        (
            "LAB guest ended: RESET after 0.4 s\nLAB guest ended: RESET after 0.2 s\n",
            "said nothing",
        ),
        (
            "[  3.1] Kernel panic - not syncing: System is deadlocked on memory\n",
            "more than 128 MiB",
        ),
        ("[  1.0] Initramfs unpacking failed: write error\n", "memory under [flavours.debug]"),
        ("[  3.1] Kernel panic - not syncing: sysrq triggered crash\n", "lab logs ksmbd@debug"),
    ],
)
def test_the_end_of_a_guest_that_boots_has_a_remedy(console: str, said: str) -> None:
    assert said in waiting.remedy_for_end("ksmbd@debug", console, 128)


def test_the_last_lines_leave_out_blank_ones() -> None:
    assert waiting.last_lines("a\r\n\r\nb\r\nc\r\n", 2) == ["b", "c"]


@dataclass
class FakeContainers:
    """Containers in a given state, whose guest may need a restart before it answers."""

    states: dict[str, Any] = field(default_factory=dict)
    console: str = ""
    restarted: list[str] = field(default_factory=list)

    def containers(self) -> dict[str, Any]:
        running = SimpleNamespace(state="running", exit_code=0, restart_count=0)
        return {node: self.states.get(node, running) for node in NODES}

    def logs(self, node: str, since: float | None = None) -> str:
        return self.console

    def restart(self, node: str) -> None:
        self.restarted.append(node)


class Waits:
    """A Waiter on fake containers; `answers(node)` raises ProbeError while it does not answer."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        engine: FakeContainers,
        answers: Callable[[str], None],
    ) -> None:
        monkeypatch.setattr(waiting, "POLL_S", 0.005)
        monkeypatch.setattr(waiting, "LOOK_AT_CONTAINER_S", 0.0)
        monkeypatch.setattr(waiting, "CONTAINER_DEADLINE_S", 0.2)
        monkeypatch.setattr(waiting, "GUEST_DEADLINE_S", {"tcg": 0.2})
        monkeypatch.setattr(waiting, "negotiate", lambda host, port, timeout: answers(host))
        monkeypatch.setattr(waiting.switching, "servers", lambda front: {})
        monkeypatch.setattr(waiting.switching, "activate", lambda front, name, known: None)
        self.lines: list[str] = []
        lab = SimpleNamespace(
            engine=engine,
            settings=Settings(),
            progress=SimpleNamespace(say=self.lines.append),
            front_address=lambda: ("front", 1),
            direct_address=lambda name: (name, 1),
        )
        self.waiter = waiting.Waiter(lab, "tcg", "samba", time.monotonic(), NODES)  # type: ignore[arg-type]


def silent(*nodes: str) -> Callable[[str], None]:
    def answers(node: str) -> None:
        if node in nodes:
            raise ProbeError(f"{node}: connect: Connection refused")

    return answers


class TestWaiting:
    """Each node has its time; a guest gets a second chance, a container does not."""

    def test_when_all_answer_each_has_its_seconds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        healthy = Waits(monkeypatch, FakeContainers(), silent()).waiter.wait()
        assert set(healthy.seconds) == set(NODES)
        assert not healthy.guest_replaced

    def test_a_silent_container_fails_with_its_last_lines(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = FakeContainers(console="cannot open smb.conf\n")
        with pytest.raises(waiting.NotAnswering, match=r"(?s)samba does not answer.*Connection "):
            Waits(monkeypatch, engine, silent("samba")).waiter.wait()

    def test_a_container_that_ended_fails_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = SimpleNamespace(state="exited", exit_code=3, restart_count=0)
        engine = FakeContainers({"py": ended}, console="no such share\n")
        with pytest.raises(waiting.NotAnswering, match=r"(?s)py ended with exit code 3.*no such"):
            Waits(monkeypatch, engine, silent("py")).waiter.wait()

    def test_a_container_that_ends_again_and_again_is_given_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looping = SimpleNamespace(state="restarting", exit_code=1, restart_count=9)
        engine = FakeContainers({"front": looping})
        with pytest.raises(waiting.NotAnswering, match="front ends again and again"):
            Waits(monkeypatch, engine, silent("front")).waiter.wait()

    def test_a_guest_that_hangs_is_replaced_once_with_its_console_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = FakeContainers(console="init: loading ksmbd\n")

        def answers(node: str) -> None:
            if node == "ksmbd" and not engine.restarted:
                raise ProbeError("no answer")

        waits = Waits(monkeypatch, engine, answers)
        assert waits.waiter.wait().guest_replaced
        assert engine.restarted == ["ksmbd"]
        assert "  | init: loading ksmbd" in waits.lines

    def test_a_guest_that_panics_is_replaced_before_its_deadline(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = FakeContainers(console="Kernel panic - not syncing: Fatal exception\n")

        def answers(node: str) -> None:
            if node == "ksmbd" and not engine.restarted:
                raise ProbeError("no answer")

        waits = Waits(monkeypatch, engine, answers)
        monkeypatch.setattr(waits.waiter, "_guest_deadline_s", 60.0)
        assert waits.waiter.wait().guest_replaced
        assert any("the ksmbd guest crashed: Kernel panic" in line for line in waits.lines)

    def test_a_guest_that_the_engine_replaced_is_not_replaced_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        info = SimpleNamespace(state="running", exit_code=0, restart_count=0)
        engine = FakeContainers({"ksmbd": info}, "LAB guest ended: PANIC after 3 s\n")
        asked: list[str] = []

        def answers(node: str) -> None:
            if node == "ksmbd":
                asked.append(node)
                info.restart_count = 1
                if len(asked) > 1:
                    engine.console = ""  # what there is since the second guest
                if len(asked) < 5:
                    raise ProbeError("no answer")

        waits = Waits(monkeypatch, engine, answers)
        assert waits.waiter.wait().guest_replaced
        assert engine.restarted == []
        assert any("LAB guest ended: PANIC" in line for line in waits.lines)

    @pytest.mark.slow
    def test_a_second_guest_that_hangs_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        engine = FakeContainers(console="hm\n")
        with pytest.raises(waiting.NotAnswering, match="the ksmbd guest does not answer"):
            Waits(monkeypatch, engine, silent("ksmbd")).waiter.wait()
        assert engine.restarted == ["ksmbd"]

    def test_a_second_guest_that_crashes_is_a_failure_before_its_deadline(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = FakeContainers(console="LAB guest ended: RESET after 0.3 s\n")
        waits = Waits(monkeypatch, engine, silent("ksmbd"))
        monkeypatch.setattr(waits.waiter, "_guest_deadline_s", 60.0)
        with pytest.raises(waiting.NotAnswering, match="the ksmbd guest crashed: ") as failed:
            waits.waiter.wait()
        assert engine.restarted == ["ksmbd"]
        assert "more than 256 MiB: memory under [ksmbd]" in failed.value.remedy

    def test_when_one_node_fails_the_others_are_not_waited_for_nor_restarted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = FakeContainers()
        waits = Waits(monkeypatch, engine, silent("samba", "ksmbd"))
        monkeypatch.setattr(waits.waiter, "_guest_deadline_s", 60.0)
        with pytest.raises(waiting.NotAnswering, match="samba"):
            waits.waiter.wait()
        assert engine.restarted == []
        assert threading.active_count() < 10
