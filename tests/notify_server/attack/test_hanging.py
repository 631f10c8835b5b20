"""A file system that does not answer any more, as an NFS server that went away or a FUSE process
that is stuck: it costs those who use it, and nobody else. The threads are real."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from notify_server.aio import runner as aio_runner
from notify_server.aio.server import NotifyServer, Options, ShareOptions
from notify_server.fs.access import Credentials
from notify_server.fs.api import Feed
from notify_server.fs.detached import DetachedFeed, JointFeed
from notify_server.fs.local import LocalStore
from notify_server.notify.change import ChangesLost, Event
from tests.notify_server.aio.test_server import hub, running, within
from tests.notify_server.attack.test_resources import USERS, client
from tests.notify_server.core.talk import (
    CHANGE_NOTIFY,
    CLOSE,
    CREATE,
    ECHO,
    EMPTY,
    QUERY_DIRECTORY,
    QUERY_INFO,
    READ,
    Talk,
    close_body,
    create_body,
    notify_body,
    read_body,
    records,
)
from tests.notify_server.core.test_files import query_directory, query_info

pytestmark = pytest.mark.slow


class Stuck:
    """Calls of the stores in `root` that do not return before `release`, their locks held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.root = str(root)
        self.release = threading.Event()
        self.calls: set[str] = set()
        self.inside: list[str] = []
        for name in ("open", "attributes", "names", "watch", "close", "read"):
            monkeypatch.setattr(LocalStore, name, self._stuck(name, getattr(LocalStore, name)))

    def _stuck(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(store: LocalStore, *arguments: Any, **options: Any) -> Any:
            if store.root == self.root and name in self.calls:
                with store.files.lock:
                    self.inside.append(name)
                    self.release.wait(30)
            return original(store, *arguments, **options)

        return call


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    for name in ("far", "near"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * 50_000)
    stuck = Stuck(monkeypatch, tmp_path / "far")
    yield stuck
    stuck.release.set()


@contextmanager
def serving(tmp_path: Path) -> Iterator[NotifyServer]:
    shares = {
        "FAR": ShareOptions(tmp_path / "far", may_hang=True),
        "TEST": ShareOptions(tmp_path / "near"),
    }
    with running(NotifyServer(shares, USERS)) as server:
        yield server


def works(near: Talk, tmp_path: Path, name: str) -> None:
    """Everything that a client does on a share that is well."""
    near.park(near.open(""), tree=True)
    (tmp_path / "near" / name).touch()
    assert records(near.take()[0]) == [(1, name)]
    opened = near.open("file")
    assert near.call(READ, read_body(opened, 0, 50_000)).status == 0
    listing = near.call(QUERY_DIRECTORY, query_directory(near.open("")))
    assert name.encode("utf-16-le") in listing.raw


@pytest.mark.parametrize("call", ["open", "attributes", "names", "watch", "close", "read"])
def test_a_call_that_hangs_stalls_nobody_on_another_share(
    call: str, stuck: Stuck, tmp_path: Path
) -> None:
    with serving(tmp_path) as server, client(server) as far, client(server) as near:
        far.connect_tree("FAR")
        directory, opened = far.open(""), far.open("file")
        stuck.calls = {call}
        requests = {
            "open": (CREATE, create_body("file")),
            "attributes": (QUERY_INFO, query_info(opened, 4)),
            "names": (QUERY_DIRECTORY, query_directory(directory)),
            "watch": (CHANGE_NOTIFY, notify_body(directory)),
            "close": (CLOSE, close_body(opened)),
            "read": (READ, read_body(opened, 0, 10)),
        }
        far.send(*requests[call])
        within(3, lambda: stuck.inside)
        works(near, tmp_path, "one")
        assert far.call(ECHO, EMPTY).command == ECHO, "and its own connection lives"
        works(near, tmp_path, "two")
        stuck.release.set()
        assert far.take()[0].command == requests[call][0]


def test_however_many_hang(stuck: Stuck, tmp_path: Path) -> None:
    """More connections than threads, each with more requests than its share of them."""
    with serving(tmp_path) as server, ExitStack() as stack:
        near = stack.enter_context(client(server))
        many = [stack.enter_context(client(server)) for _ in range(6)]
        for talk in many:
            talk.connect_tree("FAR")
        stuck.calls = {"open"}
        for talk in many:
            for _ in range(8):
                talk.send(CREATE, create_body("file"))
        within(3, lambda: stuck.inside)
        works(near, tmp_path, "one")
        stuck.release.set()
        for talk in many:
            assert [talk.take()[0].status for _ in range(8)] == [0] * 8


def test_who_watches_a_share_that_hangs_is_told_of_changes_all_the_same(
    stuck: Stuck, tmp_path: Path
) -> None:
    with serving(tmp_path) as server, client(server) as far, client(server) as other:
        for talk in (far, other):
            talk.connect_tree("FAR")
        far.park(far.open(""), tree=True)
        stuck.calls = {"open"}
        other.send(CREATE, create_body("file"))
        within(3, lambda: stuck.inside)
        (tmp_path / "far" / "new").touch()
        assert records(far.take()[0]) == [(1, "new")]
        stuck.release.set()


def test_changes_on_a_share_that_may_hang_are_told_once_and_in_order(
    stuck: Stuck, tmp_path: Path
) -> None:
    """Made over SMB and beside, on it and on another share, with everything well."""
    with serving(tmp_path) as server, client(server) as far, client(server) as near:
        far.connect_tree("FAR")
        watched = far.open("")
        far.park(watched, tree=True, mask=3)
        names = []
        for number in range(20):
            (tmp_path / "near" / f"n{number}").touch()
            if number % 2:
                (tmp_path / "far" / f"f{number}").touch()
            else:
                other = far.call(CREATE, create_body(f"f{number}", disposition=2))
                while other.command != CREATE:
                    names += [name for _, name in records(other)]
                    far.send(CHANGE_NOTIFY, notify_body(watched, tree=True))
                    (other,) = far.take()
        deadline = time.monotonic() + 5
        far.send(CHANGE_NOTIFY, notify_body(watched, tree=True))
        while len(names) < 20 and time.monotonic() < deadline:
            for answer in far.take():
                if answer.command == CHANGE_NOTIFY and answer.status == 0:
                    names += [name for _, name in records(answer)]
                    far.send(CHANGE_NOTIFY, notify_body(watched, tree=True))
        assert names == [f"f{number}" for number in range(20)]
        assert near.call(ECHO, EMPTY).status == 0


def test_a_server_whose_files_hang_stops(
    stuck: Stuck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio_runner, "_PATIENCE", 0.3)
    with serving(tmp_path) as server, client(server) as far:
        far.connect_tree("FAR")
        stuck.calls = {"open"}
        far.send(CREATE, create_body("file"))
        within(3, lambda: stuck.inside)
        began = time.monotonic()
    assert not stuck.release.is_set()
    assert time.monotonic() - began < 5


def test_local_shares_are_not_kept_apart(tmp_path: Path) -> None:
    with running(NotifyServer({"TEST": ShareOptions(tmp_path, may_hang=False)}, USERS)) as server:
        assert hub(server).core.config.shares["test"].may_hang is False
        assert not isinstance(hub(server).feed, JointFeed)


def test_who_hears_not_of_everything_cannot_watch_a_tree_that_may_hang(tmp_path: Path) -> None:
    """Whether a user may list a directory is asked for each change, where all are served."""
    options = Options(credentials={"tester": Credentials(12345, 12345)})
    tmp_path.chmod(0o755)
    share = ShareOptions(tmp_path, may_hang=True)
    with (
        running(NotifyServer({"TEST": share}, USERS, options=options)) as server,
        client(server) as talk,
    ):
        opened = talk.open("", access=0x00100081)
        refused = talk.call(CHANGE_NOTIFY, notify_body(opened, tree=True))
        assert refused.status == 0xC0000002
        talk.park(opened)


# --- the feed -------------------------------------------------------------------------------


class SlowFeed(Feed):
    """Drains what a test put in, when it is let."""

    name = "slow"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.read, self.write = os.pipe()
        self.let = threading.Event()
        self.let.set()
        self.fails = False

    def fileno(self) -> int:
        return self.read

    def put(self, event: Event) -> None:
        self.events.append(event)
        os.write(self.write, b"x")

    def drain(self) -> list[Event]:
        self.let.wait(20)
        if self.fails:
            self.fails = False
            raise OSError("for the test")
        events, self.events = self.events, []
        if events:
            os.read(self.read, 100)
        return events

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


def readable(feed: Feed) -> bool:
    return bool(select.select([feed.fileno()], [], [], 3)[0])


def test_what_a_detached_feed_has_is_taken_without_waiting() -> None:
    inner, first = SlowFeed(), SlowFeed()
    detached = DetachedFeed(inner)
    joint = JointFeed(first, [detached])
    inner.put(ChangesLost("/a"))
    assert readable(joint)
    assert joint.drain() == [ChangesLost("/a")]
    inner.let.clear()
    inner.put(ChangesLost("/b"))
    first.put(ChangesLost("/c"))
    began = time.monotonic()
    assert readable(joint)
    assert joint.drain() == [ChangesLost("/c")]
    assert time.monotonic() - began < 1
    inner.let.set()
    assert readable(joint)
    assert joint.drain() == [ChangesLost("/b")]
    assert not select.select([joint.fileno()], [], [], 0)[0], "nothing keeps the loop awake"
    joint.close()


def test_a_detached_feed_that_fails_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify_server.fs.detached._PAUSE", 0.05)
    inner = SlowFeed()
    detached = DetachedFeed(inner)
    inner.fails = True
    inner.put(ChangesLost("/a"))
    got: list[Event] = []
    while len(got) < 2:
        assert readable(detached)
        got += detached.drain()
    assert got == [ChangesLost(), ChangesLost("/a")]
    detached.close()


def test_a_detached_feed_that_hangs_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify_server.fs.detached._PATIENCE", 0.05)
    inner = SlowFeed()
    detached = DetachedFeed(inner)
    inner.let.clear()
    inner.put(ChangesLost("/a"))
    time.sleep(0.05)
    detached.close()
    inner.let.set()
