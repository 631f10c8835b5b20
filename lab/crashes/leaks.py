"""What a guest should have given back after a run: memory, by kmemleak, and open files.

kmemleak is there in kernels built with it (the debug flavour); the count of open files in each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from lab.crashes.model import Crash, Frame, Kind

KMEMLEAK = "/sys/kernel/debug/kmemleak"
# What is there when the run begins is nobody's. An object counts as leaked once it is five seconds
# old and two scans found no way to it.
LOOK = "cat /proc/sys/kernel/random/boot_id /proc/sys/fs/file-nr"
BEGIN = f"test -w {KMEMLEAK} && echo clear >{KMEMLEAK}; {LOOK}"
SCAN = (
    f"test -w {KMEMLEAK} || exit 0; sleep 6; echo scan >{KMEMLEAK};"
    f" echo scan >{KMEMLEAK}; cat {KMEMLEAK}"
)
SETTLE_S = 10.0  # scaled: for what a server still closes on its own account
POLL_S = 0.5

Shell = Callable[[str], str]
"""Runs a line of shell in the guest, and returns what it printed."""

_OBJECT = re.compile(r"^unreferenced object \S+ \((?:percpu, )?size (?P<size>\d+)\):", re.M)
_FRAME = re.compile(
    r"^\s+(?:\[<[0-9a-f]+>\] )?(?P<function>[A-Za-z_][\w.]*)\+(?P<offset>0x[0-9a-f]+)"
    r"/0x[0-9a-f]+(?: \[(?P<module>\w+)[^\]]*\])?$"
)


@dataclass(frozen=True)
class Look:
    """Which guest it is, and how many files are open in it."""

    boot: str
    files: int

    @classmethod
    def parse(cls, printed: str) -> Look:
        """Raises ValueError if it is not what `LOOK` prints."""
        boot, counts = printed.split("\n")[:2]
        return cls(boot, int(counts.split()[0]))


@dataclass
class Leaks:
    """Looks at a guest before and after a run."""

    shell: Shell
    sleep: Callable[[float], None]
    scale: float = 1.0
    _before: Look | None = field(default=None, init=False)

    def start(self) -> None:
        self._before = None
        self._before = Look.parse(self.shell(BEGIN))

    def finish(self) -> list[Crash]:
        """What was not given back; nothing if another guest has taken its place meanwhile."""
        if self._before is None:
            return []
        after = Look.parse(self.shell(LOOK))
        waited = 0.0
        while _more(self._before, after) and waited < SETTLE_S * self.scale:
            self.sleep(POLL_S)
            waited += POLL_S
            after = Look.parse(self.shell(LOOK))
        if after.boot != self._before.boot:
            return []
        return [*open_files(self._before, after), *unreferenced(self.shell(SCAN))]


def _more(before: Look, after: Look) -> bool:
    return after.boot == before.boot and after.files > before.files


def open_files(before: Look, after: Look) -> list[Crash]:
    """A finding if more files are open than before."""
    more = after.files - before.files
    if more <= 0:
        return []
    words = f"{before.files} files were open before the run, {after.files} after it"
    return [Crash(Kind.LEAK, "files that stay open", text=f"{words}\n")]


def unreferenced(printed: str) -> list[Crash]:
    """kmemleak's objects, those allocated in the same place as one finding."""
    starts = [match.start() for match in _OBJECT.finditer(printed)]
    objects = [printed[a:b] for a, b in pairwise([*starts, len(printed)])]
    found: dict[str, Crash] = {}
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for text in objects:
        crash = Crash(Kind.LEAK, "", _frames(text.splitlines()), text=text)
        name = crash.fingerprint
        found.setdefault(name, crash)
        count[name] += 1
        size[name] += int(text.partition("size ")[2].partition(")")[0])
    return [
        replace(
            crash,
            title=_title(crash),
            text=f"{count[name]} objects, {size[name]} bytes; the first:\n{crash.text}",
        )
        for name, crash in found.items()
    ]


def _title(crash: Crash) -> str:
    where = crash.culprits[0].name if crash.culprits else "an unknown place"
    return f"memory that nothing refers to, allocated in {where}"


def _frames(lines: Sequence[str]) -> tuple[Frame, ...]:
    matches = [match for line in lines if (match := _FRAME.match(line))]
    return tuple(Frame(m["function"], int(m["offset"], 16), m["module"] or "") for m in matches)
