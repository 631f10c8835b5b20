"""Frames, compounds and credits: what must hold whatever the commands are."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify_server.core.config import Bounds
from notify_server.core.credits import CreditWindow
from tests.notify_server.core.talk import (
    ALL_ONES,
    CLOSE,
    CREATE,
    ECHO,
    EMPTY,
    READ,
    RELATED,
    WRITE,
    LaterRunner,
    World,
    close_body,
    create_body,
    read_body,
    write_body,
)

INVALID_PARAMETER = 0xC000000D


def frames(talk: object, *messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


# --- Frames -------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 60), max_size=12))
def test_frames_may_come_in_pieces_of_any_size(sizes: list[int]) -> None:
    talk = World().talk()
    talk.negotiate()
    data = frames(talk, talk.request(ECHO, EMPTY), talk.request(ECHO, EMPTY))
    for size in [*sizes, len(data)]:
        talk.connection.receive(memoryview(data[:size]), 0)
        data = data[size:]
    assert [answer.status for answer in talk.take()] == [0, 0]


def test_each_byte_alone() -> None:
    talk = World().talk()
    message = talk.request(0, talk.negotiate_body(), credits=1)
    for byte in frames(talk, message):
        talk.connection.receive(bytes([byte]), 0)
    assert len(talk.take()) == 1


def test_an_empty_frame_is_a_keep_alive() -> None:
    talk = World().talk()
    talk.connection.receive(bytes(4), 0)
    assert talk.negotiate().status == 0


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\0\0\x44" + bytes(68),  # a NetBIOS session request
        b"\0\xff\xff\xff",  # longer than anybody may before a session
        b"\0\0\0\x04GET ",
        b"\0\0\0\x04\xfeSMB",
        b"\0\0\0\x40" + bytes(64),
        b"\0\0\0\x34\xfdSMB" + bytes(48),  # sealed, and nobody has a key
        b"\0\0\0\x10\xfcSMB" + bytes(12),  # compressed, which was not negotiated
    ],
)
def test_what_is_no_smb2_ends_the_connection(data: bytes) -> None:
    talk = World().talk()
    talk.connection.receive(data, 0)
    assert talk.closed
    assert talk.take() == []


def test_after_the_end_nothing_is_read() -> None:
    talk = World().talk()
    talk.connection.disconnect("test")
    talk.send(0, talk.negotiate_body())
    assert talk.take() == []


def test_frames_grow_with_a_session() -> None:
    talk = World(config={"bounds": Bounds(io_size=1 << 20)}).ready()
    size = 64 + 48 + (1 << 20)
    file_id = talk.open("f", disposition=2)
    body = write_body(file_id, 0, bytes(size - 112))
    assert talk.call(WRITE, body, charge=16).status == 0


# --- Compounds ----------------------------------------------------------------------------------


def test_related_requests_use_what_came_before() -> None:
    world = World()
    talk = world.ready()
    ids = {"flags": RELATED, "session_id": 2**64 - 1, "tree_id": 2**32 - 1}
    answers = talk.compound(
        (CREATE, create_body("file", disposition=2), {}),
        (WRITE, write_body(ALL_ONES, 0, b"data"), ids),
        (READ, read_body(ALL_ONES, 0, 4), ids),
        (CLOSE, close_body(ALL_ONES), ids),
    )
    assert [answer.status for answer in answers] == [0, 0, 0, 0]
    assert answers[2].body[16:20] == b"data"
    assert world.store.handles == []


def test_responses_of_a_compound_are_aligned_signed_and_chained() -> None:
    talk = World().ready()
    first, second = talk.compound((ECHO, EMPTY, {}), (ECHO, EMPTY, {}))
    assert first.next_command == 72
    assert second.next_command == 0
    assert len(second.raw) % 8 == 0
    assert first.flags & second.flags & 8


def test_a_related_first_request_is_invalid_and_so_is_what_follows_it() -> None:
    talk = World().ready()
    answers = talk.compound(
        (CREATE, create_body(""), {"flags": RELATED}),
        (CLOSE, close_body(ALL_ONES), {"flags": RELATED}),
        (CLOSE, close_body(ALL_ONES), {}),
    )
    assert [answer.status for answer in answers] == [
        INVALID_PARAMETER,
        INVALID_PARAMETER,
        0xC0000128,
    ]


def test_a_failed_create_fails_the_related_and_spares_the_unrelated() -> None:
    talk = World().ready()
    answers = talk.compound(
        (CREATE, create_body("missing"), {}),
        (CLOSE, close_body(ALL_ONES), {"flags": RELATED}),
        (CREATE, create_body(""), {}),
        (CLOSE, close_body(ALL_ONES), {"flags": RELATED}),
    )
    assert [answer.status for answer in answers] == [0xC0000034, 0xC0000034, 0, 0]


@pytest.mark.parametrize("following", [4, 60, 63, 64, 100, 128, 0xFFFFFFF8])
def test_a_next_command_that_lies_ends_the_connection(following: int) -> None:
    talk = World().ready()
    talk.send(ECHO, EMPTY, following=following)
    assert talk.closed


def test_a_compound_longer_than_the_bound_ends_the_connection() -> None:
    talk = World(config={"bounds": Bounds(compound=3)}).ready()
    talk.compound(*[(ECHO, EMPTY, {})] * 4)
    assert talk.closed


def test_a_chain_waits_for_its_jobs_and_others_do_not() -> None:
    runner = LaterRunner()
    world = World(runner=runner)
    world.store.make("file", b"x" * 5000)
    talk = world.ready()
    answers = talk.compound(
        (CREATE, create_body("file"), {}),
        (READ, read_body(ALL_ONES, 0, 5000), {"flags": RELATED}),
        (CLOSE, close_body(ALL_ONES), {"flags": RELATED}),
    )
    assert answers == []
    assert talk.call(ECHO, EMPTY).status == 0
    runner.release()
    assert [answer.status for answer in talk.take()] == [0, 0, 0]
    assert world.store.handles == []


def test_a_close_that_overtakes_a_write_waits_for_it() -> None:
    runner = LaterRunner()
    world = World(runner=runner)
    talk = world.ready()
    file_id = talk.open("file", disposition=2)
    talk.send(WRITE, write_body(file_id, 0, b"y" * 5000))
    talk.send(CLOSE, close_body(file_id))
    assert talk.take() == []
    assert len(world.store.handles) == 1
    runner.release()
    assert {answer.command: answer.status for answer in talk.take()} == {WRITE: 0, CLOSE: 0}
    assert world.store.handles == []
    assert world.store.nodes["file"].data == b"y" * 5000


@pytest.mark.parametrize("flags", [0, 1])
def test_a_close_is_answered_when_the_store_has_closed(flags: int) -> None:
    """Else the next CREATE could meet the share mode of a handle that its client saw closed."""
    runner = LaterRunner(light=True)
    world = World(runner=runner)
    talk = world.ready()
    talk.send(CREATE, create_body("file", disposition=2))
    runner.release()
    (created,) = talk.take()
    talk.send(CLOSE, close_body(created.body[64:80], flags))
    for _ in range(1 + flags):  # with POSTQUERY_ATTRIB the attributes come first
        assert talk.take() == []
        assert len(world.store.handles) == 1
        runner.release()
    assert [(answer.command, answer.status) for answer in talk.take()] == [(CLOSE, 0)]
    assert world.store.handles == []


def test_a_session_that_ends_while_a_create_is_away_leaves_no_handle() -> None:
    runner = LaterRunner(light=True)
    world = World(runner=runner)
    talk = world.ready()
    talk.send(CREATE, create_body("file", disposition=2))
    talk.call(2, EMPTY)
    runner.release()
    assert [answer.status for answer in talk.take()] == [0xC00000C9]
    runner.release()  # the close
    assert world.store.handles == []


# --- Commands and bodies that are wrong ---------------------------------------------------------


@pytest.mark.parametrize("command", [19, 0x7FFF, 0xFFFF])
def test_an_unknown_command_is_invalid(command: int) -> None:
    assert World().ready().call(command, EMPTY).status == INVALID_PARAMETER


@pytest.mark.parametrize("command", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18])
@pytest.mark.parametrize("body", [b"", b"\0\0", b"\xff" * 200])
def test_a_body_of_the_wrong_structure_size_is_invalid(command: int, body: bytes) -> None:
    assert World().ready().call(command, body).status == INVALID_PARAMETER


@given(st.integers(0, 18), st.binary(max_size=120), st.integers(0, 0xFFFFFFFF))
def test_no_body_does_more_than_fail(command: int, tail: bytes, flags: int) -> None:
    sizes = (36, 25, 4, 9, 4, 57, 24, 24, 49, 49, 48, 57, 4, 4, 33, 32, 41, 33, 24)
    talk = World().ready()
    body = struct.pack("<H", sizes[command]) + tail
    talk.send(command, body, flags=flags & ~0xF)
    for answer in talk.connection.take_output():
        assert answer


@given(st.binary(max_size=300))
def test_no_frame_does_more_than_end_the_connection(data: bytes) -> None:
    talk = World().ready()
    for magic in (b"", b"\xfeSMB@\0", b"\xfdSMB", b"\xffSMBr"):
        payload = magic + data
        talk.connection.receive(len(payload).to_bytes(4, "big") + payload, 0)


# --- Credits ------------------------------------------------------------------------------------


def test_a_message_id_counts_once() -> None:
    talk = World().ready()
    mid = talk.send(ECHO, EMPTY)
    talk.send(ECHO, EMPTY, mid=mid)
    assert talk.closed
    assert len(talk.take()) == 1


def test_a_message_id_beyond_the_window_ends_the_connection() -> None:
    talk = World().ready()
    talk.send(ECHO, EMPTY, mid=talk.mid + 10000)
    assert talk.closed


def test_message_ids_may_come_out_of_order() -> None:
    talk = World().ready()
    talk.call(ECHO, EMPTY, mid=talk.mid + 5)
    assert talk.call(ECHO, EMPTY, mid=talk.mid).status == 0
    assert not talk.closed


def test_a_charge_takes_as_many_ids() -> None:
    talk = World().ready()
    mid = talk.mid
    talk.call(ECHO, EMPTY, charge=3)
    talk.send(ECHO, EMPTY, mid=mid + 2)
    assert talk.closed


def test_credits_are_granted_up_to_the_bound() -> None:
    talk = World(config={"bounds": Bounds(credits=100)}).ready()
    talk.call(ECHO, EMPTY, credits=5000)
    assert talk.connection.credits.outstanding == 100
    assert talk.call(ECHO, EMPTY, credits=5000).credits == 1


class Model:
    """A window as a set, which is slow and obvious."""

    def __init__(self) -> None:
        self.open = {0}

    def take(self, message_id: int, count: int) -> bool:
        ids = set(range(message_id, message_id + count))
        if not ids <= self.open:
            return False
        self.open -= ids
        return True


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4), st.integers(0, 20)), max_size=60))
def test_the_window_accepts_what_a_set_of_ids_would(steps: list[tuple[int, int, int]]) -> None:
    window, model = CreditWindow(24), Model()
    highest = 0
    for message_id, charge, requested in steps:
        taken = window.take(message_id, charge)
        assert taken == model.take(message_id, charge)
        if taken:
            granted = window.grant(charge, requested)
            model.open |= set(range(highest + 1, highest + 1 + granted))
            highest += granted
        assert window.outstanding == len(model.open)
        assert 1 <= window.outstanding <= 24


def test_a_client_never_runs_out_of_credits() -> None:
    window = CreditWindow(4)
    assert window.take(0, 1)
    assert window.grant(1, 0) == 1
    for message_id in range(1, 50):
        assert window.take(message_id, 1)
        assert window.grant(1, 0) == 1
