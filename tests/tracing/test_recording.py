"""A traced column: what is written, and what is told when something is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabFailed
from lab.evidence.capture import Trust
from lab.tracing import recording
from lab.tracing.model import Call, Trace, Tree
from tests.tracing import recorded

LADDER = recorded.ladder("py")
BEGAN, ENDED = LADDER.began - 1, LADDER.began + 60


@dataclass
class Capture:
    """Writes the recorded ladder of py, or nothing."""

    cell_folder: Path
    trust: Trust = field(default_factory=lambda: Trust(True))
    ended: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.ended.clear()

    def cell(self, *_: object) -> None:
        """As the real one: everything is written at the end."""

    def finish(self) -> Mapping[str, Trust]:
        self.ended.append("finished")
        if self.trust.ok:
            self.cell_folder.mkdir(parents=True)
            text = json.dumps(LADDER.to_json())
            (self.cell_folder / "ladder.json").write_text(text)
        return {"H1": self.trust}

    def abandon(self) -> None:
        self.ended.append("abandoned")


class Tracer:
    """Has traced the recorded CHANGE_NOTIFY with MessageId 5, or fails."""

    def __init__(self, failure: str = "") -> None:
        self.failure = failure
        self.stopped = 0

    def start(self) -> None: ...

    def stop(self) -> Trace:
        self.stopped += 1
        if self.failure:
            raise LabFailed(self.failure)
        calls = (Call(0, "core.notifying.change_notify"),)
        mine = Tree(LADDER.began + 0.1, calls, 5, command="CHANGE_NOTIFY", client_port=58244)
        other = Tree(LADDER.began + 0.1, calls, 5, command="CHANGE_NOTIFY", client_port=1)
        return Trace("py", "by hand", (mine, other))


def column(tmp_path: Path, capture: Capture, tracer: Tracer) -> recording.TracedColumn:
    traced = recording.TracedColumn("py", tmp_path, capture, tracer)
    traced.start()
    observations = [{"kind": "connected", "conn": "windows", "local_port": 58244}]
    traced.cell("H1", LADDER.directory, BEGAN, ENDED, observations)
    return traced


def test_a_cell_gets_its_trace_and_a_ladder_with_it(tmp_path: Path) -> None:
    cell = tmp_path / "py" / "H1"
    traced = column(tmp_path, Capture(cell), Tracer())
    assert traced.finish() == {"H1": Trust(True)}
    assert traced.trouble == ""
    found = recording.read(cell)
    assert found is not None
    (tree,) = found.trees
    rung = LADDER.rungs[tree.rung]
    assert (rung.command, rung.message_id, rung.stage) == ("CHANGE_NOTIFY", 5, "request")
    assert "│ core.notifying.change_notify" in (cell / "ladder-with-trace.txt").read_text()


def test_without_packets_it_is_said_why(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "py" / "H1", Trust(False, "tcpdump dropped 7 packets"))
    traced = column(tmp_path, capture, Tracer())
    traced.finish()
    assert traced.trouble == "H1: no packets for its trace: tcpdump dropped 7 packets"
    assert recording.read(tmp_path / "py" / "H1") is None


def test_a_tracer_that_fails_costs_the_trace_alone(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "py" / "H1")
    traced = column(tmp_path, capture, Tracer("the guest is gone"))
    assert traced.finish() == {"H1": Trust(True)}
    assert (traced.trouble, capture.ended) == ("the guest is gone", ["finished"])


def test_a_run_that_is_abandoned_ends_both(tmp_path: Path) -> None:
    capture, tracer = Capture(tmp_path / "py" / "H1"), Tracer()
    column(tmp_path, capture, tracer).abandon()
    assert (capture.ended, tracer.stopped) == (["abandoned"], 1)
