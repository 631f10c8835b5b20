"""Progress where there is no terminal: plain lines, and the seconds of each step."""

from __future__ import annotations

import io

import pytest

from lab.progress import Progress


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_step_says_start_lines_and_end() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock)
    with progress.step("images", "Building the images"):
        progress.say("samba: built")
        clock.now += 2.5
    assert stream.getvalue() == (
        "Building the images …\n  samba: built\nBuilding the images: 2.5 s\n"
    )
    assert progress.seconds == {"images": 2.5}


def test_a_step_that_fails_keeps_its_seconds_and_claims_nothing() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock)

    def fail() -> None:
        with progress.step("a", "A"):
            clock.now += 1
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert stream.getvalue() == "A …\n"
    assert progress.seconds == {"a": 1.0}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_lines_that_stay_are_the_same() -> None:
    clock, stream = Clock(), Terminal()
    progress = Progress(stream, clock)
    with progress.step("a", "A"):
        progress.say("line")
        with progress.step("b", "B"):
            clock.now += 1
    assert stream.getvalue() == "  line\nB: 1.0 s\nA: 1.0 s\n"
