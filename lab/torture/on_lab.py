"""smbtorture on the lab: what its client container lists, and the columns for its servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.crashes.kernel import kernel_of
from lab.matrix import ContainerServer, active
from lab.nodes.model import check
from lab.nodes.registry import backend, container
from lab.scenarios.pipe import Pipe
from lab.targets import container_target
from lab.torture.listing import parse_list, select, subtest
from lab.torture.process import LISTING_ARGV, LISTING_DEADLINE_S
from lab.torture.run import Column, run_subtests
from lab.verdicts import deviations
from lab.verdicts.matrix import Matrix
from lab.verdicts.run import ProgressCallback

if TYPE_CHECKING:
    from lab.session import Lab

CLIENT = "client"
DEVIATIONS = Path(__file__).parent / "deviations"


def choose(lab: Lab, patterns: Sequence[str]) -> list[str]:
    """The subtests that `patterns` mean, of those that the client's smbtorture has."""
    lab.require_running(CLIENT)
    done = container(lab.engine, CLIENT).run(LISTING_ARGV, deadline=LISTING_DEADLINE_S)
    names = parse_list(check(done, CLIENT, LISTING_ARGV).text)
    return select(names, patterns)


def run_on_lab(
    lab: Lab,
    servers: Sequence[str],
    names: Sequence[str],
    new_folder: Callable[[], Path],
    progress: ProgressCallback,
    deadline: float | None,
) -> Matrix:
    """Run subtests against `servers`, or, if there are none, the active one; always directly."""
    servers = servers or [active(lab)]
    lab.require_running(CLIENT, *servers)
    columns = [_column(lab, name) for name in servers]
    return run_subtests(
        columns, [subtest(name) for name in names], new_folder(), progress, deadline
    )


def _column(lab: Lab, name: str) -> Column:
    target = container_target(name, lab.settings, lab.secrets, accelerator=lab.accelerator)
    node = backend(lab.engine, lab.paths, name)
    server = ContainerServer(lab, name, node, target.scale)

    def open_pipe(argv: Sequence[str]) -> Pipe:
        pipe: Pipe = lab.engine.exec_pipe(CLIENT, argv)
        return pipe

    return Column(
        target,
        server,
        open_pipe,
        deviations.load(name, DEVIATIONS),
        kernel_of(lab, name, node, target.scale),
    )
