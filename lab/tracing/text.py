"""Trees as lines of text, for below a packet of the ladder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.evidence.ladder import Ladder
from lab.evidence.ladder_text import visible
from lab.tracing import folding, function_graph, notify_server, smbd_calls
from lab.tracing.model import REQUEST, UNPLACED, Call, Trace, Tree

BAR, INDENT = "│ ", "  "
# By the kind of server: what to leave out when trees are shown.
NOISE: Mapping[str, str] = {
    "ksmbd": function_graph.NOISE,
    "py": notify_server.NOISE,
    "samba": smbd_calls.NOISE,
}


# What names a tree best, better than its root, which is the same for every request.
GIST: Mapping[str, str] = {
    "ksmbd": "|".join(function_graph.HANDLERS),
    "py": notify_server.GIST,
    "samba": r"smbd_smb2_request_process_\w+|smbd_smb2_request_pending_timer|notify_callback",
}


def gist(server: str, tree: Tree) -> str:
    """As in `handle_ksmbd_work … smb2_notify, 12 calls`."""
    names = re.compile(GIST.get(server.partition("@")[0], "")).fullmatch
    root, *inside = tree.functions
    found = next((f" … {name}" for name in inside if names(name)), "")
    count = len(tree.calls)
    return visible(f"{root}{found}, {count} call{'s' if count > 1 else ''}")


def noise(server: str) -> str:
    """Of `ksmbd@mine` it is ksmbd's."""
    return NOISE.get(server.partition("@")[0], "")


def shortened(trace: Trace, depth: int = folding.DEPTH, whole: bool = False) -> Trace:
    """For reading: folded, to that many levels; `whole` leaves nothing out."""
    if whole:
        return trace
    pattern = noise(trace.server)
    trees = tuple(folding.fold(tree, depth, pattern) for tree in trace.trees)
    return replace(trace, trees=trees)


def call_words(call: Call) -> str:
    """As in `smb2_notify (smb2pdu.c:8512)  3 times`."""
    where = f" ({call.where})" if call.where else ""
    note = f"  {call.note}" if call.note else ""
    return visible(f"{call.function}{where}{note}")


def tree_lines(tree: Tree, bar: str = BAR) -> list[str]:
    """One line a call, indented by its depth."""
    return [f"{bar}{INDENT * call.depth}{call_words(call)}" for call in tree.calls]


def title(tree: Tree) -> str:
    """What a tree is, where the packet above it does not say so."""
    if tree.rung == UNPLACED and not tree.command:
        return f"meanwhile, in {visible(tree.thread)}" if tree.thread else "meanwhile"
    number = "" if tree.message_id is None else f" #{tree.message_id}"
    stage = "" if tree.stage == REQUEST else f" {tree.stage}"
    return f"{tree.command}{number}{stage}{'' if tree.rung != UNPLACED else ', on no packet'}"


def by_rung(trace: Trace, ladder: Ladder) -> dict[int, list[tuple[str, Tree]]]:
    """The trees below each rung, by its index, each with its title ("" needs none).

    What belongs to no packet is put below the last rung before it; -1 is above the first.
    """
    found: dict[int, list[tuple[str, Tree]]] = {}
    for tree in trace.trees:
        at = tree.rung if tree.rung != UNPLACED else rung_before(ladder, tree.time)
        plain = tree.rung != UNPLACED and ladder.rungs[at].stage != "setup"
        found.setdefault(at, []).append(("" if plain else title(tree), tree))
    return found


def rung_before(ladder: Ladder, time: float) -> int:
    """The last rung that was on the wire at that time of the epoch; -1: none yet."""
    before = [at for at, rung in enumerate(ladder.rungs) if ladder.began + rung.time <= time]
    return before[-1] if before else -1


def under(
    trace: Trace,
    ladder: Ladder,
    depth: int = folding.DEPTH,
    whole: bool = False,
    bar: str = BAR,
) -> dict[int, list[str]]:
    """The lines for below each rung, as `ladder_text.render` takes them."""
    shown: Mapping[int, Sequence[tuple[str, Tree]]]
    shown = by_rung(shortened(trace, depth, whole), ladder)
    lines: dict[int, list[str]] = {}
    for at, trees in shown.items():
        for heading, tree in trees:
            lines.setdefault(at, []).extend(
                [*([f"{heading}:"] if heading else []), *tree_lines(tree, bar)]
            )
    return lines
