"""Which packet each tree belongs to.

By MessageId where the server tells it, with the client's port to tell connections apart. Where it
does not: by time, per command. A request that a tree handles was sent before the tree began and is
answered after it; of those that fit and that nobody claimed yet, the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from lab.evidence.ladder import Ladder, Rung
from lab.tracing.model import FINAL, INTERIM, REQUEST, UNPLACED, Trace, Tree

SETUP_COMMANDS = ("NEGOTIATE", "SESSION_SETUP", "TREE_CONNECT")
CLOCK_S = 0.002  # clocks that are the same are read at different moments


def place(trace: Trace, ladder: Ladder, ports: Mapping[int, str] | None = None) -> Trace:
    """The trace of this scenario, each tree with its rung, in the order of time.

    `ports` names the scenario's connections by the client's port. A tree of a connection that is
    not the scenario's is left out; one that belongs to no packet stays, UNPLACED.
    """
    ports = ports or {}
    known = any(tree.client_port in ports for tree in trace.trees)
    trees = [
        tree
        for tree in trace.trees
        if not known or tree.client_port in ports or tree.client_port == 0
    ]
    trees = [tree if tree.client_port in ports else replace(tree, client_port=0) for tree in trees]
    placed = _Placing(ladder, ports, trace.clock_error + CLOCK_S).all(trees)
    return _aligned(replace(trace, trees=tuple(placed)), ladder)


@dataclass
class _Placing:
    ladder: Ladder
    ports: Mapping[int, str]
    slack: float
    claimed: set[tuple[int, str]] = field(default_factory=set)  # (rung, stage)

    def all(self, trees: Sequence[Tree]) -> list[Tree]:
        """Those with a MessageId first: what they claim is not to be guessed about."""
        certain = {at: self._by_id(tree) for at, tree in enumerate(trees)}
        for at, rung in certain.items():
            if rung != UNPLACED:
                self.claimed.add((rung, trees[at].stage))
        placed = []
        for at, tree in sorted(enumerate(trees), key=lambda pair: pair[1].time):
            rung = certain[at]
            if rung == UNPLACED and tree.message_id is None:
                rung = self._by_time(tree)
            placed.append(replace(tree, rung=rung))
        return placed

    def _rungs(self, tree: Tree) -> Iterator[tuple[int, Rung]]:
        """Those of the tree's connection, where that is known."""
        conn = self.ports.get(tree.client_port)
        for at, rung in enumerate(self.ladder.rungs):
            if conn is None or rung.conn == conn:
                yield at, rung

    def _by_id(self, tree: Tree) -> int:
        if tree.message_id is None:
            return UNPLACED
        stages = (REQUEST, "cancel") if tree.stage == REQUEST else (tree.stage,)
        fits = [
            (at, rung)
            for at, rung in self._rungs(tree)
            if rung.message_id == tree.message_id and rung.stage in stages
        ]
        if tree.position:
            frames = {(rung.conn, rung.frame) for _, rung in fits}
            fits = [
                (at, rung)
                for at, rung in self._rungs(tree)
                if (rung.conn, rung.frame) in frames and rung.position == tree.position
            ]
        if tree.command:
            fits = [(at, rung) for at, rung in fits if rung.command == tree.command]
        if not fits:
            return self._setup(tree)
        # The same MessageId on two connections: the one that it is nearest to.
        return min(fits, key=lambda fit: abs(self._epoch(fit[1]) - tree.time))[0]

    def _setup(self, tree: Tree) -> int:
        """NEGOTIATE and what follows it share one rung."""
        if tree.command not in SETUP_COMMANDS:
            return UNPLACED
        setups = [(at, rung) for at, rung in self._rungs(tree) if rung.stage == "setup"]
        if tree.client_port in self.ports:
            return setups[0][0] if setups else UNPLACED
        before = [at for at, rung in setups if self._epoch(rung) <= tree.time + self.slack]
        return before[-1] if before else UNPLACED

    def _by_time(self, tree: Tree) -> int:
        if tree.command in SETUP_COMMANDS:
            return self._setup(tree)
        if not tree.command:
            return UNPLACED
        for at, rung in self._rungs(tree):
            if rung.command != tree.command or (at, tree.stage) in self.claimed:
                continue
            if self._fits(tree, at, rung):
                self.claimed.add((at, tree.stage))
                return at
        return UNPLACED

    def _fits(self, tree: Tree, at: int, rung: Rung) -> bool:
        time = self._epoch(rung)
        if tree.stage in (INTERIM, FINAL):
            return rung.stage == tree.stage and tree.time <= time + self.slack
        if rung.stage not in (REQUEST, "cancel") or time > tree.time + self.slack:
            return False
        answered = self._answered(at, rung)
        return answered is None or tree.time <= answered + self.slack

    def _answered(self, at: int, rung: Rung) -> float | None:
        """When the request's first response was sent; None: never, as for a CANCEL."""
        if rung.stage == "cancel":
            return None
        for later in self.ladder.rungs[at + 1 :]:
            same = (later.conn, later.exchange) == (rung.conn, rung.exchange)
            if same and later.stage in (INTERIM, FINAL):
                return self._epoch(later)
        return None

    def _epoch(self, rung: Rung) -> float:
        return self.ladder.began + rung.time


def _aligned(trace: Trace, ladder: Ladder) -> Trace:
    """With the clock of a server that has its own set by what is certain.

    A tree whose MessageId is known begins when its request was sent, or so little later that it
    does not matter here.
    """
    if trace.clock_error <= CLOCK_S:
        return trace
    known = sorted(
        (tree.time, ladder.began + ladder.rungs[tree.rung].time)
        for tree in trace.trees
        if tree.rung != UNPLACED
        and tree.message_id is not None
        and ladder.rungs[tree.rung].stage in (REQUEST, "cancel")
    )
    if not known:
        return trace
    moved = tuple(replace(tree, time=_between(known, tree.time)) for tree in trace.trees)
    return replace(trace, trees=moved, clock_error=CLOCK_S)


def _between(known: Sequence[tuple[float, float]], time: float) -> float:
    """The time on the other clock: straight between two that are known, shifted outside."""
    for (before, first), (after, last) in pairwise(known):
        if before <= time <= after and after > before:
            return first + (time - before) * (last - first) / (after - before)
    nearest, there = min(known, key=lambda pair: abs(pair[0] - time))
    return time + there - nearest
