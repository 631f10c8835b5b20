"""The probe: what it sends, what it accepts as an answer, and how it words each failure."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from lab import probe

GUID = UUID("00112233-4455-6677-8899-aabbccddeeff")


def response(
    *,
    protocol: bytes = b"\xfeSMB",
    status: int = 0,
    command: int = 0,
    flags: int = 1,
    message_id: int = 0,
    size: int = 65,
    dialect: int = 0x0311,
) -> bytes:
    """A NEGOTIATE Response written out field by field ([MS-SMB2] 2.2.1.2, 2.2.4)."""
    return b"".join(
        [
            protocol,
            struct.pack("<HHIHHII", 64, 0, status, command, 1, flags, 0),
            struct.pack("<QIIQ", message_id, 0, 0, 0),
            b"\0" * 16,
            struct.pack("<HHHH", size, 1, dialect, 0),
            GUID.bytes_le,
            struct.pack("<IIII", 0x7, 8 << 20, 8 << 20, 8 << 20),
            struct.pack("<QQHHI", 0, 0, 128, 0, 0),
        ]
    )


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener that lets `answer` deal with one connection; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def read_request(connection: socket.socket) -> bytes:
    (length,) = struct.unpack(">I", connection.recv(4, socket.MSG_WAITALL))
    return connection.recv(length, socket.MSG_WAITALL)


def test_the_request_lists_every_dialect_and_aligns_its_contexts() -> None:
    request = probe.negotiate_request(client_guid=bytes(16), salt=bytes(32))
    size, count = struct.unpack_from("<HH", request, 64)
    offset, contexts = struct.unpack_from("<IH", request, 64 + 28)
    assert (size, count, contexts) == (36, 5, 2)
    assert struct.unpack_from("<5H", request, 100) == (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
    assert offset % 8 == 0
    kind, length = struct.unpack_from("<HH", request, offset)
    assert (kind, length) == (1, 38)
    second = offset + 8 + length + (-(8 + length) % 8)
    assert struct.unpack_from("<HH", request, second) == (2, 10)
    assert len(request) == second + 8 + 10


def test_an_answer_gives_guid_and_dialect() -> None:
    def answer(connection: socket.socket) -> None:
        assert read_request(connection).startswith(b"\xfeSMB")
        pdu = response()
        connection.sendall(struct.pack(">I", len(pdu)) + pdu[:10])
        connection.sendall(pdu[10:])

    with server(answer) as port:
        negotiated = probe.negotiate("127.0.0.1", port, 5)
    assert negotiated.server_guid == GUID
    assert negotiated.dialect_name == "3.1.1"
    assert negotiated.max_transact_size == 8 << 20
    assert negotiated.milliseconds > 0


@pytest.mark.parametrize(
    ("pdu", "words"),
    [
        (b"", "not SMB2: empty"),
        (response(protocol=b"\xffSMB"), "not SMB2: ff 53"),
        (response(command=1), "no response to NEGOTIATE: command 1"),
        (response(flags=0), "no response to NEGOTIATE"),
        (response(message_id=3), "MessageId 3"),
        (response(status=0xC00000BB), "NTSTATUS 0xc00000bb"),
        (response(size=9), "size 9"),
        (response(dialect=0x02FF), "dialect 0x02ff"),
        (response()[:100], "cut short: 100 bytes"),
    ],
)
def test_anything_else_is_an_error_that_says_what_came(pdu: bytes, words: str) -> None:
    with pytest.raises(probe.ProbeError, match=words):
        probe.parse_response(pdu)


def test_a_port_that_accepts_and_says_nothing_is_not_alive() -> None:
    done = threading.Event()
    with server(lambda _: done.wait(5) and None) as port:
        with pytest.raises(probe.ProbeError, match=r"NEGOTIATE: no answer within 0\.2 s"):
            probe.negotiate("127.0.0.1", port, 0.2)
        done.set()


def test_a_connection_closed_at_once_is_named() -> None:
    with (
        server(lambda connection: read_request(connection) and None) as port,
        pytest.raises(probe.ProbeError, match="closed before NEGOTIATE was answered"),
    ):
        probe.negotiate("127.0.0.1", port, 5)


def test_an_answer_of_another_protocol_is_named() -> None:
    with (
        server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port,
        pytest.raises(probe.ProbeError, match="not SMB: transport header 0x48545450"),
    ):
        probe.negotiate("127.0.0.1", port, 5)


def test_a_closed_port_is_a_failed_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(probe.ProbeError, match="connect: Connection refused"):
        probe.negotiate("127.0.0.1", port, 1)


def test_the_command_line_prints_json_and_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(connection: socket.socket) -> None:
        read_request(connection)
        pdu = response()
        connection.sendall(struct.pack(">I", len(pdu)) + pdu)

    with server(answer) as port:
        assert probe.main(["127.0.0.1", str(port), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["server_guid"] == str(GUID)
    assert said["dialect"] == "3.1.1"


@pytest.mark.parametrize(
    "argv", [[], ["host"], ["host", "port"], ["h", "1", "2"], ["h", "1", "--timeout"]]
)
def test_a_wrong_call_exits_2_with_the_usage(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe.main(argv) == 2
    assert "usage: probe.py HOST PORT" in capsys.readouterr().err


def test_a_dead_server_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert probe.main(["127.0.0.1", str(port)]) == 1
    assert "Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dialect", "name"),
    [(0x0202, "2.0.2"), (0x0210, "2.1"), (0x0300, "3.0"), (0x0302, "3.0.2"), (0x0311, "3.1.1")],
)
def test_dialects_are_named_as_people_write_them(dialect: int, name: str) -> None:
    assert probe.dialect_name(dialect) == name
