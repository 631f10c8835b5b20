"""Compounds, waits and CANCELs put together so that something gives way."""

from __future__ import annotations

import struct

import pytest

from notify_server.core.config import Bounds
from tests.notify_server.core.memory_store import MemoryStore
from tests.notify_server.core.talk import (
    ASYNC,
    CANCEL,
    CLOSE,
    CREATE,
    ECHO,
    EMPTY,
    LOCK,
    READ,
    RELATED,
    LaterRunner,
    World,
    close_body,
    create_body,
    lock_body,
    read_body,
)

CANCELLED, NO_RESOURCES = 0xC0000120, 0xC000009A
BATCH = 9


def test_waits_that_end_each_other_do_not_recurse() -> None:
    """Each CREATE waits for an oplock whose owner is closed by the one before it."""
    world = World()
    owner, other = world.ready(), world.ready()
    depth = 300
    owned = [owner.open(f"f{i}", disposition=3, oplock=BATCH) for i in range(depth)]
    for i in range(depth - 1):
        body = create_body(f"f{i}")
        body += bytes(-len(body) % 8)
        create = owner.request(CREATE, body, following=64 + len(body))
        owner.feed(create + owner.request(CLOSE, close_body(owned[i + 1])))
    owner.take()
    owner.send(CLOSE, close_body(owned[0]))
    answers = owner.take()
    assert not owner.closed
    assert sum(answer.command == CLOSE and answer.status == 0 for answer in answers) == depth
    assert other.call(ECHO, EMPTY).status == 0


def test_a_compound_whose_answer_no_frame_can_hold_is_answered_in_several() -> None:
    world = World()
    talk = world.ready()
    world.store.make("big", bytes(1 << 23))
    file_id = talk.open("big")
    talk.call(ECHO, EMPTY, credits=8000)
    talk.call(ECHO, EMPTY, credits=8000)
    body = read_body(file_id, 0, 1 << 23).ljust(56, b"\0")
    options = [{"following": 64 + len(body)}, {"following": 64 + len(body)}, {}]
    talk.feed(b"".join(talk.request(READ, body, charge=128, **option) for option in options))
    assert [chunk[0] for chunk in talk.connection.outbox] == [0, 0, 0]  # of four bytes of length
    assert [(answer.status, len(answer.body)) for answer in talk.take()] == [
        (0, 16 + (1 << 23))
    ] * 3


@pytest.mark.parametrize("session_id", [0, 0x1234567])
def test_a_cancel_that_names_no_session_needs_the_signature_all_the_same(session_id: int) -> None:
    talk = World().ready(security_mode=2)
    parked = talk.park(talk.open(""))
    cancel = {"flags": ASYNC, "async_id": parked.async_id, "mid": 0, "session_id": session_id}
    talk.send(CANCEL, EMPTY, sign=False, **cancel)
    assert talk.take() == []
    talk.send(CANCEL, EMPTY, **cancel)
    assert [answer.status for answer in talk.take()] == [CANCELLED]


def test_a_cancel_signed_with_another_sessions_key_does_nothing() -> None:
    talk = World().ready(security_mode=2)
    parked = talk.park(talk.open(""))
    talk.log_on("other", "other")
    talk.send(CANCEL, EMPTY, flags=ASYNC, async_id=parked.async_id, mid=0)
    assert talk.take() == []
    assert len(talk.connection.parked) == 1


def test_a_request_whose_job_is_away_is_cancelled_by_its_session_only() -> None:
    world = World(runner=LaterRunner())
    talk = world.ready(security_mode=2)
    world.runner.light = True
    talk.send(CREATE, create_body(""))
    (request,) = talk.connection.in_flight.values()
    talk.send(CANCEL, EMPTY, mid=request.header.message_id, session_id=5, sign=False)
    assert not request.cancelled
    talk.send(CANCEL, EMPTY, mid=request.header.message_id)
    assert request.cancelled


def test_a_core_that_fails_after_a_job_ends_that_connection_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(runner=LaterRunner())
    talk, other = world.ready(), world.ready()
    file_id = talk.open("f", disposition=3)
    talk.send(READ, read_body(file_id, 0, 60000))
    monkeypatch.setattr(MemoryStore, "read", lambda *_: 5)  # no bytes: `then` fails on it
    world.runner.release()
    assert talk.closed
    assert other.call(ECHO, EMPTY).status == 0


def test_byte_range_locks_are_bounded() -> None:
    talk = World(config={"bounds": Bounds(locks=10)}).ready()
    file_id = talk.open("f", disposition=3)
    element = 0x12  # exclusive, fail at once
    assert talk.call(LOCK, lock_body(file_id, *((i, 1, element) for i in range(8)))).status == 0
    more = lock_body(file_id, *((i, 1, element) for i in range(8, 11)))
    assert talk.call(LOCK, more).status == NO_RESOURCES
    assert talk.call(LOCK, lock_body(file_id, (8, 1, element), (9, 1, element))).status == 0
    assert talk.call(LOCK, lock_body(file_id, (10, 1, element))).status == NO_RESOURCES


@pytest.mark.parametrize(
    "bad",
    [
        {"io_size": (1 << 24)},
        {"io_size": 1000},
        {"connections": 0},
        {"authentication_seconds": -1.0},
    ],
)
def test_bounds_that_would_break_the_protocol_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Bounds(**bad)


@pytest.mark.parametrize("following", [1, 7, 8, 60, 63, 65, 1 << 31, (1 << 32) - 8])
def test_next_command_cannot_lead_astray(following: int) -> None:
    talk = World().ready()
    talk.feed(talk.request(ECHO, EMPTY.ljust(64, b"\0"), following=following))
    assert talk.closed


def test_a_compound_of_too_many_requests_ends_the_connection() -> None:
    talk = World(config={"bounds": Bounds(compound=4)}).ready()
    body = EMPTY.ljust(8, b"\0")
    assert len(talk.compound(*((ECHO, body, {}) for _ in range(4)))) == 4
    talk.compound(*((ECHO, body, {}) for _ in range(5)))
    assert talk.closed


def test_related_requests_with_nothing_before_them_are_refused() -> None:
    talk = World().ready()
    answers = talk.compound(
        (CLOSE, close_body(b"\xff" * 16), {"flags": RELATED}),
        (CLOSE, close_body(b"\xff" * 16), {"flags": RELATED}),
    )
    assert [answer.status for answer in answers] == [0xC000000D] * 2
    assert struct.unpack_from("<H", answers[0].body) == (9,)
