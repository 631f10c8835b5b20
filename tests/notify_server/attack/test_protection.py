"""Who may say what: MessageIds, signatures, seals, lengths that lie, logons that did not happen."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.machine import BODIES, run_input
from fuzz.machine import World as FuzzedWorld
from notify_server.auth.acceptor import Acceptor, LogonError
from notify_server.core.ea import parse_full_ea, parse_get_ea
from notify_server.core.server import InlineRunner
from notify_server.fs.access import Credentials
from notify_server.fs.security import merge, select
from notify_server.wire.codec import WireError
from notify_server.wire.constants import CompletionFilter
from notify_server.wire.status import StatusError
from tests.notify_server.core.memory_store import key_of
from tests.notify_server.core.talk import (
    CREATE,
    ECHO,
    EMPTY,
    LOGOFF,
    NEGOTIATE,
    READ,
    SESSION_SETUP,
    SET_INFO,
    TREE_CONNECT,
    Answer,
    Talk,
    World,
    create_body,
    read_body,
    records,
)

ACCESS_DENIED, INVALID, SESSION_DELETED = 0xC0000022, 0xC000000D, 0xC0000203


@pytest.mark.parametrize("mid", [0, 1, 2, 10_000, 1 << 63, (1 << 64) - 1])
def test_a_message_id_that_is_not_in_the_window_ends_the_connection(mid: int) -> None:
    talk = World().ready()
    talk.send(ECHO, EMPTY, mid=mid)
    assert talk.closed


@pytest.mark.parametrize("charge", [9000, 65535])
def test_a_charge_beyond_the_window_ends_the_connection(charge: int) -> None:
    talk = World().ready()
    talk.send(ECHO, EMPTY, charge=charge)
    assert talk.closed


def test_a_replayed_signed_message_ends_the_connection() -> None:
    talk = World().ready()
    message = talk.request(ECHO, EMPTY)
    talk.feed(message)
    assert not talk.closed
    talk.feed(message)
    assert talk.closed


@pytest.mark.parametrize("cipher", [1, 2, 3, 4])
def test_a_replayed_transform_ends_the_connection(cipher: int) -> None:
    talk = World().ready(ciphers=(cipher,))
    talk.seal = True
    payload = talk._seal(talk.request(ECHO, EMPTY))
    talk.seal = False
    talk.feed(payload)
    assert [answer.status for answer in talk.take()] == [0]
    talk.feed(payload)
    assert talk.closed


@pytest.mark.slow
@given(st.binary(max_size=120), st.sampled_from([1, 2]))
def test_garbage_that_claims_to_be_sealed_ends_the_connection(data: bytes, cipher: int) -> None:
    talk = World().ready(ciphers=(cipher,))
    aad = b"n" * 16 + struct.pack("<IHHQ", len(data), 0, 1, talk.session_id)
    talk.feed(b"\xfdSMB" + b"s" * 16 + aad + data)
    assert talk.closed
    assert talk.take() == []


def test_a_seal_inside_a_seal_ends_the_connection() -> None:
    talk = World().ready(ciphers=(2,))
    inner = talk._seal(talk.request(ECHO, EMPTY, sign=False))
    talk.feed(talk._seal(inner))
    assert talk.closed


def test_a_sealed_message_that_speaks_for_another_session_ends_the_connection() -> None:
    world = World()
    talk = world.ready(ciphers=(2,))
    first = talk.session_id
    talk.log_on("other", "other")
    message = talk.request(ECHO, EMPTY, session_id=first, sign=False)
    talk.feed(talk._seal(message))
    assert talk.closed


@pytest.mark.parametrize("signing", [0, 1, 2])
def test_no_bit_of_a_signed_request_can_be_changed(signing: int) -> None:
    """Each byte of the message; the request is refused, or the connection ends."""
    world = World()
    for at in range(8, 68):
        talk = world.ready(signing=(signing,), security_mode=2)
        message = bytearray(talk.request(LOGOFF, EMPTY))
        message[at] ^= 8
        talk.feed(bytes(message))
        assert talk.session_id in world.server.sessions
        if not talk.closed:
            (answer,) = talk.take()
            assert answer.status in (ACCESS_DENIED, SESSION_DELETED, INVALID)  # no such command


@pytest.mark.parametrize("command", [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18])
def test_nothing_is_done_for_who_has_not_logged_on(command: int) -> None:
    world = World()
    talk = world.talk()
    talk.negotiate()
    talk.log_on("tester", "wrong")
    for session_id in (0, 1, 99):
        answer = talk.call(command, BODIES[command][0], session_id=session_id, tree_id=1)
        assert answer.status in (SESSION_DELETED, INVALID)
    assert world.store.handles == []


@pytest.mark.parametrize("command", [1, 3, 5, 13, 15])
def test_nothing_comes_before_negotiate(command: int) -> None:
    talk = World().talk()
    talk.feed(talk.request(command, BODIES[command][0]))
    assert talk.closed
    assert talk.take() == []


def test_a_second_negotiate_ends_the_connection() -> None:
    talk = World().ready()
    talk.feed(talk.request(NEGOTIATE, talk.negotiate_body()))
    assert talk.closed


def test_ntlm_v1_and_anonymous_are_refused() -> None:
    talk = World().talk()
    talk.negotiate()
    v1 = b"NTLMSSP\0\1\0\0\0" + struct.pack("<I", 0x00000207) + bytes(16)
    assert talk.call(SESSION_SETUP, talk.setup_body(v1)).status == INVALID
    token = b"NTLMSSP\0\1\0\0\0" + struct.pack("<I", 0x00088215) + bytes(16)
    answer = talk.call(SESSION_SETUP, talk.setup_body(token))
    fields = struct.pack("<HHI", 0, 0, 64) * 6
    nobody = b"NTLMSSP\0\3\0\0\0" + fields + struct.pack("<I", 0x00088A15)
    refused = talk.call(SESSION_SETUP, talk.setup_body(nobody), session_id=answer.session_id)
    assert refused.status == 0xC000006D
    assert talk.world.server.sessions == {}


# --- lengths and offsets --------------------------------------------------------------------

LIES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


@pytest.mark.parametrize("command", range(20))
def test_no_field_of_a_request_can_lie_to_effect(command: int) -> None:
    """Each 16- and 32-bit field of each body in turn; the server answers or hangs up."""
    for body in BODIES[command]:
        for at in range(0, len(body) - 1, 2):
            talk = Talk(World(), 0x0210)
            _stand_in_for_a_logon(talk)
            for lie in LIES:
                changed = bytearray(body)
                size = 4 if lie > 0xFFFF and at + 4 <= len(body) else 2
                changed[at : at + size] = (lie & ((1 << 8 * size) - 1)).to_bytes(size, "little")
                talk.send(command, bytes(changed))
                assert len(talk.connection.take_output()) <= 2
                if talk.closed:
                    break


def _stand_in_for_a_logon(talk: Talk) -> None:
    """A session without the exchange that makes one, which takes milliseconds."""
    peer = FuzzedWorld(2 | 2 << 2, 0)
    talk.connection = peer.peers[0].connection
    talk.session_id = next(iter(talk.connection.sessions))
    talk.tree_id, talk.mid = 1, 1
    assert isinstance(talk.world.runner, InlineRunner)


@pytest.mark.parametrize("size", [0, 1, 4, 63, 64, 65, 100])
def test_a_frame_that_is_cut_short_waits_and_one_that_is_too_short_ends(size: int) -> None:
    talk = World().ready()
    message = talk.request(ECHO, EMPTY)[:size]
    talk.connection.receive((68).to_bytes(4, "big") + message, 0)
    assert not talk.closed or size > 68
    talk = World().ready()
    talk.feed(message)
    assert talk.closed is (0 < len(message) < 64)


def test_a_frame_that_arrives_byte_by_byte_is_one_frame() -> None:
    talk = World().ready()
    message = talk.request(CREATE, create_body(""))
    for byte in len(message).to_bytes(4, "big") + message:
        talk.connection.receive(bytes((byte,)), 0)
    assert [answer.status for answer in talk.take()] == [0]


def test_a_frame_longer_than_allowed_is_not_waited_for() -> None:
    talk = World().ready()
    talk.connection.receive((0xFFFFFF).to_bytes(4, "big"), 0)
    assert talk.closed


# --- codecs outside `wire` ------------------------------------------------------------------


@given(st.binary(max_size=100), st.binary(max_size=100), st.integers(0, 0xFFFFFFFF))
def test_security_descriptors_and_eas_take_any_bytes(old: bytes, new: bytes, what: int) -> None:
    for work in (
        lambda: select(old, what),
        lambda: merge(old, what, new),
        lambda: parse_full_ea(old),
        lambda: parse_get_ea(old),
    ):
        with contextlib.suppress(StatusError, WireError):
            work()


@given(st.lists(st.binary(max_size=120), max_size=3), st.booleans())
def test_tokens_of_a_logon_take_any_bytes(tokens: list[bytes], bare: bool) -> None:
    acceptor = Acceptor({"tester": b"v" * 16}, "SERVER", b"C" * 8, 0)
    for token in tokens:
        try:
            step = acceptor.step(b"NTLMSSP\0" + token if bare else token)
        except LogonError:
            return
        assert step.identity is None


@given(st.binary(min_size=2, max_size=80))
@settings(max_examples=300)
def test_no_program_of_the_fuzzer_breaks_the_core(program: bytes) -> None:
    run_input(program)


def test_tree_connect_to_many_shares_by_odd_names() -> None:
    talk = World().ready()
    for name in ("", "\\", "\\\\", "\\\\s", "\\\\s\\", "\\\\\\TEST", "\\\\s\\TEST\\x", "\ud800"):
        path = name.encode("utf-16-le", "surrogatepass")
        body = struct.pack("<HHHH", 9, 0, 72, len(path)) + path
        assert talk.call(TREE_CONNECT, body).status == 0xC00000CC


def nobody(talk: Talk, session_id: int = 0, previous: int = 0) -> Answer:
    """Log on as nobody: on a session that is there, or on a new one."""
    fields = struct.pack("<HHI", 0, 0, 64) * 6
    for token in (
        b"NTLMSSP\0\1\0\0\0" + struct.pack("<I", 0x00088215) + bytes(16),
        b"NTLMSSP\0\3\0\0\0" + fields + struct.pack("<I", 0x00088A15),
    ):
        body = talk.setup_body(token, previous)
        answer = talk.call(SESSION_SETUP, body, session_id=session_id)
        session_id = answer.session_id
    return answer


def test_who_turns_into_nobody_keeps_what_is_open_and_gets_no_more() -> None:
    """smbtorture smb2.session.reauth2 to reauth5."""
    world = World(config={"allow_anonymous": True})
    world.store.make("other", b"x")
    talk = world.ready()
    file_id = talk.open("f", disposition=2)
    assert nobody(talk, talk.session_id).status == 0
    assert talk.call(READ, read_body(file_id, 0, 1)).status == 0xC0000011, "the end of file"
    assert talk.call(CREATE, create_body("other")).status == ACCESS_DENIED
    assert talk.call(CREATE, create_body("absent")).status == 0xC0000034
    assert talk.call(CREATE, create_body("new", disposition=2)).status == ACCESS_DENIED
    assert "new" not in world.store.nodes
    name = "g".encode("utf-16-le")
    rename = struct.pack("<B7xQI", 0, 0, len(name)) + name
    for kind, data in ((10, rename), (11, rename), (13, b"\1"), (64, b"\1\0\0\0")):
        body = struct.pack("<HBBIHHI16s", 33, 1, kind, len(data), 96, 0, 0, file_id) + data
        assert talk.call(SET_INFO, body).status == ACCESS_DENIED
    assert len(world.store.handles) == 1
    assert talk.log_on(again=True).status == 0
    assert talk.call(CREATE, create_body("new", disposition=2)).status == 0


@pytest.mark.parametrize("turns", [False, True])
def test_who_turns_into_nobody_is_told_no_names_that_were_kept_from_him(turns: bool) -> None:
    """Rule 15 of the watch table goes by who opened the directory."""
    rights = {"tester": Credentials(4711, 4711)}
    world = World(config={"allow_anonymous": True, "credentials": rights})
    for name in ("private", "open"):
        world.store.make(name)
    world.store.private.add(key_of("private"))
    talk = world.ready()
    file_id = talk.open("", access=0x81, options=1)
    if turns:
        assert nobody(talk, talk.session_id).status == 0
    talk.park(file_id, tree=True)
    for name in ("private\\secret", "open\\known"):
        world.feed.added(name, CompletionFilter.FILE_NOTIFY_CHANGE_FILE_NAME)
        world.server.drain(talk.now)
    (answer,) = talk.take()
    assert records(answer) == [(1, "open\\known")]


@pytest.mark.parametrize("require_signing", [True, False])
def test_who_began_as_nobody_does_not_turn_into_a_user(require_signing: bool) -> None:
    """The keys of such a session are made of zeros: whoever looks on could sign for the user."""
    world = World(config={"allow_anonymous": True, "require_signing": require_signing})
    talk = world.talk()
    talk.negotiate()
    talk.session_id = nobody(talk).session_id
    assert nobody(talk, talk.session_id).status == 0
    assert talk.log_on(again=True).status == ACCESS_DENIED
    assert world.server.sessions == {}
    assert talk.connect_tree().status == SESSION_DELETED


def test_nobody_cannot_end_the_session_of_another_nobody() -> None:
    world = World(config={"allow_anonymous": True})
    previous = 0
    for _ in range(2):
        talk = world.talk()
        talk.negotiate()
        answer = nobody(talk, previous=previous)
        assert answer.status == 0
        previous = answer.session_id
    assert len(world.server.sessions) == 2
