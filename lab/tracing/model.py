"""What a server did, as trees of calls: one format for all servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

VERSION = 1  # of the layout of trace.json
REQUEST, INTERIM, FINAL = "request", "interim", "final"
UNPLACED = -1


@dataclass(frozen=True)
class Call:
    """One call. `where` as in "notify.c:310"; `note` is what is known besides, for people."""

    depth: int
    function: str
    where: str = ""
    note: str = ""


@dataclass(frozen=True)
class Tree:
    """One piece of a server's work, its calls in the order of their entry, the root at depth 0.

    `time` is the root's entry in seconds of the epoch. `message_id` is that of the request that is
    handled, or whose response is sent; None: the server did not tell. `position` k says that it is
    the k-th PDU after the one of that MessageId in its compound. `stage` is `request` for what
    hangs under a request or CANCEL, `interim` or `final` for what sends such a response by itself.
    `client_port` is 0, `command` and `thread` are "" where they are not known.

    `rung` is the index of the packet on the ladder, UNPLACED for none.
    """

    time: float
    calls: tuple[Call, ...]
    message_id: int | None = None
    position: int = 0
    command: str = ""
    stage: str = REQUEST
    client_port: int = 0
    thread: str = ""
    rung: int = UNPLACED

    @property
    def functions(self) -> list[str]:
        return [call.function for call in self.calls]


@dataclass(frozen=True)
class Trace:
    """Everything that was traced on one server.

    `how` says for people what traced, and what it cannot see; `clock_error` is how far the trees'
    times may be from the capture's, in seconds; `lost` how many events the tracer had to drop.
    """

    server: str
    how: str = ""
    trees: tuple[Tree, ...] = ()
    clock_error: float = 0.0
    lost: int = 0

    def between(self, began: float, ended: float) -> Trace:
        """The part of it that belongs to a span of time."""
        kept = tuple(tree for tree in self.trees if began <= tree.time <= ended)
        return replace(self, trees=kept)

    def to_json(self) -> dict[str, Any]:
        """Trees without what is at its default; calls as [depth, function, where, note]."""
        return {
            "version": VERSION,
            "server": self.server,
            "how": self.how,
            "clock_error": round(self.clock_error, 6),
            "lost": self.lost,
            "trees": [_tree_to_json(tree) for tree in self.trees],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Trace:
        """Raises ValueError for another version's file."""
        if plain.get("version") != VERSION:
            raise ValueError(f"a trace of version {plain.get('version')}, not {VERSION}")
        trees = tuple(_tree_from_json(tree) for tree in plain["trees"])
        return cls(plain["server"], plain["how"], trees, plain["clock_error"], plain["lost"])


class Tracer(Protocol):
    """Switches one server's tracing on and off."""

    def start(self) -> None:
        """Raises LabError, with the remedy, where this server cannot be traced."""
        ...

    def stop(self) -> Trace:
        """What was traced. Tracing is off afterwards, whatever happened; a second call is empty."""
        ...


_DEFAULTS = {f.name: f.default for f in fields(Tree) if f.name not in ("time", "calls")}


def _tree_to_json(tree: Tree) -> dict[str, Any]:
    plain: dict[str, Any] = {"time": round(tree.time, 6)}
    plain |= {
        name: getattr(tree, name)
        for name, default in _DEFAULTS.items()
        if getattr(tree, name) != default
    }
    plain["tree"] = [[call.depth, call.function, call.where, call.note] for call in tree.calls]
    return plain


def _tree_from_json(plain: Mapping[str, Any]) -> Tree:
    values = dict(plain)
    calls = tuple(Call(*call) for call in values.pop("tree"))
    return Tree(calls=calls, **values)


# -- making trees -------------------------------------------------------------------------------


@dataclass
class Growing:
    """A tree that still gets calls."""

    time: float
    thread: str = ""
    calls: list[Call] = field(default_factory=list)
    message_id: int | None = None
    position: int = 0
    command: str = ""
    stage: str = REQUEST
    client_port: int = 0

    def grown(self) -> Tree:
        return Tree(
            self.time,
            tuple(self.calls),
            self.message_id,
            self.position,
            self.command,
            self.stage,
            self.client_port,
            self.thread,
        )

    def note(self, at: int, words: str) -> None:
        """Add to the note of the call with that index."""
        call = self.calls[at]
        self.calls[at] = replace(call, note=f"{call.note}, {words}" if call.note else words)


def from_stacks(stacks: Sequence[Sequence[Call | str]]) -> tuple[Call, ...]:
    """One tree of backtraces, each from the outermost to the innermost function.

    Consecutive ones share the frames that they begin with in common; depths are set anew. A stack
    that is the beginning of the one before it adds nothing.
    """
    calls: list[Call] = []
    before: list[Call] = []
    for stack in stacks:
        frames = [
            replace(frame, depth=depth) if isinstance(frame, Call) else Call(depth, frame)
            for depth, frame in enumerate(stack)
        ]
        same = 0
        for one, other in zip(frames, before, strict=False):
            if one.function != other.function:
                break
            same += 1
        calls += frames[same:]
        before = frames
    return tuple(calls)
