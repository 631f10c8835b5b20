"""CHANGE_NOTIFY on the wire: interim, final, CANCEL, teardown, refusals. The watch rules
themselves are tested with the watch table."""

from __future__ import annotations

import struct

import pytest

from notify_server.core.config import Bounds
from notify_server.notify.classes import added
from notify_server.wire.constants import CompletionFilter
from notify_server.wire.status import NtStatus
from tests.notify_server.core.talk import (
    ALL_ONES,
    ASYNC,
    CANCEL,
    CHANGE_NOTIFY,
    CLOSE,
    CREATE,
    ECHO,
    EMPTY,
    LOGOFF,
    RELATED,
    SIGNED,
    TREE_DISCONNECT,
    LaterRunner,
    Talk,
    World,
    close_body,
    create_body,
    notify_body,
    records,
)

PENDING, CLEANUP, CANCELLED = 0x103, 0x10B, 0xC0000120
INVALID_PARAMETER, ACCESS_DENIED, FILE_CLOSED = 0xC000000D, 0xC0000022, 0xC0000128
NAMES = CompletionFilter.FILE_NOTIFY_CHANGE_FILE_NAME


def change(world: World, path: str = "new") -> None:
    """Something appears beside the server."""
    world.feed.added(path, NAMES)
    world.server.drain(1000.0)


def test_the_interim_response() -> None:
    """3.3.4.2: PENDING, ASYNC, an AsyncId, credits, an ERROR body, no signature."""
    talk = World().ready()
    interim = talk.park(talk.open(""))
    assert interim.flags & ASYNC
    assert not interim.flags & SIGNED
    assert interim.async_id
    assert interim.credits >= 1
    assert interim.body == b"\x09\0\0\0\0\0\0\0\0"


def test_the_final_response() -> None:
    """3.3.4.3: the same ids, ASYNC, no credits, signed; records at offset 72."""
    world = World()
    talk = world.ready()
    interim = talk.park(talk.open(""))
    change(world)
    (final,) = talk.take()
    assert (final.message_id, final.async_id) == (interim.message_id, interim.async_id)
    assert final.status == 0
    assert final.flags & ASYNC
    assert final.flags & SIGNED
    assert final.credits == 0
    assert struct.unpack_from("<HHI", final.body) == (9, 72, 18)
    assert records(final) == [(1, "new")]


def test_buffered_changes_are_answered_at_once_and_not_asynchronously() -> None:
    world = World()
    talk = world.ready()
    file_id = talk.open("")
    talk.park(file_id)
    for name in ("a", "b", "c"):
        change(world, name)
    assert records(talk.take()[0]) == [(1, "a")]
    answer = talk.call(CHANGE_NOTIFY, notify_body(file_id))
    assert not answer.flags & ASYNC
    assert records(answer) == [(1, "b"), (1, "c")]


def test_a_change_by_one_connection_completes_the_request_of_another() -> None:
    world = World()
    watcher, worker = world.ready(), world.ready(0x0210)
    watcher.park(watcher.open(""))
    worker.open("made", disposition=2)
    assert records(watcher.take()[0]) == [(1, "made")]


def test_a_sealed_notify_is_sealed_throughout() -> None:
    world = World()
    talk = world.ready(ciphers=(2,))
    talk.seal = True
    interim = talk.park(talk.open(""))
    change(world)
    (final,) = talk.take()
    assert interim.sealed
    assert final.sealed
    assert not final.flags & SIGNED


# --- CANCEL -------------------------------------------------------------------------------------


def test_cancel_by_async_id() -> None:
    talk = World().ready()
    file_id = talk.open("")
    first, second = talk.park(file_id), talk.park(file_id)
    talk.cancel(flags=ASYNC, async_id=second.async_id)
    (final,) = talk.take()
    assert (final.status, final.async_id) == (CANCELLED, second.async_id)
    assert final.body == b"\x09\0\0\0\0\0\0\0\0"
    assert first.async_id in talk.connection.parked


def test_cancel_by_message_id() -> None:
    talk = World().ready()
    file_id = talk.open("")
    first, _second = talk.park(file_id), talk.park(file_id)
    talk.cancel(mid=first.message_id)
    assert [answer.message_id for answer in talk.take()] == [first.message_id]


def test_cancel_with_message_id_0_means_the_newest_request() -> None:
    """smbtorture sends this unless AES-GMAC was negotiated."""
    talk = World().ready()
    file_id = talk.open("")
    _first, second = talk.park(file_id), talk.park(file_id)
    talk.cancel(mid=0)
    assert [answer.message_id for answer in talk.take()] == [second.message_id]


@pytest.mark.parametrize(
    "options", [{"mid": 77}, {"flags": ASYNC, "async_id": 77}, {"session_id": 5, "mid": 0}]
)
def test_a_cancel_that_finds_nothing_is_silent(options: dict[str, int]) -> None:
    talk = World().ready()
    talk.park(talk.open(""))
    talk.cancel(**options)
    assert talk.take() == []
    assert talk.call(ECHO, EMPTY).status == 0


def test_the_second_cancel_is_silent() -> None:
    talk = World().ready()
    interim = talk.park(talk.open(""))
    talk.cancel(flags=ASYNC, async_id=interim.async_id)
    talk.cancel(flags=ASYNC, async_id=interim.async_id)
    assert len(talk.take()) == 1


def test_an_unsigned_or_wrongly_signed_cancel_is_ignored_where_signing_is_required() -> None:
    talk = World().ready(security_mode=2)
    interim = talk.park(talk.open(""))
    talk.cancel(flags=ASYNC, async_id=interim.async_id, sign=False)
    message = bytearray(talk.request(CANCEL, EMPTY, flags=ASYNC, async_id=interim.async_id, mid=0))
    message[48] ^= 1
    talk.feed(bytes(message))
    assert talk.take() == []


def test_one_session_cannot_cancel_anothers_request() -> None:
    talk = World().ready()
    interim = talk.park(talk.open(""))
    talk.log_on("other", "other")
    talk.cancel(flags=ASYNC, async_id=interim.async_id)
    assert talk.take() == []


def test_a_change_after_a_cancel_is_not_lost() -> None:
    world = World()
    talk = world.ready()
    file_id = talk.open("")
    talk.park(file_id)
    talk.cancel()
    talk.take()
    change(world)
    assert records(talk.call(CHANGE_NOTIFY, notify_body(file_id))) == [(1, "new")]


# --- The first request's job is away ------------------------------------------------------------


def away() -> tuple[World, Talk, bytes, LaterRunner]:
    """A WATCH_TREE request whose directory is being watched in a thread."""
    runner = LaterRunner()
    world = World(runner=runner)
    talk = world.ready()
    file_id = talk.open("")
    talk.send(CHANGE_NOTIFY, notify_body(file_id, tree=True, mask=1))
    assert talk.take() == []
    return world, talk, file_id, runner


def test_the_connection_goes_on_meanwhile() -> None:
    _world, talk, _file_id, runner = away()
    assert talk.call(ECHO, EMPTY).status == 0
    runner.release()
    assert [answer.status for answer in talk.take()] == [PENDING]


@pytest.mark.parametrize("by_id", [True, False])
def test_a_cancel_meanwhile_is_heeded(by_id: bool) -> None:
    _world, talk, _file_id, runner = away()
    talk.cancel(mid=talk.mid - 1 if by_id else 0)
    runner.release()
    assert [answer.status for answer in talk.take()] == [CANCELLED]


def test_requests_behind_it_wait_and_do_not_fix_the_watch() -> None:
    world, talk, file_id, runner = away()
    talk.send(CHANGE_NOTIFY, notify_body(file_id, tree=False, mask=2))
    runner.release()
    interims = talk.take()
    assert [answer.status for answer in interims] == [PENDING, PENDING]
    assert interims[0].message_id < interims[1].message_id
    change(world, "deep\\er")
    assert records(talk.take()[0]) == [(1, "deep\\er")]


def test_a_deletion_meanwhile_is_heeded() -> None:
    world, talk, _file_id, runner = away()
    world.store.handles[-1].delete_pending = True
    runner.release()
    assert [answer.status for answer in talk.take()] == [int(NtStatus.STATUS_DELETE_PENDING)]


def test_a_rename_meanwhile_is_followed() -> None:
    world, talk, _file_id, runner = away()
    world.store.handles[-1].watch_key = "/renamed"
    runner.release()
    assert [answer.status for answer in talk.take()] == [PENDING]
    world.feed.events.append(added("/renamed", "x", is_directory=False))
    world.server.drain(1000.0)
    assert records(talk.take()[0]) == [(1, "x")]


def test_a_close_meanwhile_is_heeded() -> None:
    world, talk, file_id, runner = away()
    talk.send(CLOSE, close_body(file_id))
    assert talk.take() == []
    assert world.store.handles, "the handle stays until the job is back"
    runner.release()
    assert [answer.status for answer in talk.take()] == [CLEANUP, 0]
    assert world.store.handles == []


def test_a_failing_job_lets_those_behind_it_try() -> None:
    world, talk, file_id, runner = away()
    talk.send(CHANGE_NOTIFY, notify_body(file_id))
    world.store.fail["watch"] = NtStatus.STATUS_INSUFFICIENT_RESOURCES
    runner.release()
    assert [answer.status for answer in talk.take()] == [0xC000009A, 0xC000009A]


def test_a_lost_connection_meanwhile_leaves_nothing() -> None:
    world, talk, _file_id, runner = away()
    talk.connection.lost(1000.0)
    runner.release()
    assert world.store.handles == []
    assert len(world.server.watches) == 0


# --- Teardown -----------------------------------------------------------------------------------


def test_close_cleans_up() -> None:
    talk = World().ready()
    file_id = talk.open("")
    interim = talk.park(file_id)
    talk.send(CLOSE, close_body(file_id))
    statuses = {answer.message_id: answer.status for answer in talk.take()}
    assert statuses[interim.message_id] == CLEANUP
    assert 0 in statuses.values()


@pytest.mark.parametrize("command", [TREE_DISCONNECT, LOGOFF])
def test_tree_disconnect_and_logoff_clean_up_with_signed_responses(command: int) -> None:
    talk = World().ready()
    talk.park(talk.open(""))
    talk.send(command, EMPTY)
    answers = talk.take()
    assert sorted(answer.status for answer in answers) == [0, CLEANUP]
    assert all(answer.flags & SIGNED for answer in answers)


def test_disconnecting_one_tree_leaves_the_other() -> None:
    world = World()
    talk = world.ready()
    talk.park(talk.open(""))
    first = talk.tree_id
    talk.connect_tree()
    talk.park(talk.open(""))
    talk.send(TREE_DISCONNECT, EMPTY, tree_id=first)
    assert sorted(answer.status for answer in talk.take()) == [0, CLEANUP]
    change(world)
    assert [answer.status for answer in talk.take()] == [0]


# --- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"structure": 31}, INVALID_PARAMETER),
        ({"size": (8 << 20) + 1}, INVALID_PARAMETER),
        ({"size": 65537}, INVALID_PARAMETER),  # one credit pays for 64 KiB
    ],
)
def test_invalid_parameters(options: dict[str, int], status: int) -> None:
    talk = World().ready()
    assert talk.call(CHANGE_NOTIFY, notify_body(talk.open(""), **options)).status == status


def test_two_credits_pay_for_128_kib() -> None:
    talk = World().ready()
    body = notify_body(talk.open(""), size=131072)
    assert talk.call(CHANGE_NOTIFY, body, charge=2).status == PENDING


def test_2_0_2_has_a_smaller_limit_and_no_charge() -> None:
    talk = World().ready(0x0202)
    file_id = talk.open("")
    assert talk.call(CHANGE_NOTIFY, notify_body(file_id, size=65537)).status == INVALID_PARAMETER
    talk.park(file_id, size=65536)


def test_a_file_is_not_watched() -> None:
    world = World()
    world.store.make("file", b"x")
    talk = world.ready()
    assert talk.call(CHANGE_NOTIFY, notify_body(talk.open("file"))).status == INVALID_PARAMETER


def test_a_handle_that_may_not_list_is_denied() -> None:
    talk = World().ready()
    file_id = talk.open("", access=0x00100080)
    assert talk.call(CHANGE_NOTIFY, notify_body(file_id)).status == ACCESS_DENIED


@pytest.mark.parametrize("file_id", [bytes(16), ALL_ONES, b"\x07" * 16])
def test_file_ids_that_name_nothing(file_id: bytes) -> None:
    talk = World().ready()
    assert talk.call(CHANGE_NOTIFY, notify_body(file_id)).status == FILE_CLOSED


def test_a_share_without_notify_says_so_at_once() -> None:
    talk = World(share={"notify": False}).ready()
    answer = talk.call(CHANGE_NOTIFY, notify_body(talk.open("")))
    assert answer.status == 0xC0000002
    assert not answer.flags & ASYNC


@pytest.mark.parametrize("mask", [0, 0x1000, 0x80000000])
def test_filters_that_match_nothing_are_parked(mask: int) -> None:
    """smbtorture mask tries each of 32 bits, and rec the filter 0."""
    world = World()
    talk = world.ready()
    talk.park(talk.open(""), mask=mask)
    change(world)
    assert talk.take() == []


def test_beyond_the_bound_of_parked_requests_resources_are_insufficient() -> None:
    talk = World(config={"bounds": Bounds(parked=3)}).ready()
    file_id = talk.open("")
    statuses = [talk.call(CHANGE_NOTIFY, notify_body(file_id)).status for _ in range(5)]
    assert statuses == [PENDING] * 3 + [0xC000009A] * 2
    talk.cancel()
    talk.take()
    assert talk.call(CHANGE_NOTIFY, notify_body(file_id)).status == PENDING


# --- Compounds ----------------------------------------------------------------------------------


def test_explorers_compound_of_create_and_notify() -> None:
    world = World()
    talk = world.ready()
    created, interim = talk.compound(
        (CREATE, create_body("", access=0x00100081), {}),
        (CHANGE_NOTIFY, notify_body(ALL_ONES, size=2048, mask=0x15), {"flags": RELATED}),
    )
    assert (created.status, interim.status) == (0, PENDING)
    assert created.next_command == 0, "the interim response travels alone"
    change(world, "dir\\file1")
    assert talk.take() == []
    change(world, "file1")
    assert records(talk.take()[0]) == [(1, "file1")]


def test_a_notify_in_the_middle_of_a_chain_is_an_internal_error() -> None:
    talk = World().ready()
    created, notified, closed = talk.compound(
        (CREATE, create_body(""), {}),
        (CHANGE_NOTIFY, notify_body(ALL_ONES), {"flags": RELATED}),
        (CLOSE, close_body(ALL_ONES), {"flags": RELATED}),
    )
    assert [created.status, notified.status, closed.status] == [0, 0xC00000E5, 0]


def test_a_failed_create_fails_the_notify_with_its_status() -> None:
    talk = World().ready()
    answers = talk.compound(
        (CREATE, create_body("missing"), {}),
        (CHANGE_NOTIFY, notify_body(ALL_ONES), {"flags": RELATED}),
    )
    assert [answer.status for answer in answers] == [0xC0000034, 0xC0000034]
