"""Taking a capture, and whether to believe it.

A verdict that rests on packets is worth no more than the capture: one that is empty, begins in the
middle, lost packets or ended early proves nothing, and the cell then says *no evidence*. `judge` is
that check, a pure function of the bytes; `Recorder` runs one tcpdump for a whole column.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.errors import LabFailed
from lab.evidence import pcap
from lab.nodes.model import Completed
from lab.scenarios.pipe import Pipe, PipeClosed

START_DEADLINE_S = 30.0  # half a second, but on a machine that is very busy
STOP_DEADLINE_S = 30.0
COPY_DEADLINE_S = 30.0
# tcpdump's --immediate-mode would do without the next two, but its kernel buffer then has a fixed
# frame of the snapshot's length for each packet, eight in all: a busy machine drops some.
BUFFER = ("-B", "16384")  # KiB
HANDED_OVER_S = 1.2  # the kernel hands a buffer over after a second at the latest
LATE_S = 0.05  # the client notes a packet after it came; clocks are the same


@dataclass(frozen=True)
class Trust:
    """Whether a capture may be believed, and if not why."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class Counters:
    """What tcpdump says when it ends. None: it did not say."""

    captured: int | None = None
    dropped_by_kernel: int | None = None
    dropped_by_interface: int | None = None


_COUNTERS = {
    "captured": re.compile(r"(\d+) packets? captured"),
    "dropped_by_kernel": re.compile(r"(\d+) packets? dropped by kernel"),
    "dropped_by_interface": re.compile(r"(\d+) packets? dropped by interface"),
}


def counters(text: str) -> Counters:
    """Read tcpdump's last words."""
    found = {name: pattern.search(text) for name, pattern in _COUNTERS.items()}
    return Counters(**{name: int(match[1]) for name, match in found.items() if match})


def judge(data: bytes, port: int, *, last_observation: float = 0.0) -> Trust:
    """Whether the capture of one scenario shows all that happened on its connections to `port`.

    `last_observation`: when the client observed something last (seconds of the epoch); 0 if that
    is not known.
    """
    try:
        capture = pcap.read(data)
    except pcap.NotACapture as error:
        return Trust(False, f"no capture: {error}")
    if capture.cut_short:
        return Trust(False, "the capture is cut short: the file ends inside a packet")
    if capture.linktype not in pcap.LINK_TYPES:
        return Trust(False, f"the capture's link type {capture.linktype} is not known")
    found = pcap.streams(capture, port)
    if not found:
        return Trust(False, f"the capture is empty: no TCP connection to port {port}")
    for number, stream in enumerate(found, 1):
        for wrong, reason in STREAM_CHECKS:
            if wrong(stream):
                return Trust(False, f"connection {number} of {len(found)} {reason(stream)}")
    ended = max(stream.ended for stream in found)
    if ended + LATE_S < last_observation and not all(stream.closed for stream in found):
        late = last_observation - ended
        return Trust(False, f"the capture ends {late:.2f} s before the last observation")
    return Trust(True)


def judge_counters(told: Counters) -> Trust:
    """Whether tcpdump itself lost packets in the column that the capture was cut from."""
    if told.captured is None:
        return Trust(False, "tcpdump ended without its counters: it did not live to the end")
    for what, dropped in (
        ("kernel", told.dropped_by_kernel),
        ("interface", told.dropped_by_interface),
    ):
        if dropped:
            return Trust(False, f"tcpdump: {dropped} packets dropped by the {what}")
    return Trust(True)


def _no_handshake(stream: pcap.Stream) -> bool:
    answered = any(s.flags & pcap.SYN for s in stream.sent(by_client=False))
    refused = any(s.flags & pcap.RST for s in stream.sent(by_client=False))
    return not stream.from_the_start or not (answered or refused)


def _no_negotiate(stream: pcap.Stream) -> bool:
    """Whether the client said something, and it was no NEGOTIATE (of SMB 2, or of SMB 1)."""
    said = stream.first_payload(by_client=True)
    return bool(said) and not (
        (said[4:8] == b"\xfeSMB" and said[16:18] == b"\0\0") or said[4:9] == b"\xffSMB\x72"
    )


StreamCheck = tuple[Callable[[pcap.Stream], bool], Callable[[pcap.Stream], str]]
STREAM_CHECKS: Sequence[StreamCheck] = (
    (_no_handshake, lambda _: "does not begin with TCP's handshake"),
    (_no_negotiate, lambda _: "does not begin with a NEGOTIATE"),
    (lambda s: s.missing() > 0, lambda s: f"lacks {s.missing()} bytes that were sent"),
)


# -- recording ----------------------------------------------------------------------------------


class Runs(Protocol):
    """What the recorder needs of a node."""

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", deadline: float = 10.0
    ) -> Completed: ...


class Recorder:
    """One tcpdump on `node`, from `start` to `stop`.

    `open_pipe(argv)` starts a command there and gives its output line by line; `host` is the
    server as the node knows it (a name or an address), "" for any.
    """

    def __init__(
        self,
        node: Runs,
        open_pipe: Callable[[Sequence[str]], Pipe],
        *,
        host: str,
        port: int,
        path: str,
        interface: str = "any",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._node = node
        self._open_pipe = open_pipe
        self._path = path
        self._filter = f"tcp port {port}" + (f" and host {host}" if host else "")
        self._interface = interface
        self._pipe: Pipe | None = None
        self._pid = 0
        self._sleep = sleep
        self._said: list[str] = []
        self.path = path

    def argv(self) -> list[str]:
        """A shell that tells its process id, then becomes tcpdump with stderr as its output.

        `-Z root`: tcpdump would otherwise become a user that may not write here.
        """
        script = 'echo "pid $$"; exec "$@" 2>&1'
        tcpdump = ["tcpdump", "-i", self._interface, "-n", "-s", "0", "-U", *BUFFER]
        return ["sh", "-c", script, "sh", *tcpdump, "-Z", "root", "-w", self.path, self._filter]

    def start(self) -> None:
        """Returns when tcpdump listens. Raises `LabFailed` with what it said instead."""
        self._pipe = self._open_pipe(self.argv())
        try:
            while "listening on" not in (line := self._pipe.read_line(START_DEADLINE_S)):
                self._note(line)
        except (TimeoutError, PipeClosed) as error:
            self.abandon()
            nothing = f"it said nothing within {START_DEADLINE_S:g} s"
            said = "; ".join(self._said[1:]) or str(error) or nothing
            raise LabFailed(f"tcpdump does not start: {said}") from error

    def _note(self, line: str) -> None:
        self._said.append(line)
        if line.startswith("pid "):
            self._pid = int(line[4:])

    def stop(self) -> Counters:
        """End tcpdump with SIGINT; its counters. The file stays until `remove`."""
        assert self._pipe is not None, "start() comes first"
        self._sleep(HANDED_OVER_S)
        self._node.run(["kill", "-INT", str(self._pid)])
        try:
            while True:
                self._note(self._pipe.read_line(STOP_DEADLINE_S))
        except (TimeoutError, PipeClosed):
            pass  # ended; if it did not say its counters, judge_counters() tells
        self._pipe.close()
        self._pipe = None
        return counters("\n".join(self._said))

    def fetch(self) -> bytes:
        """The capture's bytes."""
        return self._node.run(["cat", self.path], deadline=COPY_DEADLINE_S).stdout

    def remove(self) -> None:
        self._node.run(["rm", "-f", self.path])

    def abandon(self) -> None:
        """End tcpdump without wanting its capture; never raises."""
        if self._pipe is None:
            return
        try:
            if self._pid:
                self._node.run(["kill", "-INT", str(self._pid)])
            self._node.run(["rm", "-f", self.path])
        except LabFailed:
            pass  # the node is gone, and tcpdump with it
        self._pipe.close()
        self._pipe = None
