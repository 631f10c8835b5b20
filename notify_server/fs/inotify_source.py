"""inotify as a source of changes: one kernel watch for each watched directory, however many
handles watch it, and for each directory below one that is watched with its tree.

What inotify does not do by itself is done here:

- A directory that appears in a watched tree gets a watch, then it is scanned: what was made in it
  before the watch is reported once, what the watch saw as well is not reported twice.
- The two halves of a rename are paired by cookie. A half without partner came from, or went, where
  nobody looks. A renamed directory keeps its watches and those below it; they get a new path.
- Nothing tells a watch that its own directory was removed or renamed while a handle is open (the
  kernel says so when the last reference goes), so the directories above it are watched for that.
- A directory that cannot be watched (the limit of the user, or ours) makes `ChangesLost`, now and
  at each retry until it can be; so does a queue that ran over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import select
import struct
import sys
import termios
import time
from collections.abc import Sequence
from typing import Final

from inotify_simple import INotify, flags

from notify_server.fs.api import FeedBounds, FeedStatistics
from notify_server.fs.feed import Echoes, Kind, Operation
from notify_server.fs.names import to_wire
from notify_server.fs.timer import Timer
from notify_server.fs.watched import Node, Nodes, join, parent_of
from notify_server.notify.change import ChangesLost, DirectoryDoomed, DirectoryMoved, Event
from notify_server.notify.classes import Operation as Done
from notify_server.notify.classes import added, done, removed, renamed

log = logging.getLogger("notify_server.fs")

_HOW: Final = int(flags.ONLYDIR | flags.EXCL_UNLINK)
_GUARD: Final = int(flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO) | _HOW
_FULL: Final = int(flags.CREATE | flags.MODIFY | flags.ATTRIB) | _GUARD
_ISDIR: Final = int(flags.ISDIR)
_STEP: Final = 256  # directories watched before others get the lock
_ROUNDS: Final = 64  # reads before the caller may do something else
_EVENT: Final = struct.Struct("=iIII")
_BUFFER: Final = 65536
_LARGEST: Final = _EVENT.size + 256
_ON_DISK: Final = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
_HALF: Final = 50e-6  # seconds to wait for the other half of a rename

_CREATE, _DELETE = int(Kind.CREATE), int(Kind.DELETE)
_FROM, _TO = int(Kind.MOVED_FROM), int(Kind.MOVED_TO)
_MODIFY, _ATTRIB = int(Kind.MODIFY), int(Kind.ATTRIB)
_ENDED: Final = int(flags.IGNORED | flags.UNMOUNT)
_UNMOUNT: Final = int(flags.UNMOUNT)
_OVERFLOW: Final = int(flags.Q_OVERFLOW)

RawEvent = tuple[int, int, int, str]  # wd, mask, cookie, name


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


class InotifySource:
    """See the module; implements `feed.Source`."""

    name = "inotify"

    def __init__(self, bounds: FeedBounds | None = None) -> None:
        self.bounds = bounds or FeedBounds()
        self.statistics = FeedStatistics()
        self._inotify = INotify(nonblocking=True)
        self._fd = self._inotify.fileno()
        self._size = bytearray(4)
        self._timer = Timer()
        self._epoll = select.epoll()
        self._epoll.register(self._inotify.fileno(), select.EPOLLIN)
        self._epoll.register(self._timer.fileno(), select.EPOLLIN)
        self._nodes = Nodes()
        self._todo: list[str] = []  # covered directories that wait for their watch
        self._out: list[Event | Operation] = []
        self._scanned: set[tuple[str, str]] = set()  # reported by a scan, maybe queued as well
        self._unwatched: set[_Part] = set()
        self._partial: set[Node] = set()  # trees that are not watched to the end
        self._waiting = False  # for the timer
        self._more = False  # the queue may hold more than was read

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        for node in self._nodes.by_path.values():
            _close_fd(node)
        self._epoll.close()
        self._timer.close()
        self._inotify.close()

    # Watching

    def watch(self, path: str, fd: int, tree: bool, root: str) -> _Part:
        part = _Part(path, tree, root)
        try:
            self._join(part, fd)
        except OSError as error:
            self._unwatched.add(part)
            self._degrade(path, error)
        return part

    def _guard(self, path: str, root: str) -> None:
        """Watch the directories above `path`, from the root of the share, for renames."""
        chain: list[str] = []
        while path != root and path != "/":
            path = parent_of(path)
            chain.append(path)
        for each in reversed(chain):
            if each not in self._nodes.by_path:
                self._node(each, each, _GUARD)

    def _join(self, part: _Part, fd: int | None) -> None:
        """Give a part its node."""
        self._guard(part.where, part.root)
        own = fd if fd is not None else os.open(part.where, os.O_PATH | os.O_DIRECTORY)
        try:
            node = self._nodes.by_path.get(part.where)
            if node is None or not node.full:
                node = self._node(part.where, f"/proc/self/fd/{own}", _FULL)
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
        if node.covered and mask == _GUARD:
            self._inotify.add_watch(where, _FULL)
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
                self._inotify.add_watch(node.path, _GUARD)
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
        for _ in range(_STEP):
            if not self._todo:
                return False
            self._cover(self._todo.pop(), report=False)
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
        node = self._nodes.by_path.get(path)
        try:
            if node is None:
                parent = self._nodes.by_path.get(parent_of(path))
                if parent is None or not parent.covers:
                    return []  # renamed or given up meanwhile
                node = self._node(path, path, _FULL | int(flags.DONT_FOLLOW))
            elif not node.covered and node.parent is not None and node.parent.covers:
                node.covered = True
                self._inotify.add_watch(path, _FULL)
            with os.scandir(path) as entries:
                found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
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

    def _cover_now(self, path: str) -> None:
        """A directory came into a tree: cover it and what is below, nothing of it is news."""
        before, self._todo = self._todo, [path]
        while self._todo:
            self._cover(self._todo.pop(), report=False)
        self._todo = before

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
        self._degrade(top.path, error)

    def _degrade(self, path: str, error: OSError) -> None:
        message = (
            f"watch: {path} cannot be watched ({error.strerror}; see fs.inotify.max_user_watches); "
            f"its watchers are told to enumerate, again in {self.bounds.retry_seconds:g} s"
        )
        log.warning("%s", message)
        self.statistics.failures.append(message)
        del self.statistics.failures[:-16]
        self._out.append(ChangesLost(to_wire(path)))
        self._timer.set(self.bounds.retry_seconds)
        self._waiting = True

    def _retry(self) -> None:
        """Try again what could not be watched; until it can be, its watchers must enumerate."""
        for part in list(self._unwatched):
            self._unwatched.discard(part)
            try:
                self._join(part, None)
                self._out.append(ChangesLost(to_wire(part.path)))
            except OSError as error:
                self._unwatched.add(part)
                self._degrade(part.where, error)
        for node in list(self._partial):
            self._partial.discard(node)
            self._out.append(ChangesLost(node.key))
            self._todo.append(node.path)
        while self._todo:
            self._cover(self._todo.pop(), report=False)

    # Reading

    def read(self, echoes: Echoes) -> Sequence[Event | Operation]:
        if not self._out and not self._waiting and not self._queued():
            return ()
        for _ in range(_ROUNDS):
            events = self._take()
            if events:
                self._translate(events, echoes)
            if not self._more:
                # What a scan saw may be queued behind what was read so far.
                if not self._scanned:
                    break
                self._translate(self._take(), echoes)
                self._scanned.clear()
        if self._waiting and self._timer.expired():
            self._waiting = False
            self._retry()
        out, self._out = self._out, []
        return out

    def _queued(self) -> bool:
        """Whether there is anything to read, which costs an eighth of a read that fails."""
        fcntl.ioctl(self._fd, termios.FIONREAD, self._size)
        return any(self._size)

    def _take(self) -> list[RawEvent]:
        events = self._take_queued()
        if events and events[-1][1] & _FROM:
            # Its other half is queued by the same system call, if anybody watches there.
            time.sleep(_HALF)
            events += self._take_queued()
        self.statistics.events += len(events)
        return events

    def _take_queued(self) -> list[RawEvent]:
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            self._more = False
            return []
        # The kernel fills the buffer as far as whole events go.
        self._more = len(data) > _BUFFER - _LARGEST
        events: list[RawEvent] = []
        offset = 0
        while offset < len(data):
            wd, mask, cookie, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            name = data[offset : offset + length].partition(b"\0")[0]
            events.append((wd, mask, cookie, name.decode(*_ON_DISK)))
            offset += length
        return events

    def _translate(self, events: list[RawEvent], echoes: Echoes) -> None:
        arrivals = {cookie: (wd, name) for wd, mask, cookie, name in events if mask & _TO}
        paired: set[int] = set()
        for wd, mask, cookie, name in events:
            node = self._nodes.by_wd.get(wd)
            if mask & _OVERFLOW:
                self._overflowed()
            elif node is None:
                continue
            elif mask & _ENDED:
                self._ignored(node, mask)
            elif not name:
                continue
            elif mask & _FROM:
                to_wd, to_name = arrivals.get(cookie, (-1, ""))
                target = self._nodes.by_wd.get(to_wd)
                if target is None:
                    self._left(node, name, mask, echoes)
                else:
                    paired.add(cookie)
                    self._renamed(node, name, target, to_name, mask, echoes)
            elif mask & _TO and cookie in paired:
                continue
            elif mask & (_CREATE | _TO):
                self._appeared(node, name, mask, echoes)
            elif mask & _DELETE:
                self._deleted(node, name, mask, echoes)
            elif node.full:
                self._modified(node, name, mask, echoes)

    def _is_news(self, node: Node, name: str, kind: int, echoes: Echoes) -> bool:
        """Whether an event is to be handed on; if it is an echo, its operation is instead."""
        operation = echoes.take(node.path, name, kind)
        if operation is None:
            return node.full
        self.statistics.echoes += 1
        self._out.append(operation)
        return False

    def _modified(self, node: Node, name: str, mask: int, echoes: Echoes) -> None:
        kind, what = (
            (_MODIFY, Done.DATA_CHANGED_BESIDE)
            if mask & _MODIFY
            else (_ATTRIB, Done.INODE_CHANGED_BESIDE)
        )
        if self._is_news(node, name, kind, echoes):
            self._out.append(done(what, node.key, to_wire(name)))

    def _appeared(self, node: Node, name: str, mask: int, echoes: Echoes) -> None:
        is_directory = bool(mask & _ISDIR)
        if self._scanned and (node.path, name) in self._scanned:
            self._scanned.discard((node.path, name))
        else:
            if self._is_news(node, name, mask & (_CREATE | _TO), echoes):
                self._out.append(added(node.key, to_wire(name), is_directory=is_directory))
        if is_directory and node.covers:
            path = join(node.path, name)
            if mask & _CREATE:
                self._cover(path, report=True, echoes=echoes)
            else:
                self._cover_now(path)

    def _deleted(self, node: Node, name: str, mask: int, echoes: Echoes) -> None:
        is_directory = bool(mask & _ISDIR)
        self._scanned.discard((node.path, name))
        if self._is_news(node, name, _DELETE, echoes):
            self._out.append(removed(node.key, to_wire(name), is_directory=is_directory))
        child = self._nodes.by_path.get(join(node.path, name)) if is_directory else None
        if child is not None and not _still_there(child):
            self._gone(child)

    def _left(self, node: Node, name: str, mask: int, echoes: Echoes) -> None:
        """Moved to where nobody looks."""
        is_directory = bool(mask & _ISDIR)
        self._scanned.discard((node.path, name))
        if self._is_news(node, name, _FROM, echoes):
            self._out.append(removed(node.key, to_wire(name), is_directory=is_directory))
        top = self._nodes.by_path.get(join(node.path, name)) if is_directory else None
        if top is None:
            return
        inside = join(top.path, "")
        for each in list(self._nodes.below(top)):
            if each.explicit and (each is top or each.path.startswith(inside)):
                self._relocate(each, None)
                self._uncover(each)
        if not top.explicit:
            for each in reversed(list(self._nodes.below(top))):
                self._drop(each)
        self._drop_unneeded(node)

    def _renamed(
        self, node: Node, name: str, target: Node, to_name: str, mask: int, echoes: Echoes
    ) -> None:
        is_directory = bool(mask & _ISDIR)
        self._scanned.discard((node.path, name))
        # One of a rename over SMB expects both halves; either may be unwatched.
        ours = echoes.take(node.path, name, _FROM)
        theirs = echoes.take(target.path, to_name, _TO)
        operation = ours or theirs
        old, new = join(node.path, name), join(target.path, to_name)
        if operation is not None:
            self.statistics.echoes += 1
            self._out.append(operation)
        else:
            events = renamed(
                node.key,
                to_wire(name),
                target.key,
                to_wire(to_name),
                is_directory=is_directory,
            )
            self._out += events
        if not is_directory:
            return
        replaced = self._nodes.by_path.get(new)
        if replaced is not None:
            self._gone(replaced)
        moved = self._nodes.by_path.get(old)
        if moved is None:
            if target.covers:
                self._cover_now(new)
            return
        was_covered = moved.covered
        self._nodes.move(moved, new)
        moved.covered = target.covers
        if moved.covered and not was_covered:
            self._cover_now(new)
        elif was_covered and not moved.covered:
            self._uncover(moved)

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
        for node in reversed(list(self._nodes.below(top))):
            if node.explicit:
                self._out.append(DirectoryDoomed(node.key))
            self._drop(node)

    def _ignored(self, node: Node, mask: int) -> None:
        if mask & _UNMOUNT:
            self._out.append(ChangesLost(node.key))
            return
        del self._nodes.by_wd[node.wd]
        self._gone(node)

    def _overflowed(self) -> None:
        """The queue ran over: everybody enumerates, and trees are walked for what was missed."""
        self.statistics.overflows += 1
        log.warning("watch: the inotify queue overflowed (fs.inotify.max_queued_events)")
        self._out.append(ChangesLost())
        self._todo += [node.path for node in self._nodes.by_path.values() if node.tree]
        while self._todo:
            self._cover(self._todo.pop(), report=False)


def _whereabouts(node: Node) -> str | None:
    """Where the directory is now, if it still is in its share."""
    if node.fd < 0:
        return None
    path = os.readlink(f"/proc/self/fd/{node.fd}")
    inside = path.startswith(join(node.root, "")) or path == node.root
    return path if inside and os.path.lexists(path) else None


def _still_there(node: Node) -> bool:
    """Whether an old event speaks of a namesake: the handles' directory was not removed."""
    return node.fd >= 0 and os.fstat(node.fd).st_nlink > 0


def _close_fd(node: Node) -> None:
    if node.fd >= 0:
        os.close(node.fd)
        node.fd = -1
