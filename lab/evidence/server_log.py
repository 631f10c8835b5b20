"""A server's log lines, with their times, levels and functions, and the packets that they follow.

smbd heads each message with its time, level, place and function. notify_server's lines have a time
and a logger's name. The kernel's have the guest's uptime, by a clock that an emulated guest sets
badly: so they go by the moment at which the console gave them, kept beside the console.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.evidence.ladder import Ladder
from lab.evidence.ladder_text import visible

SERVER, CONSOLE = "server.log", "console.log"
CONSOLE_TIMES = "console-times.json"
RATE_TOLERANCE = 0.15  # of a clock that is right, as far as arrivals can tell
EARLY_S = 0.1  # what came sooner before the first packet is about another connection


@dataclass(frozen=True)
class LogLine:
    """One line: seconds of the epoch, "" for what the server does not tell."""

    time: float
    text: str
    level: str = ""
    function: str = ""

    @property
    def words(self) -> str:
        """As in `[10] change_notify_create (notify.c:312): …`."""
        level = f"[{self.level}] " if self.level else ""
        function = f"{self.function}: " if self.function else ""
        # Many messages of smbd begin with their function once more.
        text = self.text.removeprefix(f"{self.function.partition(' ')[0]}: ")
        return visible(f"{level}{function}{text}")


def lines(logs: Mapping[str, str], console_times: str = "") -> list[LogLine]:
    """The lines of a cell's logs that have a time, in its order."""
    found = [*_messages(logs.get(SERVER, "")), *_console(logs.get(CONSOLE, ""), console_times)]
    return sorted(found, key=lambda line: line.time)


# [2026/11/22 18:40:01.123456, 10, pid=12, class=notify] ../../source3/smbd/notify.c:312(change_…)
_SMBD = re.compile(
    r"^\[(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?),\s*(?P<level>\d+)[^\]]*\]"
    r" (?:\S*/)?(?P<place>[^\s/(]+)\((?P<function>\w+)\)\s*(?P<rest>.*)$"
)
# 2026-11-22T19:04:11.123 INFO notify_server.core.notify_log …
_PY = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+) (?P<level>[A-Z]+)"
    r" (?:notify_server\.)?(?P<name>\S+?):? (?P<text>.*)$"
)
# [  308.279262] ksmbd: smb2pdu: …
_KERNEL = re.compile(r"^(?:<\d+>)?\[\s*(?P<uptime>\d+\.\d+)\](?:\[[^\]]*\])? (?P<text>.*)$")
_SUBJECT = re.compile(r"^(?P<function>ksmbd: \w+): (?P<text>.*)$")


def _messages(text: str) -> Iterator[LogLine]:
    """smbd's and notify_server's; a line without a head belongs to the one before it."""
    head: LogLine | None = None
    for line in text.splitlines():
        if found := _SMBD.match(line):
            time = datetime.strptime(_padded(found["time"]), "%Y/%m/%d %H:%M:%S.%f")
            function = f"{found['function']} ({found['place']})"
            head = LogLine(time.replace(tzinfo=UTC).timestamp(), "", found["level"], function)
            line = found["rest"]
        elif found := _PY.match(line):
            moment = datetime.fromisoformat(found["time"]).replace(tzinfo=UTC).timestamp()
            head = LogLine(moment, "", found["level"].lower(), found["name"])
            line = found["text"]
        if head and line.strip():
            yield LogLine(head.time, line.strip(), head.level, head.function)


def _padded(time: str) -> str:
    return time if "." in time else f"{time}.0"


def _console(text: str, times: str) -> Iterator[LogLine]:
    """The kernel's lines: of ksmbd's own, the file that they come from, for want of a function."""
    try:
        moments: Sequence[float] = json.loads(times or "[]")
    except ValueError:
        return
    stamped = zip(text.splitlines(), moments, strict=False)
    kernels = [(found, time) for line, time in stamped if (found := _KERNEL.match(line))]
    uptimes = [float(found["uptime"]) for found, _ in kernels]
    times_of = _steadied(uptimes, [time for _, time in kernels])
    for (found, _), time in zip(kernels, times_of, strict=True):
        subject = _SUBJECT.match(found["text"])
        if subject:
            yield LogLine(time, subject["text"], "", subject["function"])
        else:
            yield LogLine(time, found["text"])


def _steadied(uptimes: Sequence[float], arrivals: Sequence[float]) -> list[float]:
    """When lines were written: the guest's own times, set by those that arrived soonest.

    Several lines arrive at once, some late. How fast the guest's clock runs is measured over all.
    """
    if not uptimes:
        return []
    span = uptimes[-1] - uptimes[0]
    rate = (arrivals[-1] - arrivals[0]) / span if span > 1 else 1.0
    rate = 1.0 if abs(rate - 1) < RATE_TOLERANCE else rate
    pairs = zip(uptimes, arrivals, strict=True)
    offset = min(arrival - rate * uptime for uptime, arrival in pairs)
    return [offset + rate * uptime for uptime in uptimes]


def split_times(stamped: str) -> tuple[str, str]:
    """A log whose every line begins with the time of its arrival, as text and times apart.

    The times are JSON: one number, in seconds of the epoch, for each line of the text.
    """
    text: list[str] = []
    times: list[float] = []
    for line in stamped.splitlines():
        stamp, _, rest = line.partition(" ")
        try:
            # Nanoseconds; fromisoformat takes six digits.
            whole, _, fraction = stamp.rstrip("Z").partition(".")
            moment = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
            times.append(round(moment + float(f"0.{fraction or 0}"), 6))
        except ValueError:
            times.append(times[-1] if times else 0.0)
            rest = line
        text.append(rest)
    return "\n".join(text) + ("\n" if text else ""), json.dumps(times)


def by_rung(found: Sequence[LogLine], ladder: Ladder) -> dict[int, list[LogLine]]:
    """The lines below the last packet before each, by its index; -1: just before the first."""
    placed: dict[int, list[LogLine]] = {}
    at = -1
    mine = (line for line in found if line.time >= ladder.began - EARLY_S)
    for line in sorted(mine, key=lambda each: each.time):
        while at + 1 < len(ladder.rungs) and ladder.began + ladder.rungs[at + 1].time <= line.time:
            at += 1
        placed.setdefault(at, []).append(line)
    return placed


def under(found: Sequence[LogLine], ladder: Ladder) -> dict[int, list[str]]:
    """As text for below each rung: `+1.2 ms [10] change_notify_create (notify.c:312): …`."""
    shown: dict[int, list[str]] = {}
    for at, several in by_rung(found, ladder).items():
        since = ladder.began + (ladder.rungs[at].time if at >= 0 else 0.0)
        shown[at] = [f"{(line.time - since) * 1000:+.1f} ms {line.words}" for line in several]
    return shown
