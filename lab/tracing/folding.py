"""Shortening trees: what a reader does not look for goes, what repeats is counted.

Nothing vanishes silently: a call whose inside is left out says how many calls that were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lab.tracing.model import Call, Tree

DEPTH = 6


@dataclass
class _Node:
    call: Call
    inside: list[_Node] = field(default_factory=list)

    def size(self) -> int:
        return sum(1 + node.size() for node in self.inside)

    def shape(self) -> tuple[object, ...]:
        """Equal for two calls that did the same."""
        shapes = tuple(node.shape() for node in self.inside)
        return (self.call.function, self.call.note, shapes)


def fold(tree: Tree, depth: int = DEPTH, noise: str = "") -> Tree:
    """The tree without calls that match `noise`, repeats folded, cut below `depth` levels."""
    roots = _nodes(tree.calls)
    if noise:
        is_noise = re.compile(noise).fullmatch
        roots = [root for root in roots if _stays(root, lambda name: bool(is_noise(name)))]
    calls: list[Call] = []
    for root in _counted(roots):
        _write(root, 0, depth, calls)
    return replace(tree, calls=tuple(calls))


def _nodes(calls: Sequence[Call]) -> list[_Node]:
    roots: list[_Node] = []
    path: list[_Node] = []
    for call in calls:
        del path[call.depth :]
        node = _Node(call)
        (path[-1].inside if path else roots).append(node)
        path.append(node)
    return roots


def _stays(node: _Node, is_noise: Callable[[str], bool]) -> bool:
    """Whether the call stays: it is no noise, is noted, or leads to such a one."""
    node.inside = [inner for inner in node.inside if _stays(inner, is_noise)]
    return bool(node.inside or node.call.note) or not is_noise(node.call.function)


def _counted(nodes: Sequence[_Node]) -> list[_Node]:
    """Neighbours that did the same become one, with their number."""
    kept: list[tuple[_Node, int]] = []
    for node in nodes:
        node.inside = _counted(node.inside)
        if kept and kept[-1][0].shape() == node.shape():
            kept[-1] = (kept[-1][0], kept[-1][1] + 1)
        else:
            kept.append((node, 1))
    return [_noted(node, f"{count} times") if count > 1 else node for node, count in kept]


def _noted(node: _Node, words: str) -> _Node:
    note = f"{node.call.note}, {words}" if node.call.note else words
    return _Node(replace(node.call, note=note), node.inside)


def _write(node: _Node, at: int, depth: int, calls: list[Call]) -> None:
    if at + 1 >= depth and node.inside:
        node = _noted(node, "+1 call" if node.size() == 1 else f"+{node.size()} calls")
        node.inside = []
    calls.append(replace(node.call, depth=at))
    for inner in node.inside:
        _write(inner, at + 1, depth, calls)
