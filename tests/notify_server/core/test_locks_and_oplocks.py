"""Byte-range locks and oplocks: conflicts, waiting, breaking, and what ends the waiting."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from notify_server.core.config import Bounds, Share
from notify_server.core.server import InlineRunner
from notify_server.fs.api import FeedBounds
from notify_server.fs.local import LocalStore
from notify_server.fs.opens import OpenFiles
from notify_server.fs.sources import open_feed
from notify_server.wire.status import NtStatus
from tests.notify_server.core.talk import (
    ASYNC,
    CANCEL,
    CLOSE,
    CREATE,
    ECHO,
    EMPTY,
    LOCK,
    LOGOFF,
    OPLOCK_BREAK,
    READ,
    RELATED,
    SET_INFO,
    TREE_DISCONNECT,
    WRITE,
    Answer,
    LaterRunner,
    Talk,
    World,
    close_body,
    create_body,
    lock_body,
    read_body,
    write_body,
)

SHARED, EXCLUSIVE, UNLOCK, AT_ONCE = 1, 2, 4, 16
NOT_GRANTED, CONFLICT, NOT_LOCKED = 0xC0000055, 0xC0000054, 0xC000007E
PENDING, CANCELLED = 0x103, 0xC0000120
APPEND = (1 << 64) - 1
NONE, LEVEL_II, EXCLUSIVE_OPLOCK, BATCH = 0, 1, 8, 9


def two(data: bytes = b"x" * 100) -> tuple[World, Talk, bytes, Talk, bytes]:
    """Two clients with the same file open."""
    world = World()
    world.store.make("f", data)
    first, second = world.ready(), world.ready()
    return world, first, first.open("f"), second, second.open("f")


def lock(talk: Talk, file_id: bytes, *elements: tuple[int, int, int]) -> int:
    return talk.call(LOCK, lock_body(file_id, *elements)).status


# --- Locks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "wanted", "status"),
    [
        (SHARED, SHARED, 0),
        (SHARED, EXCLUSIVE, NOT_GRANTED),
        (EXCLUSIVE, SHARED, NOT_GRANTED),
        (EXCLUSIVE, EXCLUSIVE, NOT_GRANTED),
    ],
)
def test_exclusive_locks_exclude(held: int, wanted: int, status: int) -> None:
    _world, first, a, second, b = two()
    assert lock(first, a, (0, 10, held | AT_ONCE)) == 0
    assert lock(second, b, (5, 10, wanted | AT_ONCE)) == status
    assert lock(second, b, (10, 10, wanted | AT_ONCE)) == 0


def test_locks_are_mandatory() -> None:
    _world, first, a, second, b = two()
    lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE))
    lock(first, a, (20, 10, SHARED | AT_ONCE))
    assert second.call(READ, read_body(b, 5, 1)).status == CONFLICT
    assert second.call(READ, read_body(b, 10, 15)).status == 0
    assert second.call(WRITE, write_body(b, 25, b"y")).status == CONFLICT
    assert first.call(READ, read_body(a, 5, 1)).status == 0
    assert first.call(WRITE, write_body(a, 25, b"y")).status == CONFLICT


@pytest.mark.parametrize(("start", "status"), [(100, CONFLICT), (101, 0), (50, 0)])
def test_an_append_is_kept_from_what_is_locked_beyond_the_end(start: int, status: int) -> None:
    world, first, a, second, b = two()
    assert lock(first, a, (start, 1, EXCLUSIVE | AT_ONCE)) == 0
    assert second.call(WRITE, write_body(b, APPEND, b"y")).status == status
    assert len(world.store.nodes["f"].data) == (100 if status else 101)
    assert first.call(WRITE, write_body(a, APPEND, b"z")).status == 0


def test_unlocking_needs_the_exact_range() -> None:
    _world, first, a, _second, _b = two()
    lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE))
    assert lock(first, a, (0, 9, UNLOCK)) == NOT_LOCKED
    assert lock(first, a, (0, 10, UNLOCK)) == 0
    assert lock(first, a, (0, 10, UNLOCK)) == NOT_LOCKED


def test_several_locks_are_taken_together_or_not_at_all() -> None:
    _world, first, a, second, b = two()
    lock(first, a, (50, 1, EXCLUSIVE | AT_ONCE))
    elements = (0, 10, EXCLUSIVE | AT_ONCE), (50, 1, SHARED | AT_ONCE)
    assert lock(second, b, *elements) == NOT_GRANTED
    assert lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE)) == 0


def test_what_is_undone_of_several_locks_is_no_older_one() -> None:
    _world, first, a, second, b = two()
    lock(first, a, (50, 1, EXCLUSIVE | AT_ONCE))
    lock(second, b, (0, 10, SHARED | AT_ONCE))
    elements = (0, 10, SHARED | AT_ONCE), (50, 1, SHARED | AT_ONCE)
    assert lock(second, b, *elements) == NOT_GRANTED
    assert lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE)) == NOT_GRANTED
    assert lock(second, b, (0, 10, UNLOCK)) == 0
    assert lock(second, b, (0, 10, UNLOCK)) == NOT_LOCKED


def test_locks_are_found_by_the_name_that_was_opened() -> None:
    """A stream may be renamed while its bytes are locked."""
    _world, first, a, second, b = two()
    lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE))
    for opened in first.connection.sessions[first.session_id].opens.values():
        opened.handle.path = "f:renamed"
    first.call(CLOSE, close_body(a))
    assert lock(second, b, (0, 10, EXCLUSIVE | AT_ONCE)) == 0


@pytest.mark.parametrize(
    "element",
    [
        (0, 1, 0), (0, 1, SHARED | EXCLUSIVE), (0, 1, 0x40), (0, 1, SHARED | UNLOCK),
    ],
)  # fmt: skip
def test_flags_that_mean_nothing_are_invalid(element: tuple[int, int, int]) -> None:
    _world, first, a, _second, _b = two()
    assert lock(first, a, (element)) == 0xC000000D


def test_a_range_beyond_the_last_byte_is_no_range() -> None:
    _world, first, a, _second, _b = two()
    assert lock(first, a, (2**64 - 1, 2, EXCLUSIVE | AT_ONCE)) == 0xC00001A1
    assert lock(first, a, (2**64 - 1, 1, EXCLUSIVE | AT_ONCE)) == 0


def waiting() -> tuple[Talk, bytes, Talk, bytes, int]:
    _world, first, a, second, b = two()
    lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE))
    interim = second.call(LOCK, lock_body(b, (0, 1, EXCLUSIVE)))
    assert interim.status == PENDING
    return first, a, second, b, interim.async_id


@pytest.mark.parametrize("how", ["unlock", "close"])
def test_a_waiting_lock_is_granted_when_the_range_is_free(how: str) -> None:
    first, a, second, _b, async_id = waiting()
    if how == "unlock":
        lock(first, a, (0, 10, UNLOCK))
    else:
        first.call(CLOSE, close_body(a))
    (final,) = second.take()
    assert (final.status, final.async_id) == (0, async_id)


def test_a_waiting_lock_is_cancelled() -> None:
    first, a, second, _b, async_id = waiting()
    second.cancel(flags=ASYNC, async_id=async_id)
    assert [answer.status for answer in second.take()] == [CANCELLED]
    lock(first, a, (0, 10, UNLOCK))
    assert second.take() == []
    assert lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE)) == 0


def test_closing_ends_the_waiting() -> None:
    _first, _a, second, b, _async_id = waiting()
    second.send(CLOSE, close_body(b))
    assert sorted(answer.status for answer in second.take()) == [0, NOT_LOCKED]


def test_locks_of_a_lost_connection_are_gone() -> None:
    world, first, a, second, b = two()
    lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE))
    first.connection.lost(1.0)
    assert lock(second, b, (0, 10, EXCLUSIVE | AT_ONCE)) == 0
    second.call(CLOSE, close_body(b))
    assert not world.server.locks._files


# --- Oplocks ------------------------------------------------------------------------------------


def granted(talk: Talk, **options: int) -> tuple[int, bytes]:
    answer = talk.call(CREATE, create_body("f", **options))
    assert answer.status == 0
    return answer.body[2], answer.body[64:80]


def acknowledge(file_id: bytes, level: int) -> bytes:
    return struct.pack("<HBBI16s", 24, level, 0, 0, file_id)


def setting() -> tuple[World, Talk, Talk]:
    world = World()
    world.store.make("f", b"x")
    return world, world.ready(), world.ready()


@pytest.mark.parametrize("level", [NONE, LEVEL_II, EXCLUSIVE_OPLOCK, BATCH])
def test_whoever_is_alone_gets_what_it_asks(level: int) -> None:
    _world, first, _second = setting()
    assert granted(first, oplock=level)[0] == level


def test_a_lease_is_answered_without_one() -> None:
    _world, first, _second = setting()
    assert granted(first, oplock=0xFF)[0] == NONE


def test_oplocks_can_be_switched_off() -> None:
    world = World(config={"oplocks": False})
    world.store.make("f", b"x")
    assert granted(world.ready(), oplock=BATCH)[0] == NONE


def test_a_second_open_breaks_and_waits_for_the_acknowledgment() -> None:
    _world, first, second = setting()
    _level, file_id = granted(first, oplock=BATCH)
    second.send(CREATE, create_body("f", oplock=BATCH))
    assert [answer.status for answer in second.take()] == [PENDING]
    (notification,) = first.take()
    assert notification.command == OPLOCK_BREAK
    assert notification.message_id == 2**64 - 1
    assert notification.session_id == 0
    assert notification.body == acknowledge(file_id, LEVEL_II)
    assert first.call(OPLOCK_BREAK, acknowledge(file_id, LEVEL_II)).status == 0


def test_after_the_break_both_share_level_ii() -> None:
    _world, first, second = setting()
    _level, file_id = granted(first, oplock=BATCH)
    second.send(CREATE, create_body("f", oplock=BATCH))
    first.take()
    response = first.call(OPLOCK_BREAK, acknowledge(file_id, LEVEL_II))
    assert response.body == acknowledge(file_id, LEVEL_II)
    _interim, created = second.take()
    assert (created.status, created.body[2]) == (0, LEVEL_II)


def test_what_was_acknowledged_in_time_is_kept_when_the_time_is_over() -> None:
    world, first, second = setting()
    _level, a = granted(first, oplock=BATCH)
    second.send(CREATE, create_body("f"))
    first.take()
    first.call(OPLOCK_BREAK, acknowledge(a, LEVEL_II))
    _interim, created = second.take()
    world.server.tick(1100.0)
    assert second.call(WRITE, write_body(created.body[64:80], 0, b"y")).status == 0
    assert [answer.body for answer in first.take()] == [acknowledge(a, NONE)]


def test_overwriting_breaks_to_none() -> None:
    _world, first, second = setting()
    _level, file_id = granted(first, oplock=EXCLUSIVE_OPLOCK)
    second.send(CREATE, create_body("f", disposition=5))
    assert first.take()[0].body == acknowledge(file_id, NONE)


def test_reading_attributes_breaks_nothing() -> None:
    _world, first, second = setting()
    granted(first, oplock=BATCH)
    assert granted(second, access=0x00100080)[0] == NONE
    assert first.take() == []


@pytest.mark.parametrize("how", ["close", "lost", "time"])
def test_closing_or_silence_also_answers_a_break(how: str) -> None:
    world, first, second = setting()
    _level, file_id = granted(first, oplock=BATCH)
    second.send(CREATE, create_body("f"))
    assert [answer.status for answer in second.take()] == [PENDING]
    assert world.server.next_deadline() == 1035.0
    if how == "close":
        first.send(CLOSE, close_body(file_id))
    elif how == "lost":
        first.connection.lost(1001.0)
    else:
        world.server.tick(1034.9)
        assert second.take() == []
        world.server.tick(1035.0)
    assert [answer.status for answer in second.take()] == [0]
    assert world.server.next_deadline() is None


def test_a_write_breaks_others_level_ii_and_waits_for_nobody() -> None:
    _world, first, second = setting()
    _level, a = granted(first, oplock=LEVEL_II)
    _level, b = granted(second, oplock=LEVEL_II)
    assert second.call(WRITE, write_body(b, 0, b"y")).status == 0
    assert [answer.body for answer in first.take()] == [acknowledge(a, NONE)]
    assert second.call(WRITE, write_body(b, 0, b"z")).status == 0
    assert first.take() == []


@pytest.mark.parametrize("disposition", [0, 4, 5])
def test_overwriting_breaks_others_level_ii_and_waits_for_nobody(disposition: int) -> None:
    _world, first, second = setting()
    _level, a = granted(first, oplock=LEVEL_II)
    assert granted(second, disposition=disposition, oplock=LEVEL_II)[0] == LEVEL_II
    assert [answer.body for answer in first.take()] == [acknowledge(a, NONE)]


def test_overwriting_that_fails_leaves_level_ii_alone() -> None:
    world, first, second = setting()
    granted(first, oplock=LEVEL_II)
    world.store.fail["open"] = NtStatus.STATUS_SHARING_VIOLATION
    assert second.call(CREATE, create_body("f", disposition=5)).status == 0xC0000043
    assert first.take() == []


def test_acknowledging_what_was_not_asked() -> None:
    _world, first, second = setting()
    _level, file_id = granted(first, oplock=BATCH)
    assert first.call(OPLOCK_BREAK, acknowledge(file_id, LEVEL_II)).status == 0xC0000184
    second.send(CREATE, create_body("f"))
    first.take()
    assert first.call(OPLOCK_BREAK, acknowledge(file_id, BATCH)).status == 0xC00000E3
    assert [answer.status for answer in second.take()] == [PENDING, 0]


def test_an_oplock_follows_a_rename() -> None:
    _world, first, second = setting()
    _level, file_id = granted(first, oplock=BATCH)
    name = "g".encode("utf-16-le")
    data = struct.pack("<B7xQI", 0, 0, len(name)) + name
    body = struct.pack("<HBBIHHI16s", 33, 1, 10, len(data), 96, 0, 0, file_id) + data
    assert first.call(17, body).status == 0
    second.send(CREATE, create_body("g"))
    assert first.take()[0].command == OPLOCK_BREAK


# --- What waits for a break -----------------------------------------------------------------------


def held_up() -> tuple[World, Talk, bytes, Talk, Answer]:
    """The second client's CREATE, which overwrites, waits for the first one's oplock."""
    world, first, second = setting()
    _level, file_id = granted(first, oplock=BATCH)
    interim = second.call(CREATE, create_body("f", disposition=5))
    first.take()
    return world, first, file_id, second, interim


def test_who_waits_for_a_break_is_told_so_and_answered_by_the_same_async_id() -> None:
    world, first, file_id, second, interim = held_up()
    assert (interim.status, interim.flags & ASYNC) == (PENDING, ASYNC)
    assert interim.credits
    first.call(OPLOCK_BREAK, acknowledge(file_id, NONE))
    (created,) = second.take()
    assert (created.status, created.message_id) == (0, interim.message_id)
    assert (created.async_id, created.credits) == (interim.async_id, 0)
    assert world.store.nodes["f"].data == b""


@pytest.mark.parametrize("how", ["async id", "message id", "logoff", "tree"])
def test_what_ends_the_wait_leaves_the_file_alone(how: str) -> None:
    world, first, file_id, second, interim = held_up()
    if how == "async id":
        second.send(CANCEL, EMPTY, flags=ASYNC, async_id=interim.async_id, mid=0)
    elif how == "message id":
        second.send(CANCEL, EMPTY, mid=interim.message_id)
    else:
        second.send(LOGOFF if how == "logoff" else TREE_DISCONNECT, EMPTY)
    ended = second.take()[0]
    assert (ended.status, ended.async_id) == (CANCELLED, interim.async_id)
    assert first.call(OPLOCK_BREAK, acknowledge(file_id, NONE)).status == 0
    assert second.take() == []
    assert (world.store.nodes["f"].data, len(world.store.handles)) == (b"x", 1)


@pytest.mark.parametrize("command", [LOGOFF, TREE_DISCONNECT])
def test_what_would_wait_next_in_a_compound_ends_with_what_waits(command: int) -> None:
    world, first, file_id, second, _interim = held_up()
    world.store.make("g", b"x")
    other = first.open("g", oplock=BATCH)
    overwriting = [create_body(name, disposition=5).ljust(64, b"\0") for name in ("f", "g")]
    second.compound(*((CREATE, body, {}) for body in overwriting))
    second.send(command, EMPTY)
    ends = [answer.status for answer in second.take() if answer.status != PENDING]
    assert ends == [CANCELLED, CANCELLED, CANCELLED, 0]
    first.take()
    for held in (file_id, other):
        first.call(OPLOCK_BREAK, acknowledge(held, NONE))
    assert second.take() == []
    assert (world.store.nodes["g"].data, len(world.store.handles)) == (b"x", 2)


@pytest.mark.parametrize("how", ["lost", "disconnect"])
def test_a_connection_that_is_gone_overwrites_nothing(how: str) -> None:
    world, first, file_id, second, _interim = held_up()
    if how == "lost":
        second.connection.lost(1001.0)
    else:
        second.connection.disconnect("a rule was broken")
    assert first.call(OPLOCK_BREAK, acknowledge(file_id, NONE)).status == 0
    assert (world.store.nodes["f"].data, len(world.store.handles)) == (b"x", 1)


def test_a_logoff_behind_the_close_that_ends_the_wait_still_comes_first() -> None:
    world = World(runner=LaterRunner())
    world.store.make("f", b"x")
    talk = world.ready()
    _level, file_id = granted(talk, oplock=BATCH)
    talk.send(CREATE, create_body("f", disposition=5))
    body = read_body(file_id, 0, 60000)  # its job is away: the rest is done in a turn
    requests = [(READ, body.ljust(56, b"\0")), (CLOSE, close_body(file_id)), (LOGOFF, EMPTY)]
    talk.compound(*((command, body, {}) for command, body in requests))
    world.runner.release()
    assert [answer.status for answer in talk.take()] == [0, 0, 0, CANCELLED]
    assert (world.store.nodes["f"].data, world.store.handles) == (b"x", [])


def test_a_compound_goes_on_after_the_wait() -> None:
    _world, first, second = setting()
    _level, file_id = granted(first, oplock=BATCH)
    body = read_body(b"\xff" * 16, 0, 1)
    answers = second.compound(
        (ECHO, EMPTY, {}), (CREATE, create_body("f"), {}), (READ, body, {"flags": RELATED})
    )
    assert [answer.status for answer in answers] == [0, PENDING]
    first.take()
    first.call(OPLOCK_BREAK, acknowledge(file_id, NONE))
    assert [(answer.command, answer.status) for answer in second.take()] == [(CREATE, 0), (READ, 0)]


def test_those_who_wait_count_as_parked() -> None:
    world = World(config={"bounds": Bounds(parked=1)})
    world.store.make("f", b"x")
    first, second = world.ready(), world.ready()
    granted(first, oplock=BATCH)
    assert second.call(CREATE, create_body("f")).status == PENDING
    assert second.call(CREATE, create_body("f")).status == 0xC000009A


def test_a_file_that_was_opened_meanwhile_is_closed_when_the_wait_is_cancelled() -> None:
    world = World(runner=LaterRunner(light=False))
    world.store.make("f", b"x")
    first, second = world.ready(), world.ready()
    world.runner.light = True
    second.send(CREATE, create_body("f"))
    first.send(CREATE, create_body("f", oplock=BATCH))
    world.runner.waiting.reverse()
    world.runner.release(2)
    assert [answer.status for answer in first.take()] == [0, 0]  # opened, and asked to break
    (interim,) = second.take()
    world.runner.light = False
    second.send(CANCEL, EMPTY, flags=ASYNC, async_id=interim.async_id, mid=0)
    assert [answer.status for answer in second.take()] == [CANCELLED]
    assert len(world.store.handles) == 1


# --- What is one file -----------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Talk, Talk]]:
    """A directory with `d/f`; the share of the first client is the directory, the second's `d`."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x")
    feed, files = open_feed("inotify", FeedBounds(), [str(tmp_path)]), OpenFiles()
    stores = [LocalStore(str(path), feed, files) for path in (tmp_path, tmp_path / "d")]
    world = World(others=(Share("ALL", stores[0]), Share("D", stores[1])))
    first, second = world.ready(), world.ready()
    first.connect_tree("ALL")
    second.connect_tree("D")
    yield tmp_path, first, second
    for talk in (first, second):
        talk.connection.lost(1000.0)
    for store in stores:
        store.dispose()
    feed.close()


@pytest.mark.parametrize("path", ["f", "F", ".\\f", "x\\..\\f", "f::$DATA", "link", "symbolic"])
def test_a_file_has_one_oplock_whatever_it_is_called(
    disk: tuple[Path, Talk, Talk], path: str
) -> None:
    root, first, second = disk
    os.link(root / "d/f", root / "d/link")
    (root / "d/symbolic").symlink_to("f")
    file_id = first.open("d\\f", oplock=BATCH)
    assert second.call(CREATE, create_body(path, disposition=4)).status == PENDING
    assert [answer.body for answer in first.take()] == [acknowledge(file_id, NONE)]
    assert (root / "d/f").read_bytes() == b"x"
    first.call(OPLOCK_BREAK, acknowledge(file_id, NONE))
    assert [answer.status for answer in second.take()] == [0]
    assert (root / "d/f").read_bytes() == b""


def test_a_file_whose_name_windows_has_not_has_one_oplock(disk: tuple[Path, Talk, Talk]) -> None:
    root, first, second = disk
    (root / "d/a:b").touch()
    first.open("d\\a\uf022b", oplock=BATCH)
    assert second.call(CREATE, create_body("a\uf022b")).status == PENDING


def test_a_stream_has_an_oplock_of_its_own(disk: tuple[Path, Talk, Talk]) -> None:
    _root, first, second = disk
    file_id = first.open("d\\f:s", disposition=2, oplock=BATCH)
    assert second.call(CREATE, create_body("f")).status == 0
    name = ":t".encode("utf-16-le")
    data = struct.pack("<B7xQI", 0, 0, len(name)) + name
    body = struct.pack("<HBBIHHI16s", 33, 1, 10, len(data), 96, 0, 0, file_id) + data
    assert first.call(SET_INFO, body).status == 0
    assert second.call(CREATE, create_body("f:T")).status == PENDING


def test_shares_that_overlap_lock_the_same_files(disk: tuple[Path, Talk, Talk]) -> None:
    _root, first, second = disk
    a, b = first.open("d\\f"), second.open("f")
    assert lock(first, a, (0, 10, EXCLUSIVE | AT_ONCE)) == 0
    assert lock(second, b, (5, 10, EXCLUSIVE | AT_ONCE)) == NOT_GRANTED
    assert second.call(READ, read_body(b, 0, 1)).status == CONFLICT


def test_who_may_not_open_a_file_breaks_nothing(disk: tuple[Path, Talk, Talk]) -> None:
    _root, first, second = disk
    first.open("d\\f", oplock=BATCH)
    assert second.call(CREATE, create_body("f", disposition=2)).status == 0xC0000035
    assert first.take() == []


@pytest.mark.parametrize(
    "runner", [InlineRunner(), LaterRunner(light=True)], ids=["", "in threads"]
)
def test_who_waits_for_a_close_finds_the_file_closed(
    disk: tuple[Path, Talk, Talk], runner: InlineRunner | LaterRunner
) -> None:
    _root, first, second = disk
    file_id = first.open("d\\f", oplock=BATCH, share=0)
    assert second.call(CREATE, create_body("f")).status == PENDING
    first.take()
    first.world.server.runner = runner
    first.send(CLOSE, close_body(file_id))
    while isinstance(runner, LaterRunner) and runner.waiting:
        runner.release()
    assert [answer.status for answer in first.take()] == [0]
    assert [answer.status for answer in second.take()] == [0]
    first.world.server.runner = InlineRunner()
