"""A column that is traced while it is captured: each tree ends under its packet.

Stands where the capture alone would stand (`lab.verdicts.run.Recording`). The tracer was started
by whoever made this, so that a server that cannot be traced is an error before anything runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from lab.errors import LabError
from lab.evidence import ladder_text, run_folder
from lab.evidence.capture import Trust
from lab.evidence.column import Span, span
from lab.evidence.run_folder import TRACE, TRACED_LADDER
from lab.tracing import attribution, text
from lab.tracing.model import Trace, Tracer

BEFORE_S = 0.05  # a server's clock may be a little behind

Observations = Sequence[Mapping[str, Any]]


class Capture(Protocol):
    """What `lab.evidence.column.ColumnEvidence` does."""

    def start(self) -> None: ...

    def cell(
        self, scenario: str, directory: str, began: float, ended: float, observations: Observations
    ) -> None: ...

    def finish(self) -> Mapping[str, Trust]: ...

    def abandon(self) -> None: ...


class TracedColumn:
    """Captures and traces one column; `trouble` says afterwards why a trace is missing."""

    def __init__(self, server: str, run_dir: Path, capture: Capture, tracer: Tracer) -> None:
        self._server = server
        self._run_dir = run_dir
        self._capture = capture
        self._tracer = tracer
        self._spans: list[Span] = []
        self.trouble = ""

    def start(self) -> None:
        self._capture.start()

    def cell(
        self, scenario: str, directory: str, began: float, ended: float, observations: Observations
    ) -> None:
        self._capture.cell(scenario, directory, began, ended, observations)
        self._spans.append(span(scenario, directory, began, ended, observations))

    def finish(self) -> Mapping[str, Trust]:
        try:
            trace = self._tracer.stop()
        except LabError as error:
            self.trouble = error.message
            return self._capture.finish()
        trusts = self._capture.finish()
        for part in self._spans:
            trust = trusts.get(part.scenario, Trust(True))
            cell = self._run_dir / self._server / part.scenario
            trouble = write_cell(cell, part, trace)
            if trouble and not trust.ok:
                trouble = f"{part.scenario}: no packets for its trace: {trust.reason}"
            self.trouble = self.trouble or trouble
        return trusts

    def abandon(self) -> None:
        self._capture.abandon()
        self._tracer.stop()


def write_cell(cell: Path, part: Span, trace: Trace) -> str:
    """A cell's trace beside its ladder; why it cannot be, or ""."""
    ladder, trouble = run_folder.read_ladder(cell)
    if ladder is None:
        return f"{part.scenario}: {trouble}, so that its trace has no packets to hang under"
    placed = attribution.place(belonging(trace, part), ladder, part.conns)
    plain = json.dumps(placed.to_json(), ensure_ascii=False, separators=(",", ":"))
    (cell / TRACE).write_text(plain + "\n", "utf-8")
    shown = ladder_text.render(ladder, ladder_text.TERMINAL, text.under(placed, ladder))
    (cell / TRACED_LADDER).write_text(shown, "utf-8")
    return ""


def belonging(trace: Trace, part: Span) -> Trace:
    """The scenario's part of a column's trace: by its connections' ports where they are known.

    What has no port belongs to it by time, which on the server's own clock is the time of those.
    """
    times = [tree.time for tree in trace.trees if tree.client_port in part.conns]
    slack = BEFORE_S + trace.clock_error
    began = min(times, default=part.began - slack)
    ended = max(times, default=part.ended + slack)
    trees = tuple(
        tree
        for tree in trace.trees
        if tree.client_port in part.conns
        or (tree.client_port == 0 and began <= tree.time <= ended + BEFORE_S)
        or (not times and began <= tree.time <= ended)
    )
    return replace(trace, trees=trees)


def read(cell: Path) -> Trace | None:
    """A cell's trace; None if it was not traced, or cannot be read."""
    try:
        return Trace.from_json(json.loads((cell / TRACE).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
