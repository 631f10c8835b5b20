"""Our end of a process in a container, against a socket that plays the engine."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lab.engine.pipe import ExecSocket, Pipe
from lab.engine.stream import STDERR, STDOUT
from lab.scenarios.pipe import PipeClosed

Play = Callable[[socket.socket], None]


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(data)) + data


@pytest.fixture
def against() -> Iterator[Callable[[Play], ExecSocket]]:
    threads: list[threading.Thread] = []

    def start(play: Play) -> ExecSocket:
        ours, theirs = socket.socketpair()

        def run() -> None:
            with theirs:
                play(theirs)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return ExecSocket(ours, lambda: 7)

    yield start
    for thread in threads:
        thread.join(timeout=5)
        assert not thread.is_alive()


def echo(peer: socket.socket) -> None:
    while data := peer.recv(65536):
        peer.sendall(frame(STDOUT, data))


def test_megabytes_go_in_and_out_at_the_same_time(
    against: Callable[[Play], ExecSocket],
) -> None:
    """A writer that does not read meanwhile would wait for ever."""
    data = bytes(range(256)) * 20_000
    assert against(echo).communicate(data, 10) == (data, b"", 7)


def test_input_that_is_not_read_to_the_end_is_no_error(
    against: Callable[[Play], ExecSocket],
) -> None:
    def head(peer: socket.socket) -> None:
        peer.recv(10)
        peer.sendall(frame(STDOUT, b"enough") + frame(STDERR, b"!"))

    stdout, stderr, code = against(head).communicate(b"x" * 5_000_000, 10)
    assert (code, stdout, stderr) in [(7, b"enough", b"!"), (7, b"", b"")]


def test_what_came_with_the_http_header_is_not_lost() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    exec_socket = ExecSocket(ours, lambda: 0, early=frame(STDOUT, b"quick\n"))
    assert exec_socket.communicate(None, 1) == (b"quick\n", b"", 0)


def test_a_silent_process_runs_into_the_deadline(against: Callable[[Play], ExecSocket]) -> None:
    def silent(peer: socket.socket) -> None:
        peer.recv(1)

    connection = against(silent)
    start = time.monotonic()
    with pytest.raises(TimeoutError), connection:
        connection.read_some(start + 0.2)
    assert 0.15 < time.monotonic() - start < 2


def test_lines_are_exchanged_and_the_end_is_told_with_its_last_words(
    against: Callable[[Play], ExecSocket],
) -> None:
    def converse(peer: socket.socket) -> None:
        assert peer.recv(100) == b"hello\n"
        peer.sendall(frame(STDOUT, b"wor") + frame(STDOUT, b"ld\nmore\n"))
        assert peer.recv(100) == b"bye\n"
        peer.sendall(frame(STDERR, b"Traceback\nIt: broke\n"))

    pipe = Pipe(against(converse))
    pipe.write_line("hello")
    assert pipe.read_line(2) == "world"
    assert pipe.read_line(2) == "more"
    with pytest.raises(TimeoutError):
        pipe.read_line(0.05)
    pipe.write_line("bye")
    with pytest.raises(PipeClosed, match="It: broke"):
        pipe.read_line(2)
    assert pipe.close() == 7
    with pytest.raises(PipeClosed):
        pipe.write_line("anybody there?")
