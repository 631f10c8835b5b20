"""The server on real sockets and a real directory, with clients that nobody here wrote."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from impacket.smbconnection import SMBConnection
from smbprotocol.change_notify import (
    ChangeNotifyFlags,
    CompletionFilter,
    FileSystemWatcher,
)
from smbprotocol.connection import Connection, Dialects
from smbprotocol.exceptions import SMBException
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    DirectoryAccessMask,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    Open,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from notify_server.aio.server import Hub, NotifyServer, Options
from notify_server.aio.shares import ShareOptions
from notify_server.core.config import Bounds, Encryption
from notify_server.fs.local import LocalStore

T = TypeVar("T")
USERS = {"tester": "secret"}


@contextmanager
def running(server: NotifyServer) -> Iterator[NotifyServer]:
    """Run a server in a thread of its own, so that blocking clients can be used here."""
    started = threading.Event()
    failure: list[BaseException] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await stop.wait()

    def work() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            failure.append(error)
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(10)
    try:
        if failure:
            raise failure[0]
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
        assert not thread.is_alive()


def within(seconds: float, condition: Callable[[], T]) -> T:
    """Wait until `condition` is true; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
    return value


def hub(server: NotifyServer) -> Hub:
    assert server._hub is not None
    return server._hub


@contextmanager
def smb(
    server: NotifyServer, dialect: int = Dialects.SMB_3_1_1, *, seal: bool = False
) -> Iterator[TreeConnect]:
    host, port = server.address
    connection = Connection(uuid.uuid4(), host, port, require_signing=True)
    connection.connect(dialect, timeout=10)
    session = Session(connection, "tester", "secret", require_encryption=seal)
    session.connect()
    tree = TreeConnect(session, rf"\\{host}\TEST")
    tree.connect()
    try:
        yield tree
    finally:
        connection.disconnect(close=False)


def directory(tree: TreeConnect, name: str = "") -> Open:
    opened = Open(tree, name)
    opened.create(
        ImpersonationLevel.Impersonation,
        DirectoryAccessMask.FILE_LIST_DIRECTORY,
        0,
        7,
        CreateDisposition.FILE_OPEN_IF,
        CreateOptions.FILE_DIRECTORY_FILE,
    )
    return opened


def file(tree: TreeConnect, name: str, options: int = 0) -> Open:
    opened = Open(tree, name)
    opened.create(
        ImpersonationLevel.Impersonation,
        FilePipePrinterAccessMask.GENERIC_ALL | FilePipePrinterAccessMask.DELETE,
        0,
        7,
        CreateDisposition.FILE_OPEN_IF,
        CreateOptions.FILE_NON_DIRECTORY_FILE | options,
    )
    return opened


def watch(opened: Open, *, tree: bool = False) -> FileSystemWatcher:
    """A parked CHANGE_NOTIFY; returns once the interim response is here."""
    watcher = FileSystemWatcher(opened)
    watcher.start(
        CompletionFilter.FILE_NOTIFY_CHANGE_FILE_NAME,
        flags=ChangeNotifyFlags.SMB2_WATCH_TREE if tree else 0,
    )
    within(5, lambda: watcher._request.async_id is not None)
    return watcher


def result(watcher: FileSystemWatcher) -> list[tuple[int, str]]:
    within(5, watcher.response_event.is_set)
    return [
        (entry["action"].get_value(), entry["file_name"].get_value()) for entry in watcher.result
    ]


DIALECTS = [
    Dialects.SMB_2_0_2,
    Dialects.SMB_2_1_0,
    Dialects.SMB_3_0_0,
    Dialects.SMB_3_0_2,
    Dialects.SMB_3_1_1,
]


@pytest.mark.parametrize(
    ("dialect", "seal"), [*((d, False) for d in DIALECTS), *((d, True) for d in DIALECTS[2:])]
)
def test_smbprotocol_works_on_files_and_watches(tmp_path: Path, dialect: int, seal: bool) -> None:
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS)) as server,
        smb(server, dialect, seal=seal) as tree,
    ):
        watcher = watch(directory(tree), tree=True)
        opened = file(tree, "file")
        assert opened.write(b"x" * 60000, 0) == 60000
        assert opened.read(0, 60000) == b"x" * 60000
        opened.flush()
        opened.close()
        assert result(watcher) == [(1, "file")]
        assert (tmp_path / "file").read_bytes() == b"x" * 60000
        (tmp_path / "sub").mkdir()
        watcher = watch(directory(tree), tree=True)
        (tmp_path / "sub" / "beside").touch()
        assert result(watcher) == [(1, "sub\\beside")]


@pytest.mark.parametrize("dialect", [0x0202, 0x0210, 0x0300, 0x0311])
def test_impacket_works_on_files(tmp_path: Path, dialect: int) -> None:
    with running(NotifyServer({"TEST": tmp_path}, USERS)) as server:
        host, port = server.address
        client = SMBConnection(host, host, sess_port=port, preferredDialect=dialect, timeout=10)
        client.login("tester", "secret")
        data = bytes(range(256)) * 1000
        client.createDirectory("TEST", "dir")
        client.putFile("TEST", "dir\\file", io.BytesIO(data).read)
        got = io.BytesIO()
        client.getFile("TEST", "dir\\file", got.write)
        assert got.getvalue() == data
        client.rename("TEST", "dir\\file", "dir\\other")
        names = [entry.get_longname() for entry in client.listPath("TEST", "dir\\*")]
        assert names == [".", "..", "other"]
        client.deleteFile("TEST", "dir\\other")
        client.deleteDirectory("TEST", "dir")
        assert list(tmp_path.iterdir()) == []
        client.logoff()


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    with running(NotifyServer({"TEST": tmp_path}, USERS)) as server:
        host, port = server.address
        connection = Connection(uuid.uuid4(), host, port)
        connection.connect()
        with pytest.raises(SMBException):
            Session(connection, "tester", "wrong").connect()
        connection.disconnect(close=False)


def test_users_may_be_given_as_nt_hashes(tmp_path: Path) -> None:
    verifier = bytes.fromhex("878d8014606cda29677a44efa1353fc7")  # of "secret"
    with running(NotifyServer({"TEST": tmp_path}, {"Tester": verifier})) as server, smb(server):
        pass


def test_stopping_tells_the_watchers(tmp_path: Path) -> None:
    server = NotifyServer({"TEST": tmp_path}, USERS)
    with running(server):
        host, port = server.address
        connection = Connection(uuid.uuid4(), host, port, require_signing=True)
        connection.connect()
        session = Session(connection, "tester", "secret", require_encryption=False)
        session.connect()
        tree = TreeConnect(session, rf"\\{host}\TEST")
        tree.connect()
        watcher = watch(directory(tree))
    # The watcher itself may rather complain that the connection is closed, which it is by now.
    cleanup = 0x10B
    within(5, lambda: watcher._request.response["status"].get_value() == cleanup)
    connection.disconnect(close=False)


def test_slow_file_work_does_not_keep_notifies_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A READ that hangs in the kernel: another connection's notify and ECHO go on."""
    release = threading.Event()
    reading = threading.Event()
    original = LocalStore.read

    def read(self: LocalStore, handle: Any, offset: int, length: int) -> bytes:
        reading.set()
        release.wait(10)
        return original(self, handle, offset, length)

    monkeypatch.setattr(LocalStore, "read", read)
    (tmp_path / "big").write_bytes(b"x" * 50000)
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS)) as server,
        smb(server) as slow,
        smb(server) as quick,
    ):
        opened = file(slow, "big")
        reader = threading.Thread(target=lambda: opened.read(0, 50000))
        reader.start()
        assert reading.wait(5)
        watcher = watch(directory(quick))
        (tmp_path / "new").touch()
        assert result(watcher) == [(1, "new")]
        assert reader.is_alive()
        release.set()
        reader.join(5)


@pytest.mark.slow
def test_with_inline_jobs_off_no_store_call_runs_on_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    original = LocalStore.open

    def recording(self: LocalStore, request: Any) -> Any:
        threads.add(threading.current_thread().name)
        return original(self, request)

    monkeypatch.setattr(LocalStore, "open", recording)
    options = Options(inline_jobs=False)
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS, options=options)) as server,
        smb(server) as tree,
    ):
        watcher = watch(directory(tree))
        file(tree, "new").close()
        assert result(watcher) == [(1, "new")]
    assert threads
    assert all(name.startswith("notify-job") for name in threads)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 5)


def test_who_does_not_log_on_in_time_is_disconnected(tmp_path: Path) -> None:
    async def body() -> None:
        options = Options(bounds=Bounds(authentication_seconds=0.1))
        async with NotifyServer({"TEST": tmp_path}, USERS, options=options) as server:
            reader, writer = await asyncio.open_connection(*server.address)
            assert await read_all(reader) == b""
            writer.close()

    asyncio.run(body())


@pytest.mark.slow
def test_who_logged_off_and_stays_is_disconnected(tmp_path: Path) -> None:
    options = Options(bounds=Bounds(authentication_seconds=1.0))
    with running(NotifyServer({"TEST": tmp_path}, USERS, options=options)) as server:
        host, port = server.address
        connection = Connection(uuid.uuid4(), host, port)
        connection.connect(timeout=10)
        session = Session(connection, "tester", "secret")
        session.connect()
        time.sleep(1.3)
        assert hub(server).protocols
        session.disconnect(close=False)
        within(5, lambda: not hub(server).protocols)
        connection.disconnect(close=False)


@pytest.mark.parametrize(("seconds", "idle"), [(120.0, 60), (1.0, 1), (1e9, 32767)])
def test_the_kernel_looks_whether_the_peer_is_there(
    tmp_path: Path, seconds: float, idle: int
) -> None:
    """Somebody who watches, and whose machine loses its power, would stay for ever."""
    options = Options(bounds=Bounds(peer_seconds=seconds))
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS, options=options)) as server,
        socket.create_connection(server.address),
    ):
        (peer,) = within(3, lambda: list(hub(server).protocols))
        assert peer.transport is not None
        sock = peer.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle


def test_too_many_connections_are_closed_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        options = Options(bounds=Bounds(connections=1))
        async with NotifyServer({"TEST": tmp_path}, USERS, options=options) as server:
            _first, keep = await asyncio.open_connection(*server.address)
            second, writer = await asyncio.open_connection(*server.address)
            with suppress(ConnectionResetError):
                assert await read_all(second) == b""
            writer.close()
            keep.close()

    asyncio.run(body())


def test_what_is_no_smb_is_disconnected(tmp_path: Path) -> None:
    async def body() -> None:
        async with NotifyServer({"TEST": tmp_path}, USERS) as server:
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await read_all(reader) == b""
            writer.close()

    asyncio.run(body())


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with NotifyServer({"TEST": tmp_path}, USERS) as first:
            second = NotifyServer({"TEST": tmp_path}, USERS, listen=first.address)
            with pytest.raises(OSError, match="in use"):
                await second.start()
            with pytest.raises(RuntimeError):
                _ = second.address

    asyncio.run(body())


def test_required_encryption(tmp_path: Path) -> None:
    options = Options(encryption=Encryption.REQUIRED)
    with running(NotifyServer({"TEST": tmp_path}, USERS, options=options)) as server:
        with smb(server, seal=True) as tree:
            file(tree, "sealed").close()
        with pytest.raises(SMBException), smb(server, Dialects.SMB_2_1_0):
            pass


def test_shares_are_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    shares = {"A": tmp_path / "a", "TEST": ShareOptions(tmp_path / "b", read_only=True)}
    with (
        running(NotifyServer(shares, USERS)) as server,
        smb(server) as tree,
        pytest.raises(SMBException),
    ):
        file(tree, "new")
