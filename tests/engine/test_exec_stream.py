"""The exec stream's frames, whole and in pieces (Engine API, "Stream format")."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from lab.engine.stream import STDERR, STDOUT, Demultiplexer


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(data)) + data


FRAMES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=50)))


@given(FRAMES, st.integers(1, 20))
def test_pieces_of_any_size_give_the_same_streams(
    frames: list[tuple[int, bytes]], size: int
) -> None:
    whole = b"".join(frame(stream, data) for stream, data in frames)
    streams = Demultiplexer()
    for start in range(0, len(whole), size):
        streams.feed(whole[start : start + size])
    assert streams.stdout == b"".join(data for stream, data in frames if stream == STDOUT)
    assert streams.stderr == b"".join(data for stream, data in frames if stream == STDERR)


def test_a_line_is_taken_when_its_newline_came() -> None:
    streams = Demultiplexer()
    streams.feed(frame(STDOUT, b"one\ntw"))
    assert streams.take_line() == b"one\n"
    assert streams.take_line() is None
    streams.feed(frame(STDERR, b"aside\n") + frame(STDOUT, b"o\n"))
    assert streams.take_line() == b"two\n"
