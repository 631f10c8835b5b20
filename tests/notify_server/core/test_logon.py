"""Sessions: logon, signing, sealing, repetition, expiry, and their end."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from notify_server.core.config import Bounds, Encryption
from tests.notify_server.core.talk import (
    CHANGE_NOTIFY,
    CREATE,
    ECHO,
    EMPTY,
    GUID,
    IOCTL,
    LOGOFF,
    SESSION_SETUP,
    SIGNED,
    TREE_CONNECT,
    TREE_DISCONNECT,
    World,
    close_body,
    create_body,
    notify_body,
)

CLOSE = 6
ACCESS_DENIED, LOGON_FAILURE, SESSION_DELETED = 0xC0000022, 0xC000006D, 0xC0000203
CLEANUP, EXPIRED = 0x10B, 0xC000035C


@pytest.mark.parametrize(
    ("dialect", "signing"),
    [(0x0202, ()), (0x0210, ()), (0x0300, ()), (0x0302, ()), (0x0311, (0,)), (0x0311, (1,)),
     (0x0311, (2,)), (0x0311, ())],
)  # fmt: skip
def test_a_signed_session_works_in_each_dialect(dialect: int, signing: tuple[int, ...]) -> None:
    talk = World().talk(dialect, signing=signing)
    talk.negotiate()
    final = talk.log_on()
    assert final.status == 0
    assert final.flags & SIGNED
    answer = talk.connect_tree()
    assert answer.status == 0
    assert answer.flags & SIGNED


@pytest.mark.parametrize("cipher", [1, 2, 3, 4])
def test_a_sealed_request_gets_a_sealed_answer(cipher: int) -> None:
    talk = World().ready(ciphers=(cipher,))
    talk.seal = True
    answer = talk.call(CREATE, create_body("new", disposition=2))
    assert answer.status == 0
    assert answer.sealed
    assert not answer.flags & SIGNED


@pytest.mark.parametrize("dialect", [0x0300, 0x0302])
def test_3_0_seals_with_ccm(dialect: int) -> None:
    talk = World().ready(dialect)
    talk.seal = True
    assert talk.call(ECHO, EMPTY).sealed


def test_a_sealed_message_that_was_changed_ends_the_connection() -> None:
    talk = World().ready(ciphers=(2,))
    sealed = bytearray(talk._seal(talk.request(ECHO, EMPTY, sign=False)))
    sealed[-1] ^= 1
    talk.connection.receive(len(sealed).to_bytes(4, "big") + bytes(sealed), 0)
    assert talk.closed


def test_where_encryption_is_required_plain_requests_are_denied() -> None:
    world = World(config={"encryption": Encryption.REQUIRED})
    talk = world.talk(ciphers=(2,))
    talk.negotiate()
    assert talk.log_on().status == 0
    assert talk.connect_tree().status == ACCESS_DENIED
    talk.seal = True
    assert talk.connect_tree().status == 0
    plain = world.talk(0x0210)
    plain.negotiate()
    assert plain.call(SESSION_SETUP, plain.setup_body(b"x")).status == ACCESS_DENIED


def test_a_share_can_ask_for_encryption_by_itself() -> None:
    talk = World(share={"encrypt": True}).talk(ciphers=(2,))
    talk.negotiate()
    talk.log_on()
    assert talk.connect_tree().status == 0
    assert talk.call(CREATE, create_body("")).status == ACCESS_DENIED
    talk.seal = True
    assert talk.call(CREATE, create_body("")).status == 0


@pytest.mark.parametrize(("user", "password"), [("tester", "wrong"), ("nobody", "secret")])
def test_a_failed_logon_leaves_no_session(user: str, password: str) -> None:
    world = World()
    talk = world.talk()
    talk.negotiate()
    assert talk.log_on(user, password).status == LOGON_FAILURE
    assert world.server.sessions == {}
    assert talk.call(TREE_CONNECT, EMPTY, session_id=99).status == SESSION_DELETED


def test_a_session_that_is_being_set_up_is_none_yet() -> None:
    talk = World().talk()
    talk.negotiate()
    negotiate_message = b"NTLMSSP\0\x01\0\0\0" + struct.pack("<I", 0x00080205) + b"\0" * 16
    answer = talk.call(SESSION_SETUP, talk.setup_body(negotiate_message))
    assert answer.status == 0xC0000016
    assert talk.call(LOGOFF, EMPTY, session_id=answer.session_id).status == SESSION_DELETED


def test_an_unsigned_request_on_a_session_that_signs_is_denied() -> None:
    talk = World().ready(security_mode=2)
    assert talk.call(TREE_CONNECT, EMPTY, sign=False).status == ACCESS_DENIED


def test_a_wrong_signature_is_denied_even_if_none_was_needed() -> None:
    talk = World().ready()
    message = bytearray(talk.request(ECHO, EMPTY))
    message[50] ^= 1
    talk.feed(bytes(message))
    (answer,) = talk.take()
    assert answer.status == ACCESS_DENIED


def test_an_unsigned_request_gets_an_unsigned_answer_where_nobody_insists() -> None:
    talk = World().ready()
    answer = talk.call(ECHO, EMPTY, sign=False)
    assert answer.status == 0
    assert not answer.flags & SIGNED


def test_require_signing_is_announced_and_enforced() -> None:
    talk = World(config={"require_signing": True}).talk()
    assert talk.negotiate().body[2] == 3
    talk.log_on()
    assert talk.call(TREE_CONNECT, EMPTY, sign=False).status == ACCESS_DENIED


def test_two_sessions_on_a_connection_do_not_see_each_others_opens() -> None:
    talk = World().ready()
    file_id = talk.open("")
    first = talk.session_id, talk.tree_id, talk.key
    talk.log_on("other", "other")
    talk.connect_tree()
    assert talk.call(CLOSE, close_body(file_id)).status == 0xC0000128
    talk.session_id, talk.tree_id, talk.key = first
    assert talk.call(CLOSE, close_body(file_id)).status == 0


def test_a_file_id_belongs_to_its_tree() -> None:
    talk = World().ready()
    file_id = talk.open("")
    talk.connect_tree()
    assert talk.call(CLOSE, close_body(file_id)).status == 0xC0000128


def test_previous_session_id_ends_the_old_session_of_the_same_user() -> None:
    world = World()
    old, new = world.ready(), world.talk()
    old.park(old.open(""))
    new.negotiate()
    new.log_on(previous=old.session_id)
    assert [answer.status for answer in old.take()] == [CLEANUP]
    assert old.call(TREE_DISCONNECT, EMPTY).status == SESSION_DELETED


def test_previous_session_id_does_nothing_to_another_users_session() -> None:
    world = World()
    old, new = world.ready(), world.talk()
    new.negotiate()
    new.log_on("other", "other", previous=old.session_id)
    assert old.call(TREE_DISCONNECT, EMPTY).status == 0


def test_logging_on_again_keeps_keys_opens_and_notifies() -> None:
    world = World()
    talk = world.ready()
    file_id = talk.open("")
    talk.park(file_id)
    assert talk.log_on(again=True).status == 0
    assert talk.take() == []
    talk.send(CLOSE, close_body(file_id))
    assert sorted(answer.status for answer in talk.take()) == [0, CLEANUP]


def test_a_session_does_not_change_hands() -> None:
    talk = World().ready()
    assert talk.log_on("other", "other", again=True).status == ACCESS_DENIED
    assert talk.call(TREE_DISCONNECT, EMPTY).status == SESSION_DELETED


def test_failing_to_log_on_again_ends_the_session() -> None:
    talk = World().ready()
    talk.park(talk.open(""))
    client_token = b"NTLMSSP\0\x01\0\0\0" + struct.pack("<I", 0x00080205) + b"\0" * 16
    talk.call(SESSION_SETUP, talk.setup_body(client_token))
    talk.send(SESSION_SETUP, talk.setup_body(b"rubbish"))
    statuses = [answer.status for answer in talk.take()]
    assert CLEANUP in statuses
    assert talk.call(TREE_DISCONNECT, EMPTY).status == SESSION_DELETED


@pytest.mark.parametrize(
    "config", [{"session_seconds": 60.0}, {"session_seconds_of": {"tester": 60.0}}]
)
def test_an_expired_session_keeps_what_is_pending_and_refuses_what_is_new(
    config: dict[str, Any],
) -> None:
    world = World(config=config)
    talk = world.ready()
    file_id = talk.open("")
    talk.park(file_id)
    talk.now += 61
    assert talk.call(CHANGE_NOTIFY, notify_body(file_id)).status == EXPIRED
    assert talk.log_on(again=True).status == 0
    talk.park(file_id)


def test_close_and_logoff_work_in_an_expired_session() -> None:
    world = World(config={"session_seconds": 60.0})
    talk = world.ready()
    file_id = talk.open("")
    talk.now += 61
    assert talk.call(CLOSE, close_body(file_id)).status == 0
    assert talk.call(LOGOFF, EMPTY).status == 0


def test_logoff_closes_what_is_open() -> None:
    world = World()
    talk = world.ready()
    talk.open("")
    assert talk.call(LOGOFF, EMPTY).status == 0
    assert world.store.handles == []
    assert talk.call(TREE_DISCONNECT, EMPTY).status == SESSION_DELETED


def test_a_lost_connection_closes_what_is_open() -> None:
    world = World()
    talk = world.ready()
    talk.park(talk.open(""))
    talk.connection.lost(talk.now)
    assert world.store.handles == []
    assert world.server.sessions == {}
    assert len(world.server.watches) == 0


def test_binding_a_session_to_a_second_connection_is_refused() -> None:
    world = World()
    first, second = world.ready(), world.talk()
    second.negotiate()
    answer = second.call(
        SESSION_SETUP, second.setup_body(b"x", flags=1), session_id=first.session_id
    )
    assert answer.status == 0xC00000D0


def test_bounds_on_sessions_trees_and_opens() -> None:
    bounds = Bounds(sessions=1, trees=1, opens=1)
    talk = World(config={"bounds": bounds}).ready()
    assert talk.call(SESSION_SETUP, talk.setup_body(b"x"), session_id=0).status == 0xC00000D0
    path = "\\\\s\\IPC$".encode("utf-16-le")
    body = struct.pack("<HHHH", 9, 0, 72, len(path)) + path
    assert talk.call(TREE_CONNECT, body).status == 0xC000009A
    talk.open("")
    assert talk.call(CREATE, create_body("")).status == 0xC000011F


def test_sessions_of_all_connections_are_bounded() -> None:
    world = World(config={"bounds": Bounds(all_sessions=1)})
    first, second = world.ready(), world.talk()
    second.negotiate()
    body = second.setup_body(b"x")
    assert second.call(SESSION_SETUP, body, session_id=0).status == 0xC00000D0
    first.connection.lost(1.0)
    assert world.ready().open("")


def test_an_unknown_share_and_a_pipe() -> None:
    talk = World().ready()
    assert talk.connect_tree("NONE").status == 0xC00000CC
    assert talk.connect_tree("ipc$").status == 0
    assert talk.call(CREATE, create_body("srvsvc")).status == 0xC0000034


@pytest.mark.parametrize("changed", ["nothing", "guid", "dialects"])
def test_validate_negotiate_info(changed: str) -> None:
    talk = World().ready(0x0302)
    guid = b"?" * 16 if changed == "guid" else GUID
    dialect = 0x0300 if changed == "dialects" else 0x0302
    info = struct.pack("<I16sHHH", 0x40, guid, 1, 1, dialect)
    body = struct.pack(
        "<HHI16sIIIIIIII", 57, 0, 0x00140204, b"\xff" * 16, 120, len(info), 0, 0, 0, 24, 1, 0
    )
    talk.send(IOCTL, body + info)
    if changed == "nothing":
        (answer,) = talk.take()
        assert answer.status == 0
        assert struct.unpack("<I16sHH", answer.body[48:72]) == (0x44, b"G" * 16, 1, 0x0302)
    else:
        assert talk.closed
