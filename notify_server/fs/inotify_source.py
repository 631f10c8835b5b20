"""inotify as a source of changes: one kernel watch for each watched directory, however many
handles watch it, and for each directory below one that is watched with its tree.

What inotify does not do by itself is done here:

- A directory that appears in a watched tree gets a watch, then it is scanned: what was made in it
  before the watch is reported once, what the watch saw as well is not reported twice.
- The two halves of a rename are paired by cookie. A half without partner came from, or went, where
  nobody looks. A renamed directory keeps its watches and those below it; they get a new path. Two
  that exchange their names (renameat2(2)) look like one that went there and back; what came
  later, and what is there now, tells them apart.
- Nothing tells a watch that its own directory was removed or renamed while a handle is open (the
  kernel says so when the last reference goes), so the directories above it are watched for that.
- A directory that cannot be watched (the limit of the user, or ours) makes `ChangesLost`, now and
  at each retry until it can be; so does a queue that ran over.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Final

from notify_server.fs.feed import Echoes, Kind, Operation
from notify_server.fs.inotify import ENDED, ISDIR, OVERFLOW, UNMOUNT, RawEvent
from notify_server.fs.inotify_watches import InotifyWatches
from notify_server.fs.names import to_wire
from notify_server.fs.syscalls import is_removed
from notify_server.fs.watched import Node, join
from notify_server.notify.change import ChangesLost, Event
from notify_server.notify.classes import Operation as Done
from notify_server.notify.classes import added, done, exchanged, removed, renamed

log = logging.getLogger("notify_server.fs")

_ROUNDS: Final = 64  # reads before the caller may do something else
_CREATE, _DELETE = int(Kind.CREATE), int(Kind.DELETE)
_FROM, _TO = int(Kind.MOVED_FROM), int(Kind.MOVED_TO)
_MODIFY, _ATTRIB = int(Kind.MODIFY), int(Kind.ATTRIB)


class InotifySource(InotifyWatches):
    """See the module; implements `feed.Source`. What is watched is `inotify_watches`'s."""

    name = "inotify"

    def read(self, echoes: Echoes) -> Sequence[Event | Operation]:
        if not self._out and not self._waiting and not self._inotify.queued():
            return ()
        for _ in range(_ROUNDS):
            events = self._take()
            if events:
                self._translate(events, echoes)
            if not self._inotify.more:
                # What a scan saw may be queued behind what was read so far.
                if not self._scanned:
                    break
                self._translate(self._take(), echoes)
                self._scanned.clear()
        self._missed.clear()
        return self._found()

    def _take(self) -> list[RawEvent]:
        events = self._inotify.take()
        self.statistics.events += len(events)
        return events

    def _translate(self, events: list[RawEvent], echoes: Echoes) -> None:
        arrivals = {cookie: (wd, name) for wd, mask, cookie, name in events if mask & _TO}
        paired: set[int] = set()
        for index, (wd, mask, cookie, name) in enumerate(events):
            node = self._nodes.by_wd.get(wd)
            if mask & OVERFLOW:
                self._overflowed()
            elif node is None:
                continue
            elif mask & ENDED:
                self._ignored(node, mask)
            elif not name:
                continue
            elif mask & _FROM and cookie in paired:
                continue  # of an exchange
            elif mask & _FROM:
                to_wd, to_name = arrivals.get(cookie, (-1, ""))
                target = self._nodes.by_wd.get(to_wd)
                if target is None:
                    self._left(node, name, mask, echoes)
                elif _is_exchange(events, index, target):
                    paired.update((cookie, events[index + 2][2]))
                    self._exchanged(node, name, target, to_name)
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
        is_directory = bool(mask & ISDIR)
        if self._scanned and (node.path, name) in self._scanned:
            self._scanned.discard((node.path, name))
        else:
            if self._is_news(node, name, mask & (_CREATE | _TO), echoes):
                self._out.append(added(node.key, to_wire(name), is_directory=is_directory))
        path = join(node.path, name)
        replaced = self._nodes.by_path.get(path) if is_directory and mask & _TO else None
        if replaced is not None:
            self._gone(replaced)
        if is_directory and node.covers:
            if mask & _CREATE:
                self._cover(path, report=True, echoes=echoes)
            else:
                self._cover_now(path)

    def _deleted(self, node: Node, name: str, mask: int, echoes: Echoes) -> None:
        is_directory = bool(mask & ISDIR)
        self._scanned.discard((node.path, name))
        if self._is_news(node, name, _DELETE, echoes):
            self._out.append(removed(node.key, to_wire(name), is_directory=is_directory))
        child = self._nodes.by_path.get(join(node.path, name)) if is_directory else None
        if child is not None and not _still_there(child):
            self._gone(child)

    def _left(self, node: Node, name: str, mask: int, echoes: Echoes) -> None:
        """Moved to where nobody looks."""
        is_directory = bool(mask & ISDIR)
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
            if self._nodes.by_path.get(join(node.path, name)) is top:
                for each in reversed(list(self._nodes.below(top))):
                    self._drop(each)
            elif self._nodes.by_wd.get(top.wd) is top:
                self._uncover(top)  # found again as a guard, while those below it were relocated
        self._drop_unneeded(node)

    def _renamed(
        self, node: Node, name: str, target: Node, to_name: str, mask: int, echoes: Echoes
    ) -> None:
        is_directory = bool(mask & ISDIR)
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
            if target.covers and node.covers and not self._partial:
                # It was made, and renamed before it could be read: nothing in it was told.
                self._cover(new, report=True, echoes=echoes)
            elif target.covers:
                self._cover_now(new)
            return
        self._nodes.move(moved, new)
        self._settle(moved, target)
        self._cover_missed(old, new, echoes)

    def _settle(self, moved: Node, above: Node) -> None:
        """A node is in `above` now, which is covered or not."""
        was_covered = moved.covered
        if above.covers:
            if not was_covered:
                self._cover_now(moved.path)
            return
        moved.covered = False
        if was_covered:
            self._uncover(moved)

    def _exchanged(self, node: Node, name: str, target: Node, to_name: str) -> None:
        self._scanned -= {(node.path, name), (target.path, to_name)}
        self._out += exchanged(node.key, to_wire(name), target.key, to_wire(to_name))
        one, other = join(node.path, name), join(target.path, to_name)
        went, came = self._nodes.by_path.get(one), self._nodes.by_path.get(other)
        if came is not None:
            self._nodes.move(came, f"{other}\0")
        if went is not None:
            self._nodes.move(went, other)
        if came is not None:
            self._nodes.move(came, one)
        for moved, path, above in ((went, other, target), (came, one, node)):
            if moved is not None:
                self._settle(moved, above)
            elif above.covers:
                self._cover_now(path)

    def _ignored(self, node: Node, mask: int) -> None:
        if mask & UNMOUNT:
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


def _is_exchange(events: list[RawEvent], index: int, target: Node) -> bool:
    """Whether two directories took each other's name in one system call."""
    four = events[index : index + 4]
    if len(four) < 4 or not all(mask & ISDIR for _, mask, _, _ in four):
        return False
    away, arrived, back, home = ((wd, name) for wd, _, _, name in four)
    kinds = [mask & (_FROM | _TO) for _, mask, _, _ in four]
    return (
        kinds == [_FROM, _TO, _FROM, _TO]
        and (away, arrived) == (home, back)
        and four[2][2] == four[3][2]
        and _was_there(arrived, join(target.path, arrived[1]), events[index + 4 :])
    )


def _was_there(at: tuple[int, str], path: str, later: list[RawEvent]) -> bool:
    """Whether anything had a name before what came later: it may be gone, or new, by now."""
    came = False
    for wd, mask, _, name in later:
        if (wd, name) == at and mask & (_DELETE | _FROM):
            if not came:
                return True
            came = False  # it came and went, or changed places with what was there
        elif came or ((wd, name) == at and mask & _CREATE):
            return False
        else:
            came = (wd, name) == at and bool(mask & _TO)
    return not came and os.path.lexists(path)


def _still_there(node: Node) -> bool:
    """Whether an old event speaks of a namesake: the handles' directory was not removed."""
    return node.fd >= 0 and not is_removed(node.fd)
