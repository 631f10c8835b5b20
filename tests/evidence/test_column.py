"""A column's capture becomes a folder for each cell."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.errors import LabFailed
from lab.evidence import capture, column, pcap
from lab.evidence.capture import Counters
from lab.evidence.column import ColumnEvidence, Span
from lab.evidence.ladder import Ladder
from lab.nodes.model import Completed
from tests.evidence.material import PORT, built, decoded, directory_of, pcap_of, pdml

NAME, SCENARIO = "samba-explorer", "H1"
SPAN_BEGAN = pcap.read(pcap_of(NAME)).packets[0].time - 0.01
SPAN_ENDED = pcap.read(pcap_of(NAME)).packets[-1].time + 0.01


ALL_KEPT = Counters(46, 0)


class FakeRecorder:
    """A recorder whose capture is one of the fixtures."""

    path = "/tmp/x.pcap"

    def __init__(self, told: Counters = ALL_KEPT, start: str = "") -> None:
        self.told = told
        self.trouble = start
        self.did: list[str] = []

    def start(self) -> None:
        if self.trouble:
            raise LabFailed(self.trouble)

    def stop(self) -> Counters:
        return self.told

    def fetch(self) -> bytes:
        return pcap_of(NAME)

    def remove(self) -> None:
        self.did.append("remove")

    def abandon(self) -> None:
        self.did.append("abandon")


def _tshark(argv: Sequence[str]) -> Completed:
    assert argv[0] == "tshark"
    assert FakeRecorder.path in argv
    return Completed(0, pdml(NAME), b"")


def _evidence(tmp_path: Path, recorder: FakeRecorder) -> ColumnEvidence:
    evidence = ColumnEvidence("samba", PORT, tmp_path, recorder, _tshark)  # type: ignore[arg-type]
    evidence.start()
    evidence.cell(SCENARIO, directory_of(NAME), SPAN_BEGAN, SPAN_ENDED, [])
    return evidence


def test_a_cell_gets_its_capture_and_its_ladder(tmp_path: Path) -> None:
    recorder = FakeRecorder()
    assert _evidence(tmp_path, recorder).finish() == {SCENARIO: capture.Trust(True)}
    cell = tmp_path / "samba" / SCENARIO
    assert (cell / column.CAPTURE).read_bytes() == pcap_of(NAME)
    assert "n2 final SUCCESS" in (cell / column.LADDER_TEXT).read_text()
    assert (cell / column.LADDER_SVG).read_text().startswith("<svg")
    kept = Ladder.from_json(json.loads((cell / column.LADDER_JSON).read_text()))
    assert [rung.command for rung in kept.rungs] == [r.command for r in built(NAME).rungs]
    assert not (cell / column.KEYS).exists()
    assert recorder.did == ["remove"]


def test_a_scenario_of_another_time_has_no_evidence(tmp_path: Path) -> None:
    evidence = _evidence(tmp_path, FakeRecorder())
    evidence.cell("A1", "a1-x", SPAN_ENDED + 5, SPAN_ENDED + 6, [])
    trusts = evidence.finish()
    assert trusts[SCENARIO].ok
    assert "empty" in trusts["A1"].reason


def test_what_tcpdump_dropped_costs_every_cell(tmp_path: Path) -> None:
    trusts = _evidence(tmp_path, FakeRecorder(Counters(40, 3))).finish()
    assert "3 packets dropped" in trusts[SCENARIO].reason


def test_a_capture_that_never_started_is_no_evidence(tmp_path: Path) -> None:
    trusts = _evidence(tmp_path, FakeRecorder(start="tcpdump does not start")).finish()
    assert trusts == {SCENARIO: capture.Trust(False, "tcpdump does not start")}


def test_a_tshark_that_fails_is_no_evidence(tmp_path: Path) -> None:
    recorder = FakeRecorder()
    evidence = ColumnEvidence(
        "samba",
        PORT,
        tmp_path,
        recorder,  # type: ignore[arg-type]
        lambda argv: Completed(2, b"", b"tshark: out of memory"),
    )
    evidence.start()
    evidence.cell(SCENARIO, "x", SPAN_BEGAN, SPAN_ENDED, [])
    assert "out of memory" in evidence.finish()[SCENARIO].reason
    assert recorder.did == ["abandon"]


def test_observations_tell_connections_keys_and_the_last_moment() -> None:
    key = "00112233445566778899aabbccddeeff"
    part = column.span(
        "A1",
        "a1-x",
        100.0,
        101.0,
        [
            {"kind": "connected", "conn": "watcher", "local_port": 41000, "t": 0.1},
            {"kind": "session_key", "session_id": "00000000000000ff", "session_key": key, "t": 0.2},
            {"kind": "pdu", "t": 0.5},
            {"kind": "end", "t": 0.9},
        ],
    )
    assert part.conns == {41000: "watcher"}
    assert [(k.session_id, k.session_key.hex()) for k in part.keys] == [(255, key)]
    assert part.last_observation == pytest.approx(100.5)


def test_keys_lie_beside_the_capture_that_they_open(tmp_path: Path) -> None:
    (key,) = column.read_keys(
        Path(__file__).with_name("captures") / "samba-changes-sealed.keys.json"
    )
    whole = pcap.read(pcap_of("samba-changes-sealed"))
    began, ended = whole.packets[0].time - 1, whole.packets[-1].time + 1
    part = Span("C2", directory_of("samba-changes-sealed"), began, ended, keys=(key,))
    column.write_cells(
        tmp_path, "samba", PORT, whole.to_bytes(), decoded("samba-changes-sealed"), [part]
    )
    assert column.read_keys(tmp_path / "C2" / column.KEYS) == [key]


def test_a_full_disk_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    evidence = _evidence(tmp_path, FakeRecorder())
    monkeypatch.setattr(column, "write_ladder", full)
    assert "No space left on device" in evidence.finish()[SCENARIO].reason
