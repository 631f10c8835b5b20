"""A console read piece by piece: each line once, no report cut in two."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.crashes.console import OVERLAP_S, Console, unseen
from lab.crashes.model import Kind
from tests.crashes.test_parse import recorded


@dataclass
class Guest:
    """Prints a line at a time; `read` is the engine's log of it."""

    now: float = 1000.0
    printed: list[tuple[float, str]] = field(default_factory=list)
    to_come: list[str] = field(default_factory=list)  # a line a tick

    def say(self, text: str) -> None:
        for line in text.splitlines():
            self.now += 0.001
            self.printed.append((self.now, line))

    def read(self, since: float) -> str:
        return "".join(f"{line}\n" for at, line in self.printed if at >= since)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for line in self.to_come[:10]:
            self.say(line)
        del self.to_come[:10]

    def console(self) -> Console:
        return Console(self.read, lambda: self.now, self.sleep)


def test_each_report_is_told_once() -> None:
    guest = Guest()
    guest.say(recorded("bug"))
    console = guest.console()
    console.start()
    assert console.crashes() == []
    guest.say(recorded("warn"))
    assert [crash.kind for crash in console.crashes()] == [Kind.WARNING]
    assert console.crashes() == []
    guest.now += OVERLAP_S * 2
    guest.say(recorded("warn"))
    guest.now += OVERLAP_S * 2
    assert [crash.kind for crash in console.crashes()] == [Kind.WARNING]


def test_a_report_that_has_begun_is_waited_for() -> None:
    guest = Guest()
    console = guest.console()
    console.start()
    lines = recorded("list").splitlines()
    guest.say("\n".join(lines[:12]))
    guest.to_come = lines[12:]
    (crash,) = console.crashes(ended=True)
    assert crash.complete
    assert crash.fatal
    assert not guest.to_come


def test_a_report_that_never_ends_is_told_as_far_as_it_came() -> None:
    guest = Guest()
    console = guest.console()
    console.start()
    guest.say("\n".join(recorded("list").splitlines()[:12]))
    (crash,) = console.crashes()
    assert not crash.complete
    assert guest.now < 1010


def test_a_guest_that_is_gone_says_why_before_it_is_given_up() -> None:
    guest = Guest()
    console = guest.console()
    console.start()
    guest.to_come = recorded("sysrq-c").splitlines()
    (crash,) = console.crashes(ended=True)
    assert crash.kind is Kind.PANIC


def test_unseen() -> None:
    assert unseen([], ["a"]) == ["a"]
    assert unseen(["a", "b"], ["b", "c"]) == ["c"]
    assert unseen(["a", "b"], ["a", "b"]) == []
    assert unseen(["b", "b"], ["b", "b", "b"]) == ["b"]
    assert unseen(["a"], ["c"]) == ["c"]
