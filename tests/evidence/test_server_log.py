"""Log lines: their times and functions, and the packets that they follow."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from lab.evidence import server_log
from lab.evidence.server_log import CONSOLE, SERVER
from tests.evidence.material import built

SMBD = """\
[2026/11/22 18:40:01.123456, 10, pid=12, effective(0, 0), class=notify] \
../../source3/smbd/notify.c:312(change_notify_create)
  change_notify_create: filter 0x15
  for dir
[2026/11/22 18:40:01.125000,  1] ../../source3/smbd/server.c:1741(main)
  smbd version 4.22.8 started.
"""
PY = "2026-11-22T18:40:01.124 INFO notify_server.core.notify_log.flush: notify open=3\n"
KERNEL = """\
[  308.279262] ksmbd: smb2pdu: no\tsuch thing
LAB READY uptime=6.1
[  308.279263] EXT4-fs (vda): mounted
"""


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_smbds_messages_have_time_level_and_function() -> None:
    lines = server_log.lines({SERVER: SMBD})
    assert [(line.level, line.function, line.text) for line in lines] == [
        ("10", "change_notify_create (notify.c:312)", "change_notify_create: filter 0x15"),
        ("10", "change_notify_create (notify.c:312)", "for dir"),
        ("1", "main (server.c:1741)", "smbd version 4.22.8 started."),
    ]
    assert lines[0].words == "[10] change_notify_create (notify.c:312): filter 0x15"
    assert lines[0].time == pytest.approx(epoch("2026-11-22T18:40:01.123456"))


def test_pys_lines_have_time_level_and_logger() -> None:
    (line,) = server_log.lines({SERVER: PY})
    assert line.time == pytest.approx(epoch("2026-11-22T18:40:01.124"))
    assert line.words == "[info] core.notify_log.flush: notify open=3"


def test_the_kernels_lines_go_by_their_arrival() -> None:
    stamped = "".join(
        f"2026-11-22T18:40:0{second}.500000123Z {line}\n"
        for second, line in enumerate(KERNEL.splitlines())
    )
    text, times = server_log.split_times(stamped)
    assert text == KERNEL
    assert json.loads(times)[2] == pytest.approx(epoch("2026-11-22T18:40:02.5"))
    lines = server_log.lines({CONSOLE: text}, times)
    assert [line.words for line in lines] == [
        "ksmbd: smb2pdu: no\\u0009such thing",
        "EXT4-fs (vda): mounted",
    ]
    assert lines[0].time == pytest.approx(epoch("2026-11-22T18:40:00.5"))


def test_a_line_stands_under_the_last_packet_before_it() -> None:
    ladder = built("samba-explorer")
    second = ladder.began + ladder.rungs[3].time + 1e-4
    times = [ladder.began - 1e-2, second, ladder.began + 1e4, ladder.began - 1]
    log = "".join(
        f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%S.%f} INFO lab line{number}\n"
        for number, time in enumerate(times)
    )
    lines = server_log.lines({SERVER: log})
    placed = {
        at: [line.text for line in each] for at, each in server_log.by_rung(lines, ladder).items()
    }
    assert placed == {-1: ["line0"], 3: ["line1"], len(ladder.rungs) - 1: ["line2"]}
    assert server_log.under(lines, ladder)[3] == ["+0.1 ms [info] lab: line1"]


def times_of(uptimes: list[float], arrivals: list[float]) -> list[float]:
    console = "".join(f"[{uptime:12.6f}] line\n" for uptime in uptimes)
    return [line.time for line in server_log.lines({CONSOLE: console}, json.dumps(arrivals))]


def test_lines_that_arrive_at_once_were_written_one_after_another() -> None:
    found = times_of([5.0, 5.1, 5.2, 5.4], [1000.03, 1000.23, 1000.23, 1000.43])
    assert found == pytest.approx([1000.03, 1000.13, 1000.23, 1000.43])


def test_the_clock_of_a_guest_that_runs_too_fast_is_set() -> None:
    found = times_of([10.0, 30.0, 50.0], [1000.0, 1002.0, 1004.0])
    assert found == pytest.approx([1000.0, 1002.0, 1004.0])


def test_a_log_without_times_places_nothing() -> None:
    assert server_log.lines({CONSOLE: KERNEL}) == []
    assert server_log.lines({CONSOLE: KERNEL}, "half a li") == []
    assert server_log.lines({SERVER: "no head\n at all"}) == []
