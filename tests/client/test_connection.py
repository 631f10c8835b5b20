"""A connection against a server that misbehaves: all is observed, nothing raises."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.client import wire
from lab.client.conn import ConnectFailed, Connection, Exchange, Outgoing
from lab.client.pump import Pump
from lab.scenarios.model import Command, NtStatus

ASYNC_RESPONSE = 3
Serve = Callable[["Peer"], None]


class Peer:
    """The server's end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def receive(self) -> wire.Header:
        size = int.from_bytes(self._exactly(4), "big")
        return wire.parse_header(self._exactly(size))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.socket.recv(count - len(data)) or pytest.fail("the client hung up")
        return data

    def send(self, message: bytes) -> None:
        self.socket.sendall(len(message).to_bytes(4, "big") + message)

    def negotiated(self) -> None:
        request = self.receive()
        body = struct.pack("<HHHH16sIIII", 65, 2, 0x0210, 0, bytes(16), 4, 65536, 65536, 65536)
        self.send(response(request, credits=10) + body + bytes(16) + struct.pack("<HHI", 128, 0, 0))


def response(
    request: wire.Header,
    status: int = 0,
    *,
    flags: int = 1,
    async_id: int = 0,
    message_id: int | None = None,
    credits: int = 1,
) -> bytes:
    low, high = (async_id & 0xFFFFFFFF, async_id >> 32) if async_id else (0, 5)
    message_id = request.message_id if message_id is None else message_id
    return wire.Header(
        64, 1, status, request.command, credits, flags, 0, message_id, low, high, 9, bytes(16)
    ).pack()


ERROR = struct.pack("<HBBIB", 9, 0, 0, 0, 0)
NOTIFIED = struct.pack("<HHI", 9, 72, 14) + struct.pack("<III", 0, 1, 2) + b"a\0"


class Client:
    """A connection to `serve`, and what it observed."""

    def __init__(self, serve: Serve) -> None:
        self.observed: list[dict[str, Any]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve, args=(serve,), daemon=True)
        self.thread.start()
        self.conn = Connection("c", Pump(), self._observe, scale=1.0)
        self.conn.open("127.0.0.1", self.listener.getsockname()[1], 2.0)

    def _serve(self, serve: Serve) -> None:
        accepted, _ = self.listener.accept()
        with accepted:
            serve(Peer(accepted))
            with contextlib.suppress(OSError):
                while accepted.recv(65536):
                    pass

    def _observe(self, kind: str, **values: Any) -> None:
        self.observed.append({"kind": kind, **values})

    def negotiate(self) -> None:
        self.conn.negotiate((0x0210,), ())

    def notify(self) -> Exchange:
        fields = {"file_id": bytes(16), "completion_filter": 1, "output_buffer_length": 64}
        body = wire.build_body(Command.CHANGE_NOTIFY, fields)
        return self.conn.send([Outgoing("notify1", Command.CHANGE_NOTIFY, body)])[0]

    def stages(self) -> list[tuple[str, str]]:
        return [(o["ref"], o["stage"]) for o in self.observed if o.get("dir") == "in"][1:]

    def close(self) -> None:
        self.conn.close()
        self.listener.close()
        self.thread.join(3.0)


@pytest.fixture
def client() -> Iterator[Callable[[Serve], Client]]:
    made: list[Client] = []

    def make(serve: Serve) -> Client:
        made.append(Client(serve))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_interim_and_final_belong_to_their_request(client: Callable[[Serve], Client]) -> None:
    def serve(peer: Peer) -> None:
        peer.negotiated()
        request = peer.receive()
        pending = response(
            request, NtStatus.STATUS_PENDING, flags=ASYNC_RESPONSE, async_id=0x1_0000_0007
        )
        peer.send(pending + ERROR)
        final = response(request, flags=ASYNC_RESPONSE, async_id=0x1_0000_0007, credits=0)
        peer.send(final + NOTIFIED)

    it = client(serve)
    it.negotiate()
    exchange = it.notify()
    assert it.conn.wait(lambda: exchange.final is not None, 2.0)
    assert it.stages() == [("notify1", "interim"), ("notify1", "final")]
    assert exchange.async_id == 0x1_0000_0007
    assert exchange.final is not None
    (record,) = exchange.final["body"]["records"]
    assert (record["action"], record["name"]) == ("ADDED", "a")
    assert it.conn.credits == 10  # 1 + 10 from NEGOTIATE, - 2, + 1 from the interim response


def test_a_message_may_arrive_byte_by_byte(client: Callable[[Serve], Client]) -> None:
    def serve(peer: Peer) -> None:
        peer.negotiated()
        message = response(peer.receive()) + NOTIFIED
        for byte in len(message).to_bytes(4, "big") + message:
            peer.socket.sendall(bytes([byte]))

    it = client(serve)
    it.negotiate()
    exchange = it.notify()
    assert it.conn.wait(lambda: exchange.final is not None, 2.0)


def test_unknown_message_ids_and_second_answers_are_told_apart(
    client: Callable[[Serve], Client],
) -> None:
    def serve(peer: Peer) -> None:
        peer.negotiated()
        request = peer.receive()
        peer.send(response(request, message_id=4711) + NOTIFIED)
        peer.send(response(request) + NOTIFIED)
        peer.send(response(request) + NOTIFIED)

    it = client(serve)
    it.negotiate()
    it.notify()
    it.conn.wait(lambda: len(it.stages()) == 3, 2.0)
    assert it.stages() == [("", "final"), ("notify1", "final"), ("notify1", "extra")]


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"\0\0\0\x04oops", "garbage"),
        (b"\0\0\0\x00", "garbage"),
        (b"\0\0\0\x40" + b"\xffSMB" + bytes(60), "garbage"),
        (b"HTTP/1.1 400 Bad Request\r\n", "garbage"),
        (b"", "reset"),
    ],
)
def test_garbage_and_hangups_are_observed_not_raised(
    client: Callable[[Serve], Client], frame: bytes, kind: str
) -> None:
    def serve(peer: Peer) -> None:
        peer.negotiated()
        peer.receive()
        peer.socket.sendall(frame)
        if kind == "reset":
            peer.socket.shutdown(socket.SHUT_RDWR)

    it = client(serve)
    it.negotiate()
    exchange = it.notify()
    it.conn.wait(lambda: any(o["kind"] == kind for o in it.observed), 2.0)
    assert any(o["kind"] == kind for o in it.observed)
    assert exchange.final is None
    it.notify()  # sending into a closed connection does not raise either


def test_a_truncated_body_is_kept_and_marked(client: Callable[[Serve], Client]) -> None:
    def serve(peer: Peer) -> None:
        peer.negotiated()
        peer.send(response(peer.receive()) + NOTIFIED[:-1])

    it = client(serve)
    it.negotiate()
    exchange = it.notify()
    it.conn.wait(lambda: exchange.final is not None, 2.0)
    assert exchange.final is not None
    assert "leave the" in exchange.final["body"]["malformed"]
    assert exchange.final["raw"].endswith("6100"[:-2])


def test_a_handshake_that_fails_names_its_step(client: Callable[[Serve], Client]) -> None:
    def serve(peer: Peer) -> None:
        request = peer.receive()
        peer.send(response(request, NtStatus.STATUS_NOT_SUPPORTED) + ERROR)

    with pytest.raises(ConnectFailed, match="NEGOTIATE: STATUS_NOT_SUPPORTED"):
        client(serve).negotiate()


def test_nobody_listening_is_a_failed_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    conn = Connection("c", Pump(), lambda *_, **__: None, scale=1.0)
    with pytest.raises(ConnectFailed, match="TCP to"):
        conn.open("127.0.0.1", port, 1.0)


@pytest.mark.parametrize(
    ("message_id", "async_id", "flags"), [(0, 0x2_0000_0009, 2), (4, 0x2_0000_0009, 2), (4, 0, 0)]
)
def test_a_cancel_names_its_target_and_takes_no_number(
    client: Callable[[Serve], Client], message_id: int, async_id: int, flags: int
) -> None:
    """MS-SMB2 3.2.4.24."""
    seen: list[wire.Header] = []

    came = threading.Event()

    def serve(peer: Peer) -> None:
        peer.negotiated()
        seen.extend([peer.receive(), peer.receive()])
        came.set()

    it = client(serve)
    it.negotiate()
    it.conn.cancel("notify1", message_id, async_id)
    it.notify()
    assert came.wait(5)
    cancel, notify = seen
    assert (cancel.command, cancel.message_id) == (Command.CANCEL, message_id)
    assert cancel.flags == flags
    assert not async_id or cancel.async_id == async_id
    assert notify.message_id == 1  # 0 was the NEGOTIATE's


def test_a_client_left_without_credits_says_so(
    client: Callable[[Serve], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.client.conn.CREDITS_DEADLINE", 0.05)

    def serve(peer: Peer) -> None:
        request = peer.receive()
        body = struct.pack("<HHHH16sIIII", 65, 2, 0x0210, 0, bytes(16), 4, 65536, 65536, 65536)
        tail = bytes(16) + struct.pack("<HHI", 128, 0, 0)
        peer.send(response(request, credits=0) + body + tail)
        peer.receive()

    it = client(serve)
    it.negotiate()
    it.notify()
    assert [o["conn"] for o in it.observed if o["kind"] == "starved"] == ["c"]


def test_credits_are_waited_for(client: Callable[[Serve], Client]) -> None:
    """With none left, the next request goes out when the server has granted some."""
    granted = threading.Event()

    def serve(peer: Peer) -> None:
        request = peer.receive()
        body = struct.pack("<HHHH16sIIII", 65, 2, 0x0210, 0, bytes(16), 4, 65536, 65536, 65536)
        tail = bytes(16) + struct.pack("<HHI", 128, 0, 0)
        peer.send(response(request, credits=1) + body + tail)
        first = peer.receive()
        granted.set()
        peer.send(response(first, credits=3) + NOTIFIED)
        peer.send(response(peer.receive()) + NOTIFIED)

    it = client(serve)
    it.negotiate()
    first, second = it.notify(), it.notify()
    assert granted.is_set()
    assert it.conn.wait(lambda: second.final is not None, 2.0)
    assert first.final is not None


def test_what_is_corked_leaves_in_one_piece(client: Callable[[Serve], Client]) -> None:
    chunks: list[bytes] = []

    def serve(peer: Peer) -> None:
        peer.negotiated()
        chunks.append(peer.socket.recv(65536))

    lab = client(serve)
    lab.negotiate()
    lab.conn.cork()
    exchange = lab.notify()
    lab.conn.cancel("notify1", exchange.message_id, 0)
    assert not chunks
    lab.conn.uncork()
    lab.thread.join(0.5)
    first = int.from_bytes(chunks[0][:4], "big") + 4
    second = int.from_bytes(chunks[0][first : first + 4], "big") + 4
    assert wire.parse_header(chunks[0][4:first]).command == Command.CHANGE_NOTIFY
    assert wire.parse_header(chunks[0][first + 4 :]).command == Command.CANCEL
    assert first + second == len(chunks[0])


def test_a_session_cannot_be_sealed_without_a_cipher(client: Callable[[Serve], Client]) -> None:
    lab = client(lambda peer: peer.negotiated())
    lab.negotiate()
    with pytest.raises(ConnectFailed, match="no cipher"):
        lab.conn.seal()
