"""Which captures are believed, and how tcpdump is started and ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lab.errors import LabFailed
from lab.evidence import capture, pcap
from lab.evidence.capture import Counters, Recorder
from lab.nodes.model import Completed
from lab.scenarios.pipe import PipeClosed
from tests.evidence.material import NAMES, PORT, pcap_of

NAME = "samba-explorer"


def _without(*numbers: int) -> bytes:
    whole = pcap.read(pcap_of(NAME))
    packets = tuple(p for at, p in enumerate(whole.packets, 1) if at not in numbers)
    return pcap.Pcap(whole.header, whole.linktype, packets).to_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_capture_is_believed(name: str) -> None:
    assert capture.judge(pcap_of(name), PORT).ok


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda data: b"", "no capture"),
        (lambda data: data[:24], "empty"),
        (lambda data: data[:-5], "cut short"),
        (lambda data: _without(1), "handshake"),
        (lambda data: _without(2), "handshake"),
        (lambda data: _without(1, 2, 3), "handshake"),
        (lambda data: _without(4), "NEGOTIATE"),
        (lambda data: _without(15), "lacks"),
        (lambda data: data[:20] + b"\x93\0\0\0" + data[24:], "link type"),
    ],
)
def test_a_bent_capture_is_no_evidence(bend: Callable[[bytes], bytes], reason: str) -> None:
    trust = capture.judge(bend(pcap_of(NAME)), PORT)
    assert not trust.ok
    assert reason in trust.reason


def test_a_capture_of_another_port_is_empty() -> None:
    assert "empty" in capture.judge(pcap_of(NAME), 445).reason


def test_a_capture_that_ends_before_the_last_observation_is_no_evidence() -> None:
    whole = pcap.read(pcap_of(NAME))
    early = pcap.Pcap(whole.header, whole.linktype, whole.packets[:20])
    last = whole.packets[-1].time
    trust = capture.judge(early.to_bytes(), PORT, last_observation=last)
    assert "before the last observation" in trust.reason
    assert capture.judge(pcap_of(NAME), PORT, last_observation=last + 1).ok, "it was closed"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (Counters(), "without its counters"),
        (Counters(10, 2, 0), "2 packets dropped by the kernel"),
        (Counters(10, 0, 3), "3 packets dropped by the interface"),
    ],
)
def test_what_tcpdump_lost_is_no_evidence(told: Counters, reason: str) -> None:
    trust = capture.judge_counters(told)
    assert not trust.ok
    assert reason in trust.reason


LAST_WORDS = [
    "^C46 packets captured",
    "92 packets received by filter",
    "0 packets dropped by kernel",
]


def test_counters_are_read_from_tcpdumps_last_words() -> None:
    assert capture.counters("\n".join(LAST_WORDS)) == Counters(46, 0, None)
    assert capture.counters("1 packet captured\n0 packets dropped by kernel").captured == 1
    assert capture.judge_counters(capture.counters("\n".join(LAST_WORDS))).ok


class FakeNode:
    """A node with one file; remembers what was run."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []

    def run(self, argv: Sequence[str], *, input: bytes = b"", deadline: float = 10.0) -> Completed:
        self.ran.append(list(argv))
        return Completed(0, b"capture" if argv[0] == "cat" else b"", b"")


class FakePipe:
    """Says its lines, then ends."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = list(lines)
        self.closed = False

    def write_line(self, line: str) -> None:
        raise AssertionError("tcpdump is told nothing")

    def read_line(self, deadline_s: float) -> str:
        if not self.lines:
            raise PipeClosed("ended")
        return self.lines.pop(0)

    def close(self) -> int | None:
        self.closed = True
        return 0


LISTENING = "tcpdump: listening on any, link-type LINUX_SLL2"


def _recorder(node: FakeNode, pipe: FakePipe) -> Recorder:
    return Recorder(
        node,
        lambda argv: pipe,
        host="samba",
        port=445,
        path="/tmp/samba.pcap",
        sleep=lambda _: None,
    )


def test_a_recording_starts_when_tcpdump_listens_and_ends_with_sigint() -> None:
    node, pipe = FakeNode(), FakePipe(["pid 42", LISTENING, *LAST_WORDS])
    recorder = _recorder(node, pipe)
    recorder.start()
    assert pipe.lines == LAST_WORDS, "start() read no further than it had to"
    assert recorder.stop() == Counters(46, 0, None)
    assert recorder.fetch() == b"capture"
    recorder.remove()
    assert node.ran == [
        ["kill", "-INT", "42"],
        ["cat", "/tmp/samba.pcap"],
        ["rm", "-f", "/tmp/samba.pcap"],
    ]


def test_a_tcpdump_that_does_not_start_says_why() -> None:
    node, pipe = FakeNode(), FakePipe(["pid 42", "tcpdump: any: You don't have permission"])
    with pytest.raises(LabFailed, match="permission"):
        _recorder(node, pipe).start()
    assert pipe.closed


def test_tcpdump_captures_whole_packets_of_one_server() -> None:
    argv = _recorder(FakeNode(), FakePipe([])).argv()
    assert argv[argv.index("-s") + 1] == "0"
    assert int(argv[argv.index("-B") + 1]) >= 16384
    assert argv[-1] == "tcp port 445 and host samba"
