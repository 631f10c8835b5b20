"""The directories that have a kernel watch, as trees that start at the roots of shares. Pure.

From a watched directory up to the root of its share every directory is a node, so that no rename
of one of them goes unseen. A node is *full* when its names are to be reported: handles watch it,
or one above it is watched with its tree (it is *covered*). Otherwise it is a guard and stays as
long as it has children.
"""

from __future__ import annotations

from collections.abc import Iterator

from notify_server.fs.names import to_wire


class Node:
    """A directory with a kernel watch."""

    __slots__ = ("children", "covered", "fd", "flat", "key", "parent", "path", "root", "tree", "wd")

    def __init__(self, path: str, wd: int, parent: Node | None) -> None:
        self.at(path)
        self.wd = wd
        self.parent = parent
        self.children: dict[str, Node] | None = None
        self.flat = 0  # handles that watch it alone
        self.tree = 0  # handles that watch it with its tree
        self.covered = False
        self.fd = -1  # held while handles watch it: tells where it went
        self.root = ""

    def at(self, path: str) -> None:
        """It is at `path`; `key` is that as clients see it, asked for at each event."""
        self.path = path
        self.key = to_wire(path)

    @property
    def explicit(self) -> bool:
        return self.flat > 0 or self.tree > 0

    @property
    def full(self) -> bool:
        return self.covered or self.flat > 0 or self.tree > 0

    @property
    def covers(self) -> bool:
        """Whether a directory in it is covered."""
        return self.covered or self.tree > 0


class Nodes:
    """All nodes, by path and by watch descriptor."""

    def __init__(self) -> None:
        self.by_path: dict[str, Node] = {}
        self.by_wd: dict[int, Node] = {}
        self._tops: set[Node] = set()  # no parent: roots of shares

    def __len__(self) -> int:
        return len(self.by_path)

    def add(self, path: str, wd: int) -> Node:
        node = Node(path, wd, None)
        self.by_path[path] = node
        self.by_wd[wd] = node
        self._attach(node)
        # A share inside another was there first: its root has a parent now.
        for top in [t for t in self._tops if t is not node and parent_of(t.path) == path]:
            self._attach(top)
        return node

    def _attach(self, node: Node) -> None:
        parent = self.by_path.get(parent_of(node.path)) if node.path != "/" else None
        node.parent = parent
        if parent is None:
            self._tops.add(node)
            return
        self._tops.discard(node)
        if parent.children is None:
            parent.children = {}
        parent.children[name_of(node.path)] = node

    def _detach(self, node: Node) -> None:
        self._tops.discard(node)
        if node.parent is not None and node.parent.children is not None:
            name = name_of(node.path)
            if node.parent.children.get(name) is node:
                del node.parent.children[name]
                if not node.parent.children:
                    node.parent.children = None
        node.parent = None

    def remove(self, node: Node) -> None:
        """Forget a node; its children, if any, are forgotten with it by the caller."""
        self._detach(node)
        if self.by_path.get(node.path) is node:
            del self.by_path[node.path]
        if self.by_wd.get(node.wd) is node:
            del self.by_wd[node.wd]

    def move(self, node: Node, path: str) -> None:
        """Give a node and all below it their new paths."""
        self._detach(node)
        old = node.path
        for each in list(self.below(node)):
            if self.by_path.get(each.path) is each:
                del self.by_path[each.path]
            each.at(path + each.path[len(old) :])
            self.by_path[each.path] = each
        self._attach(node)

    def below(self, node: Node) -> Iterator[Node]:
        """The node and all below it, each after its parent."""
        stack = [node]
        while stack:
            each = stack.pop()
            yield each
            if each.children:
                stack += each.children.values()


def parent_of(path: str) -> str:
    return path[: path.rfind("/")] or "/"


def name_of(path: str) -> str:
    return path[path.rfind("/") + 1 :]


def join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory != "/" else f"/{name}"
