"""Which directories inotify watches: those of handles, all below one that is watched with its
tree, and the ones above them up to the root of the share (see `watched`).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from typing import Final

from notify_server.fs.api import FeedBounds
from notify_server.fs.feed import Echoes, Kind
from notify_server.fs.inotify import DONT_FOLLOW, FULL, GUARD, Inotify
from notify_server.fs.names import to_wire
from notify_server.fs.source import RetryingSource
from notify_server.fs.watched import Node, Nodes, join, parent_of
from notify_server.notify.change import ChangesLost, DirectoryDoomed, DirectoryMoved
from notify_server.notify.classes import added

log = logging.getLogger("notify_server.fs")

_STEP: Final = 0.002  # seconds for which directories are watched before others get the lock
_CREATE: Final = int(Kind.CREATE)


class _Part:
    """One handle's part in a node; without a node its directory could not be watched."""

    __slots__ = ("node", "root", "tree", "where")

    def __init__(self, where: str, tree: bool, root: str) -> None:
        self.node: Node | None = None
        self.where = where
        self.tree = tree
        self.root = root

    @property
    def path(self) -> str:
        return self.node.path if self.node else self.where


class _LimitReachedError(OSError):
    """No more watches are to be had."""


class InotifyWatches(RetryingSource):
    """The watching half of the source: what it finds on the way goes to `_out`."""

    def __init__(self, bounds: FeedBounds | None = None) -> None:
        self._inotify = Inotify()
        super().__init__(bounds, self._inotify.fileno())
        self._nodes = Nodes()
        self._todo: list[str] = []  # covered directories that wait for their watch
        self._scanned: set[tuple[str, str]] = set()  # reported by a scan, maybe queued as well
        self._missed: set[str] = set()  # made, and by now somewhere else with one above them
        self._unwatched: set[_Part] = set()
        self._partial: set[Node] = set()  # trees that are not watched to the end

    def close(self) -> None:
        for node in self._nodes.by_path.values():
            _close_fd(node)
        super().close()
        self._inotify.close()

    # Watching

    def watch(self, path: str, fd: int, tree: bool, root: str) -> _Part:
        part = _Part(path, tree, root)
        try:
            self._join(part, fd)
        except OSError as error:
            self._unwatched.add(part)
            self._cannot(path, error)
        return part

    def _guard(self, path: str, root: str) -> None:
        """Watch the directories above `path`, from the root of the share, for renames."""
        chain: list[str] = []
        while path != root and path != "/":
            path = parent_of(path)
            chain.append(path)
        for each in reversed(chain):
            if each not in self._nodes.by_path:
                self._node(each, each, GUARD)

    def _join(self, part: _Part, fd: int | None) -> None:
        """Give a part its node."""
        self._guard(part.where, part.root)
        own = fd if fd is not None else os.open(part.where, os.O_PATH | os.O_DIRECTORY)
        try:
            node = self._nodes.by_path.get(part.where)
            if node is None or not node.full:
                node = self._node(part.where, f"/proc/self/fd/{own}", FULL)
            if node.fd < 0:
                node.fd = os.dup(own)
                node.root = part.root
        finally:
            if fd is None:
                os.close(own)
        part.node = node
        if not part.tree:
            node.flat += 1
            return
        node.tree += 1
        if node.tree == 1 and not node.covered:
            self._todo.append(node.path)

    def _node(self, path: str, where: str, mask: int) -> Node:
        """Ask the kernel for a watch, or for a fuller one, and keep its node."""
        known = self._nodes.by_path.get(path)
        if known is None and len(self._nodes) >= self.bounds.directories:
            raise _LimitReachedError(errno.ENOSPC, "bound of watched directories", path)
        wd = self._inotify.add_watch(where, mask)
        if known is not None and known.wd != wd:
            self._gone(known)
        node = self._nodes.by_wd.get(wd)
        if node is None:
            node = self._nodes.add(path, wd)
            self.statistics.directories = len(self._nodes)
        elif node.path != path:
            # The same directory under another path: a rename that nobody saw.
            self._relocate(node, path)
        parent = node.parent
        node.covered = parent is not None and parent.covers
        if node.covered and mask == GUARD:
            self._inotify.add_watch(where, FULL)
        return node

    def unwatch(self, watched: object) -> None:
        assert isinstance(watched, _Part)
        self._unwatched.discard(watched)
        node = watched.node
        if node is None:
            return
        watched.node = None
        if watched.tree:
            node.tree -= 1
        else:
            node.flat -= 1
        if node.explicit:
            if watched.tree and node.tree == 0:
                self._uncover(node)
            return
        _close_fd(node)
        self._partial.discard(node)
        if self._nodes.by_wd.get(node.wd) is node:
            self._uncover(node)

    def _uncover(self, top: Node) -> None:
        """Look again which nodes at and below `top` are needed; drop the others."""
        every, above = list(self._nodes.below(top)), top.parent
        for node in every:
            node.covered = node.parent is not None and node.parent.covers
        for node in reversed(every):
            self._drop_unneeded(node)
        while above is not None:
            parent = above.parent
            if not self._drop_unneeded(above):
                break
            above = parent

    def _drop_unneeded(self, node: Node) -> bool:
        if node.full:
            return False
        if node.children:
            with contextlib.suppress(OSError):
                self._inotify.add_watch(node.path, GUARD)
            return False
        self._drop(node)
        return True

    def _drop(self, node: Node) -> None:
        """Take the watch away; the kernel answers with IN_IGNORED, which finds no node."""
        if self._nodes.by_wd.get(node.wd) is node:
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(node.wd)
        self._nodes.remove(node)
        self._partial.discard(node)
        self.statistics.directories = len(self._nodes)

    # Trees

    def extend(self) -> bool:
        end = time.monotonic() + _STEP
        while self._todo:
            self._cover(self._todo.pop(), report=False)
            if time.monotonic() >= end:
                break
        return bool(self._todo)

    def _cover(self, path: str, *, report: bool, echoes: Echoes | None = None) -> None:
        """Watch a covered directory and queue those in it.

        With `report` all below it is news and is covered at once, however deep.
        """
        below = [path]
        while below:
            found = self._cover_one(below.pop(), report, echoes)
            if report:
                below += reversed(found)
            else:
                self._todo += found

    def _cover_one(self, path: str, report: bool, echoes: Echoes | None) -> list[str]:
        """Watch a covered directory, `report` what is in it as added; the directories in it."""
        if "\0" in path:  # in one that `_relocate` found at no path
            return []
        node = self._nodes.by_path.get(path)
        try:
            if node is None:
                parent = self._nodes.by_path.get(parent_of(path))
                if parent is None or not parent.covers:
                    return []  # renamed or given up meanwhile
                node = self._node(path, path, FULL | DONT_FOLLOW)
            elif not node.covered and node.parent is not None and node.parent.covers:
                node.covered = True
                self._inotify.add_watch(path, FULL)
            with os.scandir(path) as entries:
                found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                if report:
                    self._missed.add(path)
                return []
            if error.errno == errno.EACCES:
                log.warning("watch: %s is not readable, changes in it are not seen", path)
                return []
            self._give_up(path, error)
            return []
        key = to_wire(path)
        for name, is_directory in found:
            if report:
                self._scanned.add((path, name))
                operation = echoes.take(path, name, _CREATE) if echoes else None
                self._out.append(operation or added(key, to_wire(name), is_directory=is_directory))
        return [join(path, name) for name, is_directory in found if is_directory]

    def _cover_missed(self, old: str, new: str, echoes: Echoes) -> None:
        """What was made in a directory before it was renamed, and not found there any more."""
        inside = old + "/"
        missed = [path for path in self._missed if path.startswith(inside)]
        self._missed.difference_update(missed)
        for path in missed:
            self._cover(new + path[len(old) :], report=True, echoes=echoes)

    def _cover_now(self, path: str) -> None:
        """A directory came into a tree: cover it and what is below, nothing of it is news."""
        before, self._todo = self._todo, [path]
        while self._todo:
            self._cover(self._todo.pop(), report=False)
        self._todo = before
        top = self._nodes.by_path.get(path)
        if top is not None and self._has_changed_since_it_came(top):
            self._out.append(ChangesLost(top.key))

    def _has_changed_since_it_came(self, top: Node) -> bool:
        """Whether names came or went below it before it was watched; nobody can say which.

        A rename sets the time of change of what it renames, and no time of modification. What was
        done in the same tick of the kernel's clock, before the rename, counts as well.
        """
        try:
            came = os.lstat(top.path).st_ctime_ns
            return any(os.lstat(each.path).st_mtime_ns >= came for each in self._nodes.below(top))
        except OSError:  # it went on: events of that follow
            return False

    def _give_up(self, path: str, error: OSError) -> None:
        """A tree cannot be watched to its end: say so for its top, and leave the rest of it."""
        top = self._nodes.by_path.get(parent_of(path)) or self._nodes.by_path.get(path)
        while top is not None and top.tree == 0 and top.parent is not None:
            top = top.parent
        if top is None:
            return
        below = join(top.path, "")
        self._todo = [each for each in self._todo if not each.startswith(below)]
        self._partial.add(top)
        self._cannot(top.path, error)

    def _cannot(self, path: str, error: OSError) -> None:
        self._degrade(
            path,
            f"{path} cannot be watched ({error.strerror}; see fs.inotify.max_user_watches); "
            "its watchers are",
        )

    def _retry(self) -> None:
        """Try again what could not be watched; until it can be, its watchers must enumerate."""
        for part in list(self._unwatched):
            self._unwatched.discard(part)
            try:
                self._join(part, None)
                self._out.append(ChangesLost(to_wire(part.path)))
            except OSError as error:
                self._unwatched.add(part)
                self._cannot(part.where, error)
        for node in list(self._partial):
            self._partial.discard(node)
            self._out.append(ChangesLost(node.key))
            self._todo.append(node.path)
        while self._todo:
            self._cover(self._todo.pop(), report=False)

    def _relocate(self, node: Node, path: str | None) -> None:
        """A node is somewhere else; who watches it follows."""
        old = node.path
        if path is None:
            path = _whereabouts(node)
        if path is None or path in self._nodes.by_path:
            path = f"{old}\0{node.wd}"  # no path that a client could name
        else:
            with contextlib.suppress(OSError):
                self._guard(path, node.root or path)
        self._nodes.move(node, path)
        self._out.append(DirectoryMoved(to_wire(old), to_wire(path)))

    def _gone(self, top: Node) -> None:
        """A directory was removed: its watchers are told, its path is free."""
        above = top.parent
        for node in reversed(list(self._nodes.below(top))):
            if node.explicit:
                self._out.append(DirectoryDoomed(node.key))
            self._drop(node)
        while above is not None:
            parent = above.parent
            if not self._drop_unneeded(above):
                break
            above = parent


def _whereabouts(node: Node) -> str | None:
    """Where the directory is now, if it still is in its share."""
    if node.fd < 0:
        return None
    path = os.readlink(f"/proc/self/fd/{node.fd}")
    inside = path.startswith(join(node.root, "")) or path == node.root
    return path if inside and os.path.lexists(path) else None


def _close_fd(node: Node) -> None:
    if node.fd >= 0:
        os.close(node.fd)
        node.fd = -1
