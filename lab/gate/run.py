"""Run the gate: build what is a revision, run both columns, judge, write the verdict down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import backends, runs
from lab.errors import LabFailed
from lab.flavours.temporary import temporary
from lab.gate import commits
from lab.gate.commits import Commit
from lab.gate.judge import judge
from lab.gate.sides import Plan, Side
from lab.gate.verdict import Compared, Verdict
from lab.kbuild.build import build_module
from lab.kbuild.model import BuildFailed
from lab.kernel import guest
from lab.kernel.reload import ModuleRefused, reload_module
from lab.matrix import Wanted, run_on_lab, versions_of
from lab.nodes.model import DeadlineExceeded
from lab.scenarios.model import Scenario
from lab.verdicts.matrix import Matrix
from lab.verdicts.render import matrix_json
from lab.verdicts.run import ProgressCallback

if TYPE_CHECKING:
    from lab.session import Lab

BASE, CANDIDATE = "gate-base", "gate-candidate"


@dataclass(frozen=True)
class Gate:
    """What is run, how often, and out of which tree; `on` is the flavour whose kernel it uses."""

    plan: Plan
    scenarios: Sequence[Scenario]
    rounds: int
    tree: Path | None
    on: str = ""


class Broken(Exception):
    """A revision that does not build, or does not run: a verdict, not an accident of the lab."""


def run(
    lab: Lab,
    gate: Gate,
    progress: Callable[[int], ProgressCallback],
    found: Callable[[Verdict], None],
) -> None:
    """Tell `found` the verdict on the candidate, or on each commit of the range, once it is known.

    What ends the run early takes nothing of what was found before.
    """
    if gate.tree is not None:
        gate = replace(gate, tree=commits.top(gate.tree))
    plan = gate.plan
    listed = commits.commits(_tree(gate), plan.range) if plan.range else []
    guests = {}
    for name, side in ((BASE, plan.base), (CANDIDATE, plan.candidate)):
        if side.is_revision:
            commits.resolve(_tree(gate), side.revision)  # before anything is started for it
            guests[name] = gate.on
        else:
            lab.require_running(side.backend)
    # One folder for every revision: the build tree belongs to it, and compiles what differs.
    exported = lab.paths.dot_lab / "gate" / "tree"
    try:
        with temporary(lab, guests) if guests else nullcontext():
            _Run(lab, gate, progress, exported, found).judge(listed)
    finally:
        commits.forget(exported)


def _tree(gate: Gate) -> Path:
    assert gate.tree is not None, "a plan with revisions has a tree"
    return gate.tree


class _Run:
    def __init__(
        self,
        lab: Lab,
        gate: Gate,
        progress: Callable[[int], ProgressCallback],
        exported: Path,
        found: Callable[[Verdict], None],
    ) -> None:
        self._lab = lab
        self._gate = gate
        self._progress = progress
        self._exported = exported
        self._found = found

    def judge(self, listed: Sequence[Commit]) -> None:
        plan = self._gate.plan
        try:
            base = self._ready(plan.base, BASE)
        except Broken as broken:
            raise LabFailed(
                f"the base itself does not run: {broken}", "choose another --base"
            ) from None
        if listed:
            self._each(base, listed)
        else:
            self._found(self._one(base, plan.candidate))

    def _one(self, base: Compared, side: Side) -> Verdict:
        """Base and candidate in one run, side by side."""
        try:
            candidate = self._ready(side, CANDIDATE)
        except Broken as broken:
            return Verdict(base, Compared(self._named(side)), broken=str(broken))
        names = [self._node(self._gate.plan.base, BASE), self._node(side, CANDIDATE)]
        both = self._matrix(names)
        judged = judge(both, names[0], both, names[1])
        return Verdict(base, candidate, judged, folders=[both["folder"]])

    def _each(self, base: Compared, listed: Sequence[Commit]) -> None:
        """The base once, then one commit after the other on the same guest."""
        base_node, node = self._node(self._gate.plan.base, BASE), backends.named(CANDIDATE)
        before = self._matrix([base_node])
        for number, commit in enumerate(listed, 1):
            self._lab.progress.say(f"{number} of {len(listed)}: {commit}")
            try:
                candidate = self._ready(Side(commit.short, revision=commit.hash), CANDIDATE)
            except Broken as broken:
                self._found(Verdict(base, Compared(str(commit)), broken=str(broken)))
                continue
            after = self._matrix([node])
            judged = judge(before, base_node, after, node)
            folders = [before["folder"], after["folder"]]
            self._found(Verdict(base, candidate, judged, folders=folders))

    def _node(self, side: Side, temporary_flavour: str) -> str:
        return backends.named(temporary_flavour) if side.is_revision else side.backend

    def _named(self, side: Side) -> str:
        if not side.is_revision:
            return side.backend
        return str(commits.resolve(_tree(self._gate), side.revision))

    def _ready(self, side: Side, temporary_flavour: str) -> Compared:
        """The side's guest runs its module; Broken if it cannot."""
        lab, node = self._lab, self._node(side, temporary_flavour)
        if not side.is_revision:
            lab.require_running(node)
            return self._described(side.backend, node)
        commit = commits.resolve(_tree(self._gate), side.revision)
        source = self._exported
        commits.forget(source)
        commits.export(_tree(self._gate), commit, source)
        try:
            with lab.progress.step("build", f"Building {commit}"):
                # For the flavour whose kernel it is: its build tree outlives this command. Its
                # patches are not for a revision.
                built = build_module(
                    lab, self._gate.on, source=source, patches=(), say=lab.progress.say
                )
            with lab.progress.step("reload", f"Starting {node} with it"):
                reload_module(lab, temporary_flavour, built)
        except (BuildFailed, ModuleRefused, DeadlineExceeded) as error:
            raise Broken(error.message.replace(str(source), str(self._gate.tree))) from None
        return self._described(str(commit), node)

    def _described(self, what: str, node: str) -> Compared:
        ran = guest.identity(self._lab, node)
        argv = ["uname", "-r"]
        kernel = guest.node(self._lab, node).run(argv, deadline=guest.ASK_DEADLINE_S).text.strip()
        return Compared(what, ran[0] if ran else "", kernel)

    def _matrix(self, names: Sequence[str]) -> dict[str, Any]:
        gate, lab = self._gate, self._lab
        total = len(gate.scenarios) * len(names) * gate.rounds
        matrix: Matrix = run_on_lab(
            lab,
            Wanted(names, gate.scenarios, rounds=gate.rounds),
            lambda: runs.new(lab.paths.runs),
            self._progress(total),
        )
        runs.finish(matrix.run_dir, versions_of(lab, names))
        if matrix.partial:
            raise KeyboardInterrupt
        return matrix_json(matrix)
