"""A run with tracing on: one round, each server captured and traced at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab import backends, matrix
from lab.errors import LabError, LabFailed
from lab.nodes.registry import backend, container
from lab.scenarios.model import Scenario
from lab.tracing.ksmbd import KsmbdTracer
from lab.tracing.model import Tracer
from lab.tracing.py import PyTracer
from lab.tracing.recording import TracedColumn
from lab.tracing.smbd import SmbdTracer
from lab.verdicts.matrix import Matrix
from lab.verdicts.run import Column, ProgressCallback, run_matrix

if TYPE_CHECKING:
    from lab.session import Lab


@dataclass(frozen=True)
class Traced:
    """A run that was traced; `troubles` says for a server why its trace is missing."""

    matrix: Matrix
    troubles: dict[str, str]


def tracer(lab: Lab, server: str) -> Tracer:
    """What traces that server."""
    kind = backends.kind(server)
    if kind == "ksmbd":
        return KsmbdTracer(server, backend(lab.engine, lab.paths, server))
    if kind == "py":
        node = container(lab.engine, server)
        return PyTracer(server, node, lambda argv: lab.engine.exec_pipe(server, list(argv)))
    return SmbdTracer(lab, server)


@contextlib.contextmanager
def tracing(lab: Lab, servers: Sequence[str]) -> Iterator[dict[str, Tracer]]:
    """Tracing is on in the block and off afterwards, however it ends."""
    tracers = {name: tracer(lab, name) for name in servers}
    try:
        with ThreadPoolExecutor(len(tracers)) as pool:
            for started in [pool.submit(each.start) for each in tracers.values()]:
                started.result()
        yield tracers
    finally:
        for each in tracers.values():
            with contextlib.suppress(LabError):  # the run has told it, or is failing anyway
                each.stop()


def run_traced(
    lab: Lab,
    servers: Sequence[str],
    scenarios: Sequence[Scenario],
    new_folder: Callable[[], Path],
    progress: ProgressCallback,
) -> Traced:
    """Run the scenarios once on each server, directly, with captures and traces.

    Raises LabError, before anything has run, where a server cannot be traced.
    """
    lab.require_running("client", *servers)
    with tracing(lab, servers) as tracers:
        folder = new_folder()
        columns = {name: _column(lab, name, folder, tracers[name]) for name in servers}
        done = run_matrix([column for column, _ in columns.values()], scenarios, folder, progress)
    troubles = {name: traced.trouble for name, (_, traced) in columns.items() if traced.trouble}
    return Traced(done, troubles)


def _column(lab: Lab, name: str, folder: Path, its_tracer: Tracer) -> tuple[Column, TracedColumn]:
    port = its_tracer.port if isinstance(its_tracer, PyTracer) else None
    column = matrix.column(lab, name, through_front=False, recorded_in=folder, port=port)
    if column.recording is None:
        raise LabFailed(f"{name}: a trace needs a capture to hang under")
    traced = TracedColumn(name, folder, column.recording, its_tracer)
    return replace(column, recording=traced), traced
