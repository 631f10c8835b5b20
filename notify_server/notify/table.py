"""The watch table: who is told of a change, when, and with what.

This is the file to read to know what CHANGE_NOTIFY does here. A *watch* belongs to one Open of a
directory. The first CHANGE_NOTIFY on the Open makes it; it lives until the Open does. From then
on every change that the watch wants makes a *record*. A record goes to the oldest *parked*
request, which completes at once; while none is parked, records are buffered for the next one.
Nothing is ever held back to see whether more follows: the first record of a burst completes the
request, the rest buffers.

A watch moves between three states; at any time it is in exactly one:

    parked      requests wait in a queue, the buffer is empty
    buffering   no request waits, the buffer holds zero or more records
    overflowed  no request waits, records were dropped; the next request learns that

    state       what happens               then
    ----------  -------------------------  ------------------------------------------------------
    (none)      first request              filter, tree flag, buffer size are fixed; parked
    parked      change                     oldest request completes; buffering if it was the last
    parked      change does not fit        oldest request completes with ENUM_DIR
    parked      CANCEL                     that request completes with CANCELLED
    buffering   change                     record is added, or, if it does not fit: overflowed
    buffering   request, records there     request completes with all of them, or ENUM_DIR
    buffering   request, no records        parked
    overflowed  change                     nothing: the client will enumerate
    overflowed  request                    request completes with ENUM_DIR; buffering, afresh
    any         directory to be deleted    requests complete with DELETE_PENDING, new ones also
    any         close, and what implies it requests complete with CLEANUP, the watch is gone

The rules, and who says so:

 1. CompletionFilter and SMB2_WATCH_TREE of the first request hold for the life of the Open; those
    of later requests are ignored. [MS-SMB2] 3.3.1.3; [MS-FSA] 2.1.5.11; smbtorture mask-change.
 2. So does its OutputBufferLength: it sizes the buffer of the handle, and a record that does not
    fit in that is an overflow, however much room a later request offers. smbtorture valid-req;
    [MS-CIFS] 3.3.5.59.4. No text of [MS-SMB2] or [MS-FSA] says so.
 3. Requests complete first in, first out. [MS-SMB2] 3.3.1.3; smbtorture double.
 4. If all records fit the request's OutputBufferLength it gets all; otherwise it gets
    STATUS_NOTIFY_ENUM_DIR, no bytes, and the records are gone. [MS-FSA] 2.1.5.11.1.
 5. It follows that OutputBufferLength 0 means "say only that something changed".
 6. Records that are buffered when a request arrives complete it before a CANCEL that follows can
    find it. smbtorture tree counts on it.
 7. The directory itself is not in its own watch: only what is in it, or, with SMB2_WATCH_TREE,
    below it. smbtorture basedir; [MS-FSA] 2.1.4.1 has it otherwise.
 8. Names are relative to the watched directory, with `\\` between components. [MS-FSCC] 2.7.1.
 9. Both names of a rename inside one directory arrive in one reply. [MS-FSCC] 2.7.1.
10. A rename of a file also touches its attributes and creation time. A watch that is told the
    names is not told that; one that filters on those bits alone gets MODIFIED for the new name.
    smbtorture rec wants the first half, mask-change the second.
11. A MODIFIED that repeats the newest buffered record adds nothing. smbtorture valid-req counts
    on it: a file that is made, written and given times is ADDED, MODIFIED.
12. A directory marked for deletion completes its own watches with STATUS_DELETE_PENDING.
    [MS-FSA] 2.1.5.15.3; smbtorture rmdir1 to rmdir4.
13. Closing the Open, also by tree disconnect, logoff or the loss of the session, completes with
    STATUS_NOTIFY_CLEANUP, records or none. [MS-SMB2] 3.3.5.10; [MS-FSA] 2.1.5.5.
14. What the server cannot know (a source's queue that ran over, a directory that cannot be
    watched) or may not keep (the bounds below) is an overflow of the watches concerned, never
    silence.
15. With SMB2_WATCH_TREE, a user who may not list a directory below the watched one is not told the
    names in it: he must list the parent, and search all that is above it. So Samba has it with
    `honor change notify privilege` (user_can_stat_name_under_fsp).

Cost: watches are indexed by the directory that they watch. A change looks up its directory and
that directory's ancestors, so it costs its depth and the watches that it concerns, whatever else
is watched. Only the rename of a directory looks at all watched directories.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

from notify_server.notify.change import (
    Change,
    ChangesLost,
    DirectoryDoomed,
    DirectoryMoved,
    Event,
    Report,
)
from notify_server.notify.records import HEAD_SIZE, encode_name, encode_records, padded
from notify_server.wire.fscc import NotifyAction
from notify_server.wire.status import NtStatus

OVERHEAD = 104
"""Bytes of memory that a record takes beside what it takes on the wire: a tuple, the head of its
name's bytes, its place in a list. A name of one letter costs seven times its sixteen bytes."""
_REPEATABLE = frozenset(
    (NotifyAction.FILE_ACTION_MODIFIED, NotifyAction.FILE_ACTION_MODIFIED_STREAM)
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the table keeps on behalf of clients."""

    requests_per_open: int = 1024
    """Parked requests of one Open; beyond it STATUS_INSUFFICIENT_RESOURCES."""
    requests: int = 262_144
    """Parked requests altogether; beyond it STATUS_INSUFFICIENT_RESOURCES."""
    bytes_per_open: int = 1 << 20
    """Buffered bytes of one Open, if its client asked for more."""
    bytes: int = 256 << 20
    """Memory of buffered records altogether; a watch whose next record goes beyond it overflows."""

    def __post_init__(self) -> None:
        for item in fields(self):
            if getattr(self, item.name) <= 0:
                raise ValueError(f"{item.name}: must be greater than 0")


class Completion(NamedTuple):
    """The end of a request: status, and the Buffer of the response (2.2.36)."""

    request: Hashable
    status: NtStatus
    buffer: bytes = b""


class _Watch:
    """State of one Open's watch. Slots, and nothing made before it is needed: there are many."""

    __slots__ = (
        "capacity",
        "completion_filter",
        "directory",
        "doomed",
        "open_id",
        "overflowed",
        "parked",
        "records",
        "sees",
        "size",
        "tree",
    )

    def __init__(
        self,
        open_id: Hashable,
        directory: str,
        completion_filter: int,
        tree: bool,
        capacity: int,
        sees: Callable[[str], bool] | None,
    ) -> None:
        self.open_id = open_id
        self.directory = directory
        self.completion_filter = completion_filter
        self.tree = tree
        self.capacity = capacity
        self.sees = sees
        self.parked: list[tuple[Hashable, int]] = []  # (request, its OutputBufferLength), FIFO
        self.records: list[tuple[int, bytes]] | None = None  # (action, UTF-16LE name)
        self.size = 0  # bytes that `records` take, the last one padded
        self.overflowed = False
        self.doomed = False


class _Watchers:
    """The watches of one directory."""

    __slots__ = ("flat", "tree")

    def __init__(self) -> None:
        self.flat: dict[Hashable, _Watch] = {}
        self.tree: dict[Hashable, _Watch] = {}


def _name_in(directory: str, report: Report) -> str:
    """Rule 8."""
    if report.directory == directory:
        return report.name
    below = len(directory) + (directory != "/")
    return f"{report.directory[below:].replace('/', chr(92))}\\{report.name}"


def _shown(watch: _Watch, report: Report) -> bool:
    """Rule 15."""
    return watch.sees is None or report.directory == watch.directory or watch.sees(report.directory)


class WatchTable:
    """All watches of a server. No clock, no I/O; each call returns what completes by it."""

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self.bounds = bounds
        self._watches: dict[Hashable, _Watch] = {}
        self._directories: dict[str, _Watchers] = {}
        self._requests: dict[Hashable, _Watch] = {}
        self._buffered = 0

    # What clients do

    def arm(
        self,
        open_id: Hashable,
        request: Hashable,
        *,
        directory: str,
        completion_filter: int,
        watch_tree: bool,
        output_buffer_length: int,
        sees: Callable[[str], bool] | None = None,
    ) -> Completion | None:
        """A CHANGE_NOTIFY on an Open (rules 1 to 6): its completion, or None if it is parked.

        `request` identifies it in `cancel` and in its Completion. `sees` tells of a directory below
        the watched one whether the client may know the names in it (rule 15); None: of all.
        """
        watch = self._watches.get(open_id)
        if watch is None:
            if len(self._requests) >= self.bounds.requests:
                return Completion(request, NtStatus.STATUS_INSUFFICIENT_RESOURCES)
            capacity = min(output_buffer_length, self.bounds.bytes_per_open)
            watch = _Watch(open_id, directory, completion_filter, watch_tree, capacity, sees)
            self._add(watch)
        elif watch.doomed:
            return Completion(request, NtStatus.STATUS_DELETE_PENDING)
        elif watch.records or watch.overflowed:
            return self._complete(watch, request, output_buffer_length)
        elif (
            len(watch.parked) >= self.bounds.requests_per_open
            or len(self._requests) >= self.bounds.requests
        ):
            return Completion(request, NtStatus.STATUS_INSUFFICIENT_RESOURCES)
        watch.parked.append((request, output_buffer_length))
        self._requests[request] = watch
        return None

    def cancel(self, request: Hashable) -> Completion | None:
        """A CANCEL ([MS-SMB2] 3.3.5.16); one that finds no parked request does nothing."""
        watch = self._requests.pop(request, None)
        if watch is None:
            return None
        watch.parked = [entry for entry in watch.parked if entry[0] != request]
        return Completion(request, NtStatus.STATUS_CANCELLED)

    def close(self, open_id: Hashable) -> list[Completion]:
        """The Open is gone (rule 13)."""
        watch = self._watches.get(open_id)
        if watch is None:
            return []
        completions = self._complete_all(watch, NtStatus.STATUS_NOTIFY_CLEANUP)
        self._forget_records(watch)
        self._remove(watch)
        return completions

    # What happens on disk

    def publish(self, event: Event) -> list[Completion]:
        """Something happened; the requests that complete by it, each watch's in its order."""
        if isinstance(event, Change):
            return self._change(event)
        if isinstance(event, ChangesLost):
            return self._lost(event)
        if isinstance(event, DirectoryDoomed):
            return self._doomed(event)
        self._moved(event)
        return []

    def _change(self, change: Change) -> list[Completion]:
        if len(change.reports) == 1:
            return self._reported(change.reports[0])
        touched: dict[_Watch, None] = {}
        names: dict[str, bytes] = {}  # a name is encoded once, however many watches want it
        for report in change.reports:
            for watch in self._concerned(report):
                if watch.overflowed or watch.doomed or not _shown(watch, report):
                    continue
                self._record(watch, report, names)
                touched[watch] = None
        completions: list[Completion] = []
        encoded: dict[tuple[tuple[int, bytes], ...], bytes] = {}
        for watch in touched:
            if watch.parked:
                request, room = watch.parked.pop(0)
                del self._requests[request]
                completions.append(self._complete(watch, request, room, encoded))
        return completions

    def _reported(self, report: Report) -> list[Completion]:
        """A change of one report, as nearly all are.

        While a request is parked nothing is buffered, so the record need not be either; it is
        encoded once for all who see it under the same name.
        """
        names: dict[str, bytes] = {}
        buffers: dict[str, bytes] = {}
        completions: list[Completion] = []
        for watch in self._concerned(report):
            if watch.overflowed or watch.doomed or (watch.sees and not _shown(watch, report)):
                continue
            if not watch.parked:
                self._record(watch, report, names)
                continue
            request, room = watch.parked.pop(0)
            del self._requests[request]
            buffer = buffers.get(watch.directory)
            if buffer is None:
                name = encode_name(_name_in(watch.directory, report))
                buffer = buffers[watch.directory] = encode_records(((report.action, name),))
            if len(buffer) > watch.capacity or len(buffer) > room:  # rules 2 and 4
                completions.append(Completion(request, NtStatus.STATUS_NOTIFY_ENUM_DIR))
            else:
                completions.append(Completion(request, NtStatus.STATUS_SUCCESS, buffer))
        return completions

    def _concerned(self, report: Report) -> Iterable[_Watch]:
        """Watches on the report's directory, and with WATCH_TREE on those above it (rule 7)."""
        directory, _, _, wanted, unless = report
        found = self._directories.get(directory)
        if found is not None:
            for watch in found.flat.values():
                if watch.completion_filter & wanted and not watch.completion_filter & unless:
                    yield watch
        while True:
            if found is not None:
                for watch in found.tree.values():
                    if watch.completion_filter & wanted and not watch.completion_filter & unless:
                        yield watch
            if len(directory) <= 1:
                return
            directory = directory[: directory.rfind("/")] or "/"
            found = self._directories.get(directory)

    def _record(self, watch: _Watch, report: Report, names: dict[str, bytes]) -> None:
        """Add a record, or overflow (rules 2, 8, 11, 14)."""
        name = _name_in(watch.directory, report)
        encoded = names.get(name)
        if encoded is None:
            encoded = names[name] = encode_name(name)
        record = (int(report.action), encoded)
        if watch.records is None:
            watch.records = []
        elif watch.records and watch.records[-1] == record and report.action in _REPEATABLE:
            return
        size = HEAD_SIZE + len(encoded)
        held = padded(size) + OVERHEAD
        if watch.size + size > watch.capacity or self._buffered + held > self.bounds.bytes:
            self._overflow(watch)
            return
        watch.records.append(record)
        watch.size += padded(size)
        self._buffered += held

    def _lost(self, lost: ChangesLost) -> list[Completion]:
        if lost.directory is None:
            watches: Iterable[_Watch] = list(self._watches.values())
        else:
            everything = ~0
            above = Report(lost.directory, "", NotifyAction.FILE_ACTION_MODIFIED, everything)
            below = lost.directory.rstrip("/") + "/"
            watches = [w for w in self._watches.values() if w.directory.startswith(below)]
            watches += self._concerned(above)
        completions: list[Completion] = []
        for watch in watches:
            if watch.doomed:
                continue
            self._overflow(watch)
            if watch.parked:
                request, room = watch.parked.pop(0)
                del self._requests[request]
                completions.append(self._complete(watch, request, room))
        return completions

    def _doomed(self, doomed: DirectoryDoomed) -> list[Completion]:
        """Rule 12."""
        found = self._directories.get(doomed.directory)
        completions: list[Completion] = []
        if found is not None:
            for watch in [*found.flat.values(), *found.tree.values()]:
                watch.doomed = not doomed.undone
                if watch.doomed:
                    self._forget_records(watch)
                    completions += self._complete_all(watch, NtStatus.STATUS_DELETE_PENDING)
        return completions

    def _moved(self, moved: DirectoryMoved) -> None:
        """A watch follows its handle: it is found under the directory's new key."""
        below = moved.old + "/"
        for key in [k for k in self._directories if k == moved.old or k.startswith(below)]:
            found = self._directories.pop(key)
            for watch in [*found.flat.values(), *found.tree.values()]:
                watch.directory = moved.new + key[len(moved.old) :]
                self._index(watch)

    # Completing, and the bookkeeping

    def _complete(
        self,
        watch: _Watch,
        request: Hashable,
        room: int,
        encoded: dict[tuple[tuple[int, bytes], ...], bytes] | None = None,
    ) -> Completion:
        """Give a request all that is buffered, or ENUM_DIR (rules 4 and 5)."""
        records = watch.records
        if watch.overflowed or not records:
            watch.overflowed = False
            return Completion(request, NtStatus.STATUS_NOTIFY_ENUM_DIR)
        last = HEAD_SIZE + len(records[-1][1])
        needed = watch.size - padded(last) + last
        self._forget_records(watch)
        if needed > room:
            return Completion(request, NtStatus.STATUS_NOTIFY_ENUM_DIR)
        if encoded is None:
            return Completion(request, NtStatus.STATUS_SUCCESS, encode_records(records))
        key = tuple(records)
        buffer = encoded.get(key)
        if buffer is None:
            buffer = encoded[key] = encode_records(records)
        return Completion(request, NtStatus.STATUS_SUCCESS, buffer)

    def _complete_all(self, watch: _Watch, status: NtStatus) -> list[Completion]:
        requests = [request for request, _ in watch.parked]
        watch.parked.clear()
        for request in requests:
            del self._requests[request]
        return [Completion(request, status) for request in requests]

    def _overflow(self, watch: _Watch) -> None:
        self._forget_records(watch)
        watch.overflowed = True

    def _forget_records(self, watch: _Watch) -> None:
        self._buffered -= watch.size + OVERHEAD * len(watch.records or ())
        watch.records = None
        watch.size = 0

    def _add(self, watch: _Watch) -> None:
        self._watches[watch.open_id] = watch
        self._index(watch)

    def _index(self, watch: _Watch) -> None:
        found = self._directories.get(watch.directory)
        if found is None:
            found = self._directories[watch.directory] = _Watchers()
        (found.tree if watch.tree else found.flat)[watch.open_id] = watch

    def _remove(self, watch: _Watch) -> None:
        del self._watches[watch.open_id]
        found = self._directories[watch.directory]
        del (found.tree if watch.tree else found.flat)[watch.open_id]
        if not found.flat and not found.tree:
            del self._directories[watch.directory]

    # What others may look at

    def __len__(self) -> int:
        """Watches."""
        return len(self._watches)

    @property
    def parked(self) -> int:
        """Parked requests."""
        return len(self._requests)

    @property
    def buffered(self) -> int:
        """Memory of buffered records, in bytes."""
        return self._buffered
