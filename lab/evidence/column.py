"""The evidence of one column: one capture while its scenarios run, then a folder for each cell.

One tcpdump and one tshark serve a whole column, because starting them costs more than what they
do. Afterwards the capture is cut to the connections of each scenario, judged, and its ladder is
written beside the observations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.evidence import capture, ladder, ladder_svg, ladder_text, pcap, tshark
from lab.evidence.capture import Recorder, Trust
from lab.evidence.pdu import Pdu, TcpEvent
from lab.evidence.tshark import SessionKey
from lab.nodes.model import Completed

CAPTURE, KEYS = "capture.pcap", "session-keys.json"
LADDER_TEXT, LADDER_SVG, LADDER_JSON = "ladder.txt", "ladder.svg", "ladder.json"

CLOCK_S = 1e-5  # pcap's microseconds, read in two ways

Observation = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """One scenario's part of the column; times in seconds of the epoch.

    `conns` names connections by the client's TCP port.
    """

    scenario: str
    directory: str
    began: float
    ended: float
    conns: Mapping[int, str] = field(default_factory=dict)
    keys: tuple[SessionKey, ...] = ()
    last_observation: float = 0.0


def span(
    scenario: str,
    directory: str,
    began: float,
    ended: float,
    observations: Iterable[Observation],
) -> Span:
    """What the observations tell of connections, keys and time."""
    conns: dict[int, str] = {}
    keys: list[SessionKey] = []
    last = 0.0
    for observed in observations:
        if observed["kind"] == "connected":
            conns[int(observed["local_port"])] = str(observed["conn"])
        elif observed["kind"] == "session_key":
            keys.append(
                SessionKey(int(observed["session_id"], 16), bytes.fromhex(observed["session_key"]))
            )
        elif observed["kind"] == "pdu":
            last = float(observed.get("t", 0.0))
    return Span(scenario, directory, began, ended, conns, tuple(keys), began + last)


class ColumnEvidence:
    """Records a column. `start`, then `cell` after each scenario, then `finish`."""

    def __init__(
        self,
        server: str,
        port: int,
        run_dir: Path,
        recorder: Recorder,
        run_tshark: Callable[[Sequence[str]], Completed],
    ) -> None:
        """`run_tshark` runs a command where the recorder's file is."""
        self.server = server
        self._port = port
        self._run_dir = run_dir
        self._recorder = recorder
        self._run_tshark = run_tshark
        self._spans: list[Span] = []
        self._trouble = ""

    def start(self) -> None:
        """Returns when the capture runs; what hinders it is told by `finish`, for every cell."""
        try:
            self._recorder.start()
        except LabError as error:
            self._trouble = error.message

    def cell(
        self,
        scenario: str,
        directory: str,
        began: float,
        ended: float,
        observations: Iterable[Observation],
    ) -> None:
        """Remember what belongs to a scenario that has just ended."""
        self._spans.append(span(scenario, directory, began, ended, observations))

    def finish(self) -> dict[str, Trust]:
        """Write every cell's files; whether its capture may be believed, by scenario."""
        if self._trouble:
            return {part.scenario: Trust(False, self._trouble) for part in self._spans}
        try:
            told = self._recorder.stop()
            data = self._recorder.fetch()
            decoded = self._decode()
        except LabError as error:
            self._recorder.abandon()
            return {part.scenario: Trust(False, error.message) for part in self._spans}
        whole = capture.judge_counters(told)
        folder = self._run_dir / self.server
        try:
            cells = write_cells(folder, self.server, self._port, data, decoded, self._spans)
        except OSError as error:
            lost = Trust(False, f"the evidence cannot be written: {error}")
            return {part.scenario: lost for part in self._spans}
        return {
            name: whole if trust.ok and not whole.ok else trust for name, trust in cells.items()
        }

    def _decode(self) -> list[Pdu | TcpEvent]:
        keys = [key for part in self._spans for key in part.keys]
        decoded = tshark.decode(self._run_tshark, self._recorder.path, self._port, keys)
        self._recorder.remove()
        return decoded

    def abandon(self) -> None:
        """End the capture of a run that was interrupted."""
        self._recorder.abandon()


def write_cells(
    folder: Path,
    server: str,
    port: int,
    data: bytes,
    decoded: Sequence[Pdu | TcpEvent],
    spans: Sequence[Span],
) -> dict[str, Trust]:
    """Cut a column's capture and PDUs into cells, judge each, write its files."""
    try:
        whole = pcap.read(data)
    except pcap.NotACapture as error:
        return {part.scenario: Trust(False, f"no capture: {error}") for part in spans}
    connections = pcap.streams(whole, port)
    by_port: dict[int, list[Pdu | TcpEvent]] = {}
    for event in decoded:
        by_port.setdefault(event.client_port, []).append(event)
    trusts: dict[str, Trust] = {}
    for part in spans:
        mine = pcap.cut(whole, connections, part.began, part.ended, list(part.conns))
        cell = folder / part.scenario
        cell.mkdir(parents=True, exist_ok=True)
        (cell / CAPTURE).write_bytes(mine.to_bytes())
        if part.keys:
            (cell / KEYS).write_text(keys_json(part.keys), "utf-8")
        found = pcap.streams(mine, port)
        trusts[part.scenario] = capture.judge(
            mine.to_bytes(), port, last_observation=part.last_observation
        )
        built = ladder.build(
            _belonging(by_port, found),
            server=server,
            scenario=part.scenario,
            directory=part.directory,
            conns=part.conns,
        )
        write_ladder(cell, built)
    return trusts


def _belonging(
    by_port: Mapping[int, Sequence[Pdu | TcpEvent]], connections: Iterable[pcap.Stream]
) -> list[Pdu | TcpEvent]:
    """The events of these connections, in the order of the wire."""
    events = [
        event
        for stream in connections
        for event in by_port.get(stream.client[1], ())
        if stream.began - CLOCK_S <= event.time <= stream.ended + CLOCK_S
    ]
    return sorted(events, key=lambda event: (event.frame, getattr(event, "position", 0)))


def write_ladder(cell: Path, built: ladder.Ladder) -> None:
    """A ladder's three forms."""
    (cell / LADDER_TEXT).write_text(ladder_text.render(built), "utf-8")
    (cell / LADDER_SVG).write_text(ladder_svg.render(built), "utf-8")
    plain = json.dumps(built.to_json(), ensure_ascii=False, separators=(",", ":"))
    (cell / LADDER_JSON).write_text(plain + "\n", "utf-8")


def keys_json(keys: Sequence[SessionKey]) -> str:
    """The session keys beside a capture; Wireshark takes them as `smb2_seskey_list` rows."""
    rows = [
        {"session_id": f"{key.session_id:016x}", "session_key": key.session_key.hex()}
        for key in keys
    ]
    return json.dumps(rows, indent=1) + "\n"


def read_keys(path: Path) -> list[SessionKey]:
    """The inverse; no file, no keys."""
    if not path.exists():
        return []
    return [
        SessionKey(int(row["session_id"], 16), bytes.fromhex(row["session_key"]))
        for row in json.loads(path.read_text("utf-8"))
    ]
