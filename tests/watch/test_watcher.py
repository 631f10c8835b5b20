"""The loop against notify_server, and against a server that misbehaves; no Docker."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.scenarios.embedded import client_environment, notify_server
from lab.targets import Target

# A process for each test, and a server for some: too much for the quick checks, in which
# test_odd_servers drives the same loop.
pytestmark = pytest.mark.slow

SOON = 10.0
CREATES_OF_A_FLOOD = 3000


class Relay:
    """A TCP relay before a server: connections through it can be cut, and new ones refused."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.accepted = 0
        self.refusing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                if self.refusing:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for a, b in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    def _copy(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


class Watch:
    """`lab watch --json` as a process, and the events that it printed."""

    def __init__(self, target: Target, *words: str, port: int = 0, where: str = "") -> None:
        address = f"//127.0.0.1:{port or target.port}/{where or target.share}"
        argv = [sys.executable, "-m", "lab.cli", "watch", address, "--user", target.user, "--json"]
        env = {**client_environment(), "LAB_WATCH_PASSWORD": target.password}
        self.process = subprocess.Popen(
            [*argv, *words],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))

    def next(self, *kinds: str) -> dict[str, Any]:
        """The next event of one of these kinds (any, if none is named)."""
        deadline = time.monotonic() + SOON
        while True:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                pytest.fail(f"no {' or '.join(kinds) or 'event'}: exit {self.process.poll()}")
            if not kinds or event["event"] in kinds:
                return event

    def change(self) -> tuple[str, str]:
        event = self.next()
        assert event["event"] == "change", event
        return event["action"], event["name"]

    def rest(self) -> list[dict[str, Any]]:
        """What came until the process ended."""
        self.process.wait(SOON)
        time.sleep(0.1)  # the reader's thread has the last lines by then
        return [self._events.get() for _ in range(self._events.qsize())]

    def interrupt(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(SOON)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with notify_server(tmp_path_factory.mktemp("served")) as (target, _):
        yield target


Start = Callable[..., Watch]


@pytest.fixture
def start(served: Target) -> Iterator[Start]:
    """Starts a watch that is ended with the test."""
    made: list[Watch] = []

    def begin(*words: str, target: Target = served, **more: Any) -> Watch:
        made.append(Watch(target, *words, **more))
        return made[-1]

    yield begin
    for watch in made:
        watch.close()


@pytest.fixture
def root(served: Target) -> Iterator[Path]:
    """The share, emptied after the test."""
    folder = Path(served.share_root)
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def test_changes_are_shown_in_order(start: Start, root: Path) -> None:
    watch = start("--filter", "names")
    told = watch.next("watching")
    assert (told["dialect"], told["again"]) == ("3.1.1", False)
    (root / "a").touch()
    (root / "a").rename(root / "b")
    (root / "b").unlink()
    assert [watch.change() for _ in range(4)] == [
        ("ADDED", "a"),
        ("RENAMED_OLD_NAME", "a"),
        ("RENAMED_NEW_NAME", "b"),
        ("REMOVED", "b"),
    ]


def test_nothing_is_missed_between_two_requests(start: Start, root: Path) -> None:
    """200 files one after another: an answer, a request, and what came between them."""
    watch = start("--filter", "names")
    watch.next("watching")
    names = [f"f{number:03}" for number in range(200)]
    for name in names:
        (root / name).touch()
    assert [watch.change() for _ in names] == [("ADDED", name) for name in names]


def test_a_directory_alone_or_with_all_below(start: Start, root: Path) -> None:
    (root / "dir/sub").mkdir(parents=True)
    flat = start("--filter", "names", where="TEST/dir")
    deep = start("--filter", "names", "--recursive", where="TEST/dir")
    for watch in (flat, deep):
        watch.next("watching")
    for name in ("sub/deep", "here"):
        (root / "dir" / name).touch()
    assert flat.change() == ("ADDED", "here")
    assert [deep.change(), deep.change()] == [("ADDED", "sub\\deep"), ("ADDED", "here")]


def test_too_many_changes_are_said_to_be_too_many(start: Start, root: Path) -> None:
    """While the watch is stopped the server's buffer overflows; then it goes on as before."""
    watch = start("--filter", "names")
    watch.next("watching")
    watch.process.send_signal(signal.SIGSTOP)
    for number in range(CREATES_OF_A_FLOOD):
        (root / f"a-rather-long-name-{number:05}").touch()
    watch.process.send_signal(signal.SIGCONT)
    assert watch.next("overflow")["status"] == "STATUS_NOTIFY_ENUM_DIR"
    time.sleep(0.3)
    (root / "afterwards").touch()
    while watch.next("change", "overflow").get("name") != "afterwards":
        pass


def test_ctrl_c_cancels_closes_and_logs_off(start: Start) -> None:
    watch = start("--ladder")
    watch.next("watching")
    assert watch.interrupt() == 130
    pdus = [
        (event["dir"], event["command"], event.get("status", ""))
        for event in watch.rest()
        if event["event"] == "pdu"
    ]
    assert pdus[-6:] == [
        ("out", "CANCEL", ""),
        ("in", "CHANGE_NOTIFY", "STATUS_CANCELLED"),
        ("out", "CLOSE", ""),
        ("in", "CLOSE", "STATUS_SUCCESS"),
        ("out", "LOGOFF", ""),
        ("in", "LOGOFF", "STATUS_SUCCESS"),
    ]
    assert watch.stderr() == ""


def test_sigterm_ends_it_as_politely(start: Start) -> None:
    watch = start("--ladder")
    watch.next("watching")
    assert watch.interrupt(signal.SIGTERM) == 143
    assert watch.rest()[-1]["command"] == "LOGOFF"


def test_a_count_ends_it_exactly(start: Start, root: Path) -> None:
    watch = start("--filter", "names", "--count", "2")
    watch.next("watching")
    for name in ("a", "b", "c"):
        (root / name).touch()
    assert watch.process.wait(SOON) == 0
    assert [event["name"] for event in watch.rest() if event["event"] == "change"] == ["a", "b"]


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--count", "1"), 1)])
def test_a_timeout_ends_it(start: Start, words: tuple[str, ...], code: int) -> None:
    watch = start("--timeout", "0.5", *words)
    watch.next("watching")
    assert watch.process.wait(SOON) == code


def test_a_lost_connection_is_made_again(start: Start, served: Target, root: Path) -> None:
    relay = Relay(served.port)
    try:
        watch = start("--filter", "names", port=relay.port)
        watch.next("watching")
        relay.cut()
        lost = watch.next()
        assert lost["event"] == "lost"
        assert "connection ended" in lost["why"]
        assert watch.next()["again"] is True
        (root / "a").touch()
        assert watch.change() == ("ADDED", "a")
    finally:
        relay.close()


def test_attempts_are_spaced_and_ctrl_c_ends_them(start: Start, served: Target) -> None:
    relay = Relay(served.port)
    try:
        watch = start(port=relay.port)
        watch.next("watching")
        relay.refusing = True
        relay.cut()
        delays = [watch.next("lost")["delay"] for _ in range(4)]
        assert delays == [0.1, 0.2, 0.4, 0.8]
        assert relay.accepted <= 5
        assert watch.interrupt() == 130
    finally:
        relay.close()


def test_a_server_that_went_away_is_waited_for(start: Start, tmp_path: Path) -> None:
    with notify_server(tmp_path) as (target, _):
        watch = start(target=target)
        watch.next("watching")
    while "refused" not in watch.next("lost")["why"]:
        pass
    assert watch.process.poll() is None
    assert watch.interrupt() == 130


REFUSED = (
    ({"where": "NOPE"}, "has no share 'NOPE' (STATUS_BAD_NETWORK_NAME)"),
    ({"where": "TEST/nope"}, "there is no directory 'nope'"),
    ({"where": "TEST/file"}, "is not a directory (STATUS_NOT_A_DIRECTORY)"),
    ({"port": 1}, "Connection refused"),
)


@pytest.mark.parametrize(("how", "said"), REFUSED)
def test_refusals_exit_3_with_their_cause(
    start: Start, root: Path, how: dict[str, Any], said: str
) -> None:
    (root / "file").touch()
    watch = start(**how)
    assert watch.process.wait(SOON) == 3
    assert said in watch.stderr()


def test_a_bad_password_is_tried_once(served: Target) -> None:
    relay = Relay(served.port)
    try:
        argv = [sys.executable, "-m", "lab.cli", "watch", f"//127.0.0.1:{relay.port}/TEST"]
        env = {**client_environment(), "LAB_WATCH_PASSWORD": "wrong"}
        done = subprocess.run(
            [*argv, "--user", served.user], env=env, capture_output=True, text=True, timeout=SOON
        )
        assert done.returncode == 3
        assert "STATUS_LOGON_FAILURE" in done.stderr
        assert "wrong" not in done.stderr
        assert relay.accepted == 1
    finally:
        relay.close()


@contextlib.contextmanager
def server(folder: Path, *words: str) -> Iterator[Target]:
    """notify_server with more options than the lab's own runs need, and a share that is mute."""
    share, config = folder / "share", folder / "notify_server.toml"
    share.mkdir()
    config.write_text(f'[share.MUTE]\npath = "{share}"\nnotify = false\n')
    argv = [sys.executable, "-m", "notify_server", "--config", str(config), "--share"]
    process = subprocess.Popen(
        [*argv, f"TEST={share}", "--user", "jo", "--listen", "127.0.0.1:0", *words],
        env={**client_environment(), "NOTIFY_SERVER_PASSWORD": "of-jo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        yield Target("py", "127.0.0.1", port, "TEST", "jo", "of-jo", share_root=str(share))
    finally:
        process.terminate()
        process.communicate(timeout=SOON)


def test_a_share_that_cannot_notify_is_asked_once(start: Start, tmp_path: Path) -> None:
    with server(tmp_path) as target:
        watch = start("--ladder", target=target, where="MUTE")
        assert watch.process.wait(SOON) == 3
        asked = [e for e in watch.rest() if e["command"] == "CHANGE_NOTIFY" and e["dir"] == "out"]
        assert len(asked) == 1
        said = watch.stderr()
        assert "cannot notify" in said
        assert "STATUS_NOT_" in said


def test_a_server_that_insists_on_encryption_is_obliged(start: Start, tmp_path: Path) -> None:
    with server(tmp_path, "--encryption", "required") as target:
        watch = start("--filter", "names", target=target)
        assert watch.next("watching")["cipher"] == "AES-128-GCM"
        (Path(target.share_root) / "a").touch()
        assert watch.change() == ("ADDED", "a")
        assert watch.interrupt() == 130


def test_the_deletion_of_the_directory_ends_it(start: Start, root: Path) -> None:
    (root / "dir").mkdir()
    watch = start(where="TEST/dir")
    watch.next("watching")
    (root / "dir").rmdir()
    assert watch.process.wait(SOON) == 3
    assert "'dir'" in watch.stderr()


def test_whoever_reads_may_go_away(start: Start, served: Target, root: Path) -> None:
    """`lab watch | head -1` ends at the next change, without a traceback."""
    reader, writer = os.pipe()
    argv = [sys.executable, "-m", "lab.cli", "watch", f"//127.0.0.1:{served.port}/TEST"]
    env = {**client_environment(), "LAB_WATCH_PASSWORD": served.password}
    process = subprocess.Popen(
        [*argv, "--user", served.user],
        env=env,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert process.stderr is not None
    assert "watching" in process.stderr.readline()
    os.close(reader)
    (root / "a").touch()
    _, said = process.communicate(timeout=SOON)
    assert process.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in said
