"""py's trees, from what notify_server writes with `--trace`.

A block is one turn of the server: a line with its time, the calls indented by depth, and before
some of them a heading that says which request or response they are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import takewhile

from lab.tracing.model import FINAL, INTERIM, REQUEST, Call, Tree

HOW = "notify_server --trace, the interpreter's profile hook: every function of the package."
# For reading: small change of every request.
NOISE = (
    r"wire\.codec\..*|wire\.header\..*|core\.request\.Request\..*|core\.credits\..*|core\.config\..*"
    r"|auth\.signing\._.*|fs\.names\..*|core\.model\.\w+|.*\.(padded|encode_name|parent_of|frame)"
    r"|core\.connection\.Connection\.(_longest_frame|authenticated)|core\.server\.Server\.mark_dirty"
    r"|core\.chain\.Chain\._(accept|flush|grant)|fs\.fanotify\..*"
)
GIST = (
    r"core\.(?!chain|request|authorization|connection|server|model|config|credits|outcome|times)\w+\.\w+(\.\w+)?"
    r"|notify\.table\.WatchTable\.publish"
)
# A turn without a request that is worth a look.
_TELLING = re.compile(r".*\.(publish|end_session|finish_parked|disconnect)$")
_OWN = "aio.trace."
# Above every request: what cuts the stream of bytes into messages.
_TRUNK = re.compile(r"core\.connection\.Connection\.(receive|_frame)")

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT")
_CALL = re.compile(r"^(?P<indent>(?:  )+)(?P<function>\S+)(?: \((?P<where>[^)]*)\))?$")
_HEADING = re.compile(
    r"^(?:SMB2_)?(?P<command>\w+) (?P<what>request|interim response|final response)"
    r" client=(?P<client>\S+?):(?P<port>\d+) mid=(?P<mid>\d+)(?: (?P<more>.*))?$"
)
_STAGES = {"request": REQUEST, "interim response": INTERIM, "final response": FINAL}


@dataclass(frozen=True)
class Heading:
    """What the call with index `at` is for."""

    at: int
    stage: str
    command: str
    message_id: int
    port: int
    more: str

    @property
    def words(self) -> str:
        status = re.search(r"status=(\S+)", self.more)
        said = "STATUS_PENDING" if self.stage == INTERIM else status[1] if status else ""
        return f"→ {self.command} #{self.message_id} {said}".strip()


@dataclass
class Block:
    """One turn of the server."""

    time: float
    calls: list[Call] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)

    def end(self, at: int) -> int:
        """The index behind the last call inside the call `at`."""
        depth = self.calls[at].depth
        inside = range(at + 1, len(self.calls))
        return next((i for i in inside if self.calls[i].depth <= depth), len(self.calls))

    def path(self, at: int) -> list[Call]:
        """The calls that lead to the call `at`, without it."""
        path: list[Call] = []
        for call in self.calls[:at]:
            del path[call.depth :]
            path.append(call)
        return path[: self.calls[at].depth]


def parse(text: str) -> list[Tree]:
    """The trees, in the order of their beginning."""
    return [tree for block in _blocks(text.splitlines()) for tree in _trees(block)]


def _blocks(lines: Iterable[str]) -> Iterator[Block]:
    block: Block | None = None
    for line in lines:
        if _TIME.match(line):
            if block:
                yield block
            block = Block(datetime.fromisoformat(line.strip()).timestamp())
        elif block is None:
            continue
        elif call := _CALL.match(line):
            if not call["function"].startswith(_OWN):
                depth = len(call["indent"]) // 2 - 1
                block.calls.append(Call(depth, call["function"], call["where"] or ""))
        elif heading := _HEADING.match(line):
            block.headings.append(
                Heading(
                    len(block.calls),
                    _STAGES[heading["what"]],
                    heading["command"],
                    int(heading["mid"]),
                    int(heading["port"]),
                    heading["more"] or "",
                )
            )
    if block:
        yield block


def _trees(block: Block) -> Iterator[Tree]:
    headings = [heading for heading in block.headings if heading.at < len(block.calls)]
    requests = [heading for heading in headings if heading.stage == REQUEST]
    responses = [heading for heading in headings if heading.stage != REQUEST]
    if not headings:
        if any(_TELLING.match(call.function) for call in block.calls):
            yield Tree(block.time, tuple(block.calls))
        return
    starts = [0, *(heading.at for heading in requests[1:]), len(block.calls)]
    for heading, start, end in zip(requests, starts, starts[1:], strict=False):
        calls = [*(block.path(start) if start else ()), *_reduced(block, start, end, responses)]
        yield _tree(block, heading, calls)
    for number, heading in enumerate(responses):
        first = not requests and number == 0
        before = block.calls[: heading.at] if first else block.path(heading.at)
        yield _tree(block, heading, [*before, *block.calls[heading.at : block.end(heading.at)]])


def _reduced(block: Block, start: int, end: int, responses: Sequence[Heading]) -> Iterator[Call]:
    """The calls from `start` to `end`; what sends a response has its own tree: only the call."""
    sends = {heading.at: heading for heading in responses}
    skip_to = start
    for at in range(start, end):
        if at < skip_to:
            continue
        call = block.calls[at]
        if at in sends:
            call = Call(call.depth, call.function, call.where, sends[at].words)
            skip_to = block.end(at)
        yield call


def _tree(block: Block, heading: Heading, calls: Sequence[Call]) -> Tree:
    return Tree(
        block.time,
        _without_trunk(tuple(calls)),
        heading.message_id,
        command=heading.command,
        stage=heading.stage,
        client_port=heading.port,
    )


def _without_trunk(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """What is inside of the calls that are above every request."""
    for at, call in enumerate(calls):
        if call.depth == 0 and _TRUNK.fullmatch(call.function):
            inside = takewhile(lambda inner: inner.depth > 0, calls[at + 1 :])
            raised = tuple(replace(inner, depth=inner.depth - 1) for inner in inside)
            return _without_trunk(raised) if raised else calls
    return calls
