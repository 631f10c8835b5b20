"""fanotify as a source of changes: one mark sees a whole file system, so WATCH_TREE costs no more
than a flat watch, however many directories there are.

What that asks for:

- Events name directories by file handle. The path is looked up and remembered; renames of
  directories move what is remembered. A directory that is gone by the time its events are read is
  found through the event that removed it, which names it as its target.
- The kernel merges what one process did to one name until it is read: one event may say that the
  name came, changed and went. Whether it is there now tells the order of coming and going.
- Most of what happens on a file system is of no interest: whoever watches nothing at or above a
  directory costs a look into a table.
- A file system below a watched tree needs a mark of its own; one that can have none (overlayfs,
  some network ones) makes `ChangesLost`, now and at each retry.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from notify_server.fs import fanotify
from notify_server.fs.api import FeedBounds
from notify_server.fs.fanotify import FanotifyEvent, FileHandle
from notify_server.fs.feed import Echoes, Kind, Operation
from notify_server.fs.mounts import mounts
from notify_server.fs.names import to_wire
from notify_server.fs.source import RetryingSource
from notify_server.fs.syscalls import is_removed
from notify_server.fs.watched import join, name_of, parent_of
from notify_server.notify.change import Change, ChangesLost, DirectoryDoomed, Event
from notify_server.notify.classes import Operation as Done
from notify_server.notify.classes import added, done, exchanged, removed, renamed

log = logging.getLogger("notify_server.fs")

_MASK: Final = (
    fanotify.CREATE
    | fanotify.DELETE
    | fanotify.MODIFY
    | fanotify.ATTRIB
    | fanotify.RENAME
    | fanotify.ONDIR
)
_BUFFER: Final = 1 << 16
_ROUNDS: Final = 64
_REMEMBERED: Final = 1 << 16
_DEEPEST: Final = 4096  # directories in one path: it has no more bytes
_KINDS: Final = (Kind.CREATE, Kind.MODIFY, Kind.ATTRIB, Kind.DELETE)


class _Part:
    """One handle's watch."""

    __slots__ = ("fd", "marks", "path", "tree")

    def __init__(self, path: str, tree: bool, fd: int) -> None:
        self.path = path
        self.tree = tree
        self.fd = fd  # the handle's: no event tells of a namesake that it is one
        self.marks: list[bytes] = []

    @property
    def is_removed(self) -> bool:
        return is_removed(self.fd)


class _Mark:
    """A file system that is seen, for as long as somebody watches on it."""

    __slots__ = ("mount", "parts", "path")

    def __init__(self, path: str, mount: int) -> None:
        self.path = path
        self.mount = mount
        self.parts = 0


class FanotifySource(RetryingSource):
    """See the module; implements `feed.Source`."""

    name = "fanotify"

    def __init__(self, bounds: FeedBounds | None = None) -> None:
        self._group = fanotify.init()
        super().__init__(bounds, self._group)
        self._marks: dict[bytes, _Mark] = {}
        self._watched: dict[str, set[_Part]] = {}
        self._unseen: set[_Part] = set()  # parts with a file system that has no mark
        self._paths: dict[FileHandle, str] = {}
        self._named: dict[FileHandle, tuple[FileHandle, str]] = {}  # by events being read

    def close(self) -> None:
        super().close()
        for mark in self._marks.values():
            os.close(mark.mount)
        os.close(self._group)

    def probe(self, path: str) -> None:
        """Raises OSError unless `path` can be watched and its handles can be opened."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        part = _Part(path, False, fd)
        try:
            mount = self._mark(part, path)
            os.close(fanotify.open_by_handle(mount.mount, fanotify.handle_of(fd)))
        finally:
            os.close(fd)
            self._unmark(part)

    # Watching

    def watch(self, path: str, fd: int, tree: bool, root: str) -> _Part:
        part = _Part(path, tree, fd)
        self._watched.setdefault(path, set()).add(part)
        self.statistics.directories = len(self._watched)
        self._see(part)
        return part

    def _see(self, part: _Part) -> None:
        """Mark each file system that the part looks at."""
        places = [part.path, *(_mounts_below(part.path) if part.tree else ())]
        for place in places:
            try:
                self._mark(part, place)
            except OSError as error:
                self._unseen.add(part)
                self._cannot(part.path, place, error)

    def _mark(self, part: _Part, path: str) -> _Mark:
        mount = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fsid = fanotify.fsid_of(mount)
        mark = self._marks.get(fsid)
        if mark is None:
            try:
                fanotify.mark(self._group, path, _MASK)
            except OSError:
                os.close(mount)
                raise
            mark = self._marks[fsid] = _Mark(path, mount)
        else:
            os.close(mount)
        if fsid not in part.marks:
            part.marks.append(fsid)
            mark.parts += 1
        return mark

    def _unmark(self, part: _Part) -> None:
        for fsid in part.marks:
            mark = self._marks[fsid]
            mark.parts -= 1
            if not mark.parts:
                del self._marks[fsid]
                with contextlib.suppress(OSError):
                    fanotify.mark(self._group, f"/proc/self/fd/{mark.mount}", _MASK, remove=True)
                os.close(mark.mount)
        part.marks.clear()
        if not self._marks:
            self._paths.clear()

    def unwatch(self, watched: object) -> None:
        assert isinstance(watched, _Part)
        self._leave(watched)
        self._unseen.discard(watched)
        self._unmark(watched)
        self.statistics.directories = len(self._watched)

    def extend(self) -> bool:
        return False

    def _cannot(self, path: str, place: str, error: OSError) -> None:
        self._degrade(
            path,
            f"changes on the file system of {place} cannot be seen ({error.strerror}); "
            f"watchers of {path} are",
        )

    def _retry(self) -> None:
        unseen, self._unseen = self._unseen, set()
        for part in unseen:
            self._see(part)
            if part not in self._unseen:
                self._out.append(ChangesLost(to_wire(part.path)))

    # Reading

    def read(self, echoes: Echoes) -> Sequence[Event | Operation]:
        # All of them first: what was removed is found by the event that removed it, however late.
        events: list[FanotifyEvent] = []
        for _ in range(_ROUNDS):
            more = self._take()
            if not more:
                break
            events += more
        if events:
            self._named.update(
                (
                    event.target,
                    (event.new_directory or event.directory, event.new_name or event.name),
                )
                for event in events
                if event.target and event.directory and event.mask & fanotify.ONDIR
            )
            queue = deque(events)
            while queue:
                event = queue.popleft()
                if queue and _is_exchange(event, queue[0]):
                    self._exchanged(event, queue.popleft())
                else:
                    self._translate(event, echoes)
            self._named.clear()
        return self._found()

    def _take(self) -> list[FanotifyEvent]:
        try:
            events = fanotify.parse(os.read(self._group, _BUFFER))
        except BlockingIOError:
            return []
        self.statistics.events += len(events)
        return events

    def _translate(self, event: FanotifyEvent, echoes: Echoes) -> None:
        if event.mask & fanotify.Q_OVERFLOW:
            self.statistics.overflows += 1
            log.warning("watch: the fanotify queue overflowed (fs.fanotify.max_queued_events)")
            self._paths.clear()
            self._out.append(ChangesLost())
            return
        directory = self._path(event.directory)
        if directory is None:
            return
        name = event.name
        if name in (".", ""):
            # The directory itself: for those who watch the one that it is in.
            directory, name = parent_of(directory), name_of(directory)
            if not name:
                return
        if event.mask & fanotify.RENAME:
            self._renamed(event, directory, echoes)
            return
        if self._concerns(directory):
            self._changed(event, directory, name, echoes)
        if event.mask & fanotify.DELETE and event.mask & fanotify.ONDIR:
            self._gone(join(directory, name))

    def _concerns(self, directory: str) -> bool:
        """Whether what happens in a directory is seen by anybody."""
        if directory in self._watched:
            return True
        while len(directory) > 1:
            directory = parent_of(directory)
            if any(part.tree for part in self._watched.get(directory, ())):
                return True
        return False

    def _changed(self, event: FanotifyEvent, directory: str, name: str, echoes: Echoes) -> None:
        """Each kind that an event says, in an order in which it may have happened."""
        is_directory = bool(event.mask & fanotify.ONDIR)
        key = to_wire(directory), to_wire(name)
        kinds = [kind for kind in _KINDS if event.mask & kind]
        if event.mask & fanotify.CREATE and event.mask & fanotify.DELETE:
            # It came and went: if it is there now, it went first.
            there = os.path.lexists(join(directory, name))
            kinds = [Kind.DELETE, *kinds[:-1]] if there else kinds
        for kind in kinds:
            operation = echoes.take(directory, name, int(kind))
            if operation is not None:
                self.statistics.echoes += 1
                self._out.append(operation)
            elif kind is Kind.CREATE:
                self._out.append(added(*key, is_directory=is_directory))
            elif kind is Kind.DELETE:
                self._out.append(removed(*key, is_directory=is_directory))
            elif kind is Kind.MODIFY:
                self._out.append(done(Done.DATA_CHANGED_BESIDE, *key))
            else:
                self._out.append(done(Done.INODE_CHANGED_BESIDE, *key))

    def _renamed(self, event: FanotifyEvent, directory: str, echoes: Echoes) -> None:
        target = self._path(event.new_directory)
        if target is None:
            return
        old, new = join(directory, event.name), join(target, event.new_name)
        is_directory = bool(event.mask & fanotify.ONDIR)
        left = echoes.take(directory, event.name, int(Kind.MOVED_FROM))
        arrived = echoes.take(target, event.new_name, int(Kind.MOVED_TO))
        operation = left or arrived
        if operation is not None:
            self.statistics.echoes += 1
            self._out.append(operation)
        else:
            self._out += self._told(
                renamed(
                    to_wire(directory),
                    to_wire(event.name),
                    to_wire(target),
                    to_wire(event.new_name),
                    is_directory=is_directory,
                ),
                directory,
                target,
                old,
            )
        if is_directory:
            self._moved(old, new)

    def _exchanged(self, event: FanotifyEvent, after: FanotifyEvent) -> None:
        directory, target = self._path(event.directory), self._path(event.new_directory)
        if directory is None or target is None:
            return
        one, other = join(directory, event.name), join(target, event.new_name)
        names = to_wire(event.name), to_wire(event.new_name)
        events = exchanged(to_wire(directory), names[0], to_wire(target), names[1])
        self._out += self._told(events, directory, target, one, other)
        aside = f"{other}\0"
        self._moved(other, aside)
        self._moved(one, other)
        self._moved(aside, one)
        # A path that was looked up since the exchange is the new one already. Which ones of those
        # below were, nobody knows: they are looked up again.
        inside = (one + "/", other + "/")
        for handle in [h for h, p in self._paths.items() if p.startswith(inside)]:
            del self._paths[handle]
        for moved, path in ((event.target, other), (after.target, one)):
            if moved is not None:
                self._remember(moved, path)

    def _told(
        self, events: list[Event], directory: str, target: str, *moved: str
    ) -> Iterator[Event]:
        """Of a rename what somebody may see: it may have begun, or ended, where nobody looks."""
        seen = {to_wire(each) for each in (directory, target) if self._concerns(each)}
        inside = tuple(each + "/" for each in moved)
        follows = any(path in moved or path.startswith(inside) for path in self._watched)
        for event in events:
            if isinstance(event, Change):
                if event.reports[0].directory in seen:
                    yield event
            elif follows:
                yield event

    def _moved(self, old: str, new: str) -> None:
        """What is remembered of a directory and below follows it."""
        self._gone(new)  # an empty directory may have been there
        inside = old + "/"
        for handle, path in self._paths.items():
            if path == old or path.startswith(inside):
                self._paths[handle] = new + path[len(old) :]
        for path in [p for p in self._watched if p == old or p.startswith(inside)]:
            for part in [*self._watched[path]]:
                self._follow(part, new + path[len(old) :])

    def _follow(self, part: _Part, path: str) -> None:
        """A watched directory is at another path."""
        self._leave(part)
        part.path = path
        self._watched.setdefault(path, set()).add(part)

    def _leave(self, part: _Part) -> None:
        parts = self._watched.get(part.path)
        if parts is not None:
            parts.discard(part)
            if not parts:
                del self._watched[part.path]

    def _gone(self, path: str) -> None:
        inside = path + "/"
        for handle in [h for h, p in self._paths.items() if p == path or p.startswith(inside)]:
            del self._paths[handle]
        removed = [part for part in self._watched.get(path, ()) if part.is_removed]
        if removed:
            self._out.append(DirectoryDoomed(to_wire(path)))
        for part in removed:
            # It is at no path: what happens at this one from now on is a namesake's.
            self._follow(part, f"{path}\0{id(part)}")

    # Handles

    def _path(self, handle: FileHandle | None) -> str | None:
        """Where a directory is, or was when it was last heard of."""
        unknown: list[tuple[FileHandle, str]] = []  # from below: directories that are gone
        while handle is not None:
            path = self._paths.get(handle)
            if path is None:
                path = self._look_up(handle)
                if path is not None:
                    self._remember(handle, path)
            if path is not None:
                for gone, name in reversed(unknown):
                    path = join(path, name)
                    self._remember(gone, path)
                return path
            # Removed since: the event that says so is queued, or was read just now.
            named = self._named.get(handle)
            if named is None or len(unknown) >= _DEEPEST:
                return None
            unknown.append((handle, named[1]))
            handle = named[0]
        return None

    def _remember(self, handle: FileHandle, path: str) -> None:
        if len(self._paths) >= _REMEMBERED:
            self._paths.clear()
        self._paths[handle] = path

    def _look_up(self, handle: FileHandle) -> str | None:
        mark = self._marks.get(handle[0])
        if mark is None:
            return None
        try:
            fd = fanotify.open_by_handle(mark.mount, handle)
        except OSError:
            return None
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
            # Not by the " (deleted)" that the kernel appends: a name may end so.
            return path if os.fstat(fd).st_nlink else None
        except OSError:  # ENAMETOOLONG: so deep that no path leads there, a client's neither
            return None
        finally:
            os.close(fd)


def _is_exchange(event: FanotifyEvent, after: FanotifyEvent) -> bool:
    """Whether two directories took each other's name in one system call (renameat2(2))."""
    return bool(
        event.mask & after.mask & fanotify.RENAME
        and event.mask & after.mask & fanotify.ONDIR
        and (after.directory, after.name) == (event.new_directory, event.new_name)
        and (after.new_directory, after.new_name) == (event.directory, event.name)
        and after.target != event.target  # else it went, and came back
    )


def _mounts_below(path: str) -> list[str]:
    """File systems that are mounted in a tree."""
    inside = join(path, "")
    found = []
    for place, _type in mounts(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")):
        if place.startswith(inside) and os.path.isdir(place):
            found.append(place)
    return found
