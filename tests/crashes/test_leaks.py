"""Memory and files that a guest did not give back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lab.crashes import leaks
from lab.crashes.leaks import Leaks, Look, unreferenced
from lab.crashes.model import Kind

OBJECT = """unreferenced object 0xffff888004c4e6{0:02x} (size {1}):
  comm "insmod", pid 226, jiffies 4294677777
  hex dump (first 32 bytes):
    6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b  kkkkkkkkkkkkkkkk
  backtrace (crc 5ea5b6ef):
    kmemleak_alloc+0x4b/0x80
    __kmalloc_cache_noprof+0x2b0/0x3a0
    lab_leak+0x{2:x}/0x60 [lab_crash]
    do_one_initcall+0x9f/0x2f0
"""


@dataclass
class Guest:
    """Answers the shell lines; `files` are the counts that it tells, one after another."""

    files: list[int]
    boots: list[str] = field(default_factory=lambda: ["a"])
    kmemleak: str = ""
    asked: list[str] = field(default_factory=list)
    slept: float = 0.0

    def shell(self, line: str) -> str:
        self.asked.append(line)
        if line == leaks.SCAN:
            return self.kmemleak
        boot = self.boots.pop(0) if len(self.boots) > 1 else self.boots[0]
        files = self.files.pop(0) if len(self.files) > 1 else self.files[0]
        return f"{boot}\n{files}\t0\t9223372036854775807\n"

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def found(self) -> list[str]:
        looks = Leaks(self.shell, self.sleep)
        looks.start()
        return [crash.fingerprint for crash in looks.finish()]


def test_a_guest_that_gives_all_back() -> None:
    guest = Guest([40, 40])
    assert guest.found() == []
    assert guest.slept == 0
    assert guest.asked == [leaks.BEGIN, leaks.LOOK, leaks.SCAN]


def test_files_may_take_a_moment() -> None:
    guest = Guest([40, 44, 42, 39])
    assert guest.found() == []
    assert guest.slept == 2 * leaks.POLL_S


def test_files_that_stay_open_are_a_finding() -> None:
    guest = Guest([40, 43])
    assert guest.found() == ["leak: files that stay open"]
    assert guest.slept >= leaks.SETTLE_S


def test_another_guest_cannot_be_compared_with() -> None:
    guest = Guest([40, 99], boots=["a", "b"], kmemleak=OBJECT.format(1, 100, 16))
    assert guest.found() == []


def test_objects_of_one_place_are_one_finding() -> None:
    printed = "".join(
        OBJECT.format(number, 100 + number, place) for number, place in enumerate((16, 16, 32))
    )
    first, second = unreferenced(printed)
    assert (first.kind, first.fingerprint) == (
        Kind.LEAK,
        "leak: lab_leak+0x10 < do_one_initcall+0x9f",
    )
    assert first.title == "memory that nothing refers to, allocated in lab_leak"
    assert first.text.startswith("2 objects, 201 bytes; the first:\nunreferenced object")
    assert second.fingerprint == "leak: lab_leak+0x20 < do_one_initcall+0x9f"
    assert unreferenced("") == []


def test_what_is_no_look_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        Look.parse("sh: not found")
