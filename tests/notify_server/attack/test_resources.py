"""What one client does must not cost the others: memory, threads, time, descriptors."""

from __future__ import annotations

import logging
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from notify_server.aio import protocol
from notify_server.aio import server as aio_server
from notify_server.aio.command import CommandError, parse
from notify_server.aio.server import NotifyServer, Options
from notify_server.auth.ntlm import nt_hash
from notify_server.core.config import Bounds
from notify_server.fs.api import FeedBounds
from notify_server.fs.feed import ChangeFeed
from notify_server.fs.local import LocalStore
from tests.notify_server.aio.test_server import hub, running, within
from tests.notify_server.core.talk import (
    CHANGE_NOTIFY,
    ECHO,
    EMPTY,
    READ,
    SESSION_SETUP,
    WRITE,
    Talk,
    World,
    notify_body,
    read_body,
    write_body,
)

pytestmark = pytest.mark.slow

USERS = {"tester": "secret"}
PASSWORD = "Correct-Horse-7"
ENUM_DIR = 0x10C


class Wire:
    """What a `Talk` takes for a connection of the core: here a socket."""

    closing = False

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=10)

    def receive(self, data: bytes, now: float) -> None:
        self.sock.sendall(data)

    def take_output(self) -> list[bytes]:
        """One frame."""
        head = self._exactly(4)
        return [head + self._exactly(int.from_bytes(head, "big"))]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            assert more, "the server closed the connection"
            data += more
        return data


@contextmanager
def client(server: NotifyServer, password: str = "secret", **options: Any) -> Iterator[Talk]:
    wire = Wire(server.address)
    talk = Talk(SimpleNamespace(server=SimpleNamespace(connect=lambda _: wire)), **options)  # type: ignore[arg-type]
    try:
        talk.negotiate()
        talk.log_on("tester", password)
        talk.connect_tree()
        yield talk
    finally:
        wire.sock.close()


def unsent(server: NotifyServer) -> int:
    transports = [peer.transport for peer in hub(server).protocols]
    return sum(t.get_write_buffer_size() for t in transports if t is not None)


def flood(server: NotifyServer, talk: Talk) -> None:
    """Requests with large answers, of which none is read, until the server has enough."""
    file_id = talk.open("page")
    talk.call(ECHO, EMPTY, credits=8000)
    messages = [talk.request(READ, read_body(file_id, 0, 4096), sign=False) for _ in range(6000)]
    sock = talk.connection.sock  # type: ignore[attr-defined]
    sock.sendall(b"".join(len(m).to_bytes(4, "big") + m for m in messages))
    within(3, lambda: unsent(server) > 1 << 16)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "page").write_bytes(bytes(4096))
    return tmp_path


def test_a_client_that_does_not_read_is_not_read_from(page: Path) -> None:
    """Of 24 MiB of answers only those to what was read at once are there."""
    with running(NotifyServer({"TEST": page}, USERS)) as server, client(server) as talk:
        flood(server, talk)
        time.sleep(0.2)
        assert unsent(server) < 12 << 20


def test_answers_that_nobody_takes_are_not_made(tmp_path: Path) -> None:
    """64 MiB are asked for at once and read late: neither held in memory nor refused."""
    (tmp_path / "big").write_bytes(bytes(1 << 20))
    with running(NotifyServer({"TEST": tmp_path}, USERS)) as server, client(server) as talk:
        file_id = talk.open("big")
        for _ in range(3):
            talk.call(ECHO, EMPTY, credits=1000)
        for _ in range(64):
            talk.send(READ, read_body(file_id, 0, 1 << 20), charge=16)
        time.sleep(0.3)
        assert unsent(server) < 16 << 20
        answers = [talk.take()[0] for _ in range(64)]
        assert [(a.status, len(a.body)) for a in answers] == [(0, 16 + (1 << 20))] * 64


def test_what_is_sent_while_jobs_wait_is_not_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MiB of WRITEs to a disk that hangs: a few are in memory, the rest is with the client."""
    release, original = threading.Event(), LocalStore.write

    def write(self: LocalStore, handle: Any, offset: int, data: bytes) -> int:
        release.wait(20)
        return original(self, handle, offset, data)

    monkeypatch.setattr(LocalStore, "write", write)
    options = Options(bounds=Bounds(held=4 << 20))
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS, options=options)) as server,
        client(server) as talk,
    ):
        file_id = talk.open("file", disposition=3)
        for _ in range(3):
            talk.call(ECHO, EMPTY, credits=1000)
        data = bytes(1 << 20)

        def flood() -> None:
            for _ in range(64):
                talk.send(WRITE, write_body(file_id, 0, data), charge=16)

        sender = threading.Thread(target=flood)
        sender.start()
        within(5, lambda: hub(server).core.held > 4 << 20)
        time.sleep(0.3)
        assert hub(server).core.held < 8 << 20
        assert sender.is_alive()
        release.set()
        assert [talk.take()[0].status for _ in range(64)] == [0] * 64
        sender.join(5)
        assert hub(server).core.held == 0


def test_incomplete_frames_of_all_connections_are_bounded() -> None:
    world = World(config={"bounds": Bounds(all_held=100_000)})
    one, other = world.ready(), world.ready()
    head = (200_000).to_bytes(4, "big")
    one.connection.receive(head + bytes(60_000), 1.0)
    assert (one.connection.held, world.server.held) == (60_004, 60_004)
    for _ in range(3):
        other.connection.receive(head[: 4 if not other.connection.held else 0] + bytes(9_000), 1.0)
    assert not other.closed
    one.connection.receive(bytes(20_000), 1.0)
    assert one.closed
    one.connection.lost(1.0)
    assert world.server.held == other.connection.held == 27_004
    other.connection.receive(bytes(200_000 - 27_000), 1.0)  # complete, and nonsense
    assert other.closed
    assert world.server.held == 0


def test_who_does_not_read_the_end_is_cut_off(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_LINGER", 0.1)
    with running(NotifyServer({"TEST": page}, USERS)) as server, client(server) as talk:
        flood(server, talk)
        (peer,) = hub(server).protocols

        def end() -> None:
            assert peer.connection is not None
            peer.connection.disconnect("for the test")
            hub(server).flush()

        hub(server).loop.call_soon_threadsafe(end)
        within(3, lambda: not hub(server).protocols)


def test_blocked_jobs_of_one_connection_leave_threads_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, blocked = threading.Event(), []
    original = LocalStore.read

    def read(self: LocalStore, handle: Any, offset: int, length: int) -> bytes:
        if handle.path == "slow":
            blocked.append(1)
            release.wait(10)
        return original(self, handle, offset, length)

    monkeypatch.setattr(LocalStore, "read", read)
    for name in ("slow", "quick"):
        (tmp_path / name).write_bytes(bytes(50_000))
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS)) as server,
        client(server) as slow,
        client(server) as quick,
    ):
        try:
            file_id = slow.open("slow")
            for _ in range(20):
                slow.send(READ, read_body(file_id, 0, 50_000))
            within(3, lambda: len(blocked) == Options().threads // 2)
            other = quick.open("quick")
            assert quick.call(READ, read_body(other, 0, 50_000)).status == 0
            quick.park(quick.open(""), tree=True)
            (tmp_path / "new").touch()
            assert quick.take()[0].command == CHANGE_NOTIFY
        finally:
            release.set()
        assert [slow.take()[0].status for _ in range(20)] == [0] * 20


def test_jobs_of_a_connection_that_is_gone_are_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, count = threading.Event(), []
    original = LocalStore.read

    def read(self: LocalStore, handle: Any, offset: int, length: int) -> bytes:
        count.append(1)
        release.wait(10)
        return original(self, handle, offset, length)

    monkeypatch.setattr(LocalStore, "read", read)
    (tmp_path / "file").write_bytes(bytes(50_000))
    with running(NotifyServer({"TEST": tmp_path}, USERS)) as server:
        with client(server) as talk:
            file_id = talk.open("file")
            for _ in range(20):
                talk.send(READ, read_body(file_id, 0, 50_000))
            within(3, lambda: len(count) >= 4)
        within(3, lambda: not hub(server).protocols)
        release.set()
        within(3, lambda: not hub(server).runner._common._shares)
        assert len(count) == 4


def test_a_feed_that_fails_is_no_silence_and_no_busy_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio_server, "_FEED_PAUSE", 0.2)
    with running(NotifyServer({"TEST": tmp_path}, USERS)) as server, client(server) as talk:
        talk.park(talk.open(""))
        calls: list[float] = []

        def drain(self: ChangeFeed) -> list[Any]:
            calls.append(time.monotonic())
            raise OSError("for the test")

        with monkeypatch.context() as broken:
            broken.setattr(ChangeFeed, "drain", drain)
            (tmp_path / "new").touch()
            assert talk.take()[0].status == ENUM_DIR
            time.sleep(0.5)
            assert len(calls) < 6
        talk.park(talk.open(""))
        (tmp_path / "newer").touch()
        assert talk.take()[0].status in (0, ENUM_DIR)


@pytest.mark.parametrize("feed_bounds", [FeedBounds(), FeedBounds(directories=1)])
def test_an_idle_server_uses_no_cpu(tmp_path: Path, feed_bounds: FeedBounds) -> None:
    """With a watch parked, after changes, with and without one that cannot be had."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    options = Options(watch_source="inotify", feed_bounds=feed_bounds)
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS, options=options)) as server,
        client(server) as talk,
    ):
        talk.send(CHANGE_NOTIFY, notify_body(talk.open("a\\b"), tree=True))
        talk.take()
        (tmp_path / "a" / "b" / "new").touch()
        (tmp_path / "a" / "b").rename(tmp_path / "c")
        time.sleep(0.2)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.1


def test_a_frame_before_the_logon_is_short(tmp_path: Path) -> None:
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS)) as server,
        socket.create_connection(server.address, timeout=5) as sock,
    ):
        sock.sendall((70_000).to_bytes(4, "big"))
        assert sock.recv(1) == b""


def test_a_parked_watch_is_small() -> None:
    world = World(config={"bounds": Bounds(parked=1000)})
    talk = world.ready()
    for _ in range(20):
        talk.park(talk.open(""))
    count = 400
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count):
            talk.park(talk.open(""))
        each = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    assert each < 4096


def test_no_secret_is_logged_at_any_level(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    verifier = nt_hash(PASSWORD)
    with running(NotifyServer({"TEST": tmp_path}, {"tester": PASSWORD})) as server:
        keys = []
        with client(server, PASSWORD, ciphers=(2,)) as talk:
            keys += [talk.key, *talk.seal_keys]
            talk.seal = True
            talk.park(talk.open(""))
            (session,) = hub(server).core.sessions.values()
            assert session.keys is not None
            keys += [session.keys.signing, session.keys.encryption, session.keys.decryption]
            # Not written today; but should somebody, it must not tell.
            logging.getLogger("notify_server").debug("%r %r", session, session.keys)
        wire = Wire(server.address)
        failing = Talk(SimpleNamespace(server=SimpleNamespace(connect=lambda _: wire)))  # type: ignore[arg-type]
        failing.negotiate()
        assert failing.log_on("tester", PASSWORD + "x").status == 0xC000006D
        wire.sock.close()
    text = caplog.text
    assert "logon refused" in text
    for secret in [PASSWORD.encode(), verifier, *keys]:
        for form in (repr(secret)[2:-1], secret.hex(), secret.hex().upper()):
            assert form not in text


def test_a_long_user_name_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    talk = World().talk()
    talk.negotiate()
    token = b"NTLMSSP\0\1\0\0\0" + struct.pack("<I", 0x00088215) + bytes(16)
    answer = talk.call(SESSION_SETUP, talk.setup_body(token))
    user = ("x" * 30_000).encode("utf-16-le")
    fields = b"".join(struct.pack("<HHI", size, size, 64) for size in (0, 0, 0, len(user), 0, 0))
    token = b"NTLMSSP\0\3\0\0\0" + fields + struct.pack("<I", 0x00088215) + user
    talk.session_id = answer.session_id
    assert talk.call(SESSION_SETUP, talk.setup_body(token)).status == 0xC000006D
    assert len(caplog.text) < 1000


def test_the_process_takes_all_descriptors_that_it_may_have(tmp_path: Path) -> None:
    environ = {**os.environ, "NOTIFY_SERVER_PASSWORD": PASSWORD}
    argv = [sys.executable, "-m", "notify_server", "--share", f"TEST={tmp_path}"]
    argv += ["--user", "tester", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -Sn 256 && exec "$@"', "sh", *argv],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on ")
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] > 256
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()


def test_a_password_file_that_is_no_text_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfePASS")
    file.chmod(0o600)
    argv = ["--share", f"TEST={tmp_path}", "--user", "tester", "--password-file", str(file)]
    with pytest.raises(CommandError, match="UTF-8") as caught:
        parse(argv, {})
    assert "PASS" not in str(caught.value)
