"""Byte-range locks ([MS-FSA] 2.1.4.10, 2.1.5.7, 2.1.5.8): who holds what, and who waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from notify_server.core.model import Open, ParkedRequest
from notify_server.fs.api import StreamKey


@dataclass(slots=True, frozen=True)
class Range:
    """A byte range of an Open; length 0 touches nothing but an exact twin."""

    offset: int
    length: int
    exclusive: bool

    def overlaps(self, offset: int, length: int) -> bool:
        """Do the ranges share a byte? A range of no bytes lies between bytes."""
        if self.length == 0 or length == 0:
            return self.offset < offset < self.offset + self.length or (
                offset < self.offset < offset + length
            )
        return self.offset < offset + length and offset < self.offset + self.length


@dataclass(slots=True)
class _Waiting:
    parked: ParkedRequest
    opened: Open
    wanted: Range


@dataclass(slots=True)
class _FileLocks:
    held: list[tuple[Open, Range]] = field(default_factory=list)
    waiting: list[_Waiting] = field(default_factory=list)


class LockTable:
    """Locks of all files. Waiting requests are served in the order in which they came."""

    def __init__(self, maximum: int = 4096) -> None:
        self._maximum = maximum
        self._files: dict[StreamKey, _FileLocks] = {}

    def room_for(self, opened: Open, count: int) -> bool:
        """May this many more locks be held on the file?"""
        locks = self._files.get(opened.lock_key) if self._files else None
        return count + (len(locks.held) if locks is not None else 0) <= self._maximum

    def conflicts(self, opened: Open, offset: int, length: int, *, exclusive: bool) -> bool:
        """Would reading (or, exclusive, writing) touch what somebody else has locked?"""
        if not self._files or length == 0:
            return False
        barring = self.barring(opened, exclusive=exclusive)
        return any(held.overlaps(offset, length) for held in barring)

    def barring(self, opened: Open, *, exclusive: bool) -> list[Range]:
        """The locks that keep an Open from reading (or, exclusive, from writing).

        An exclusive lock keeps other Opens out; a shared one keeps everybody from writing.
        """
        locks = self._files.get(opened.lock_key) if self._files else None
        if locks is None:
            return []
        return [
            held
            for owner, held in locks.held
            if (owner is not opened if held.exclusive else exclusive)
        ]

    def lock(self, opened: Open, wanted: Range) -> bool:
        """Take a lock; False if it conflicts with one that is held."""
        locks = self._files.get(opened.lock_key)
        if locks is None:
            locks = self._files[opened.lock_key] = _FileLocks()
        if not _free(locks, opened, wanted):
            return False
        locks.held.append((opened, wanted))
        return True

    def unlock(self, opened: Open, offset: int, length: int) -> bool:
        """Give one lock back; False if there is none with exactly this range."""
        locks = self._files.get(opened.lock_key)
        if locks is not None:
            for index, (owner, held) in enumerate(locks.held):
                if owner is opened and (held.offset, held.length) == (offset, length):
                    del locks.held[index]
                    return True
        return False

    def give_back(self, opened: Open, taken: list[Range]) -> None:
        """Undo `lock` of these very ranges; an older lock of an equal range stays."""
        locks = self._files[opened.lock_key]
        locks.held = [
            (owner, held)
            for owner, held in locks.held
            if owner is not opened or not any(held is mine for mine in taken)
        ]

    def wait(self, parked: ParkedRequest, opened: Open, wanted: Range) -> None:
        """Queue a request for a lock that `lock` just refused."""
        self._files[opened.lock_key].waiting.append(_Waiting(parked, opened, wanted))

    def cancel(self, parked: ParkedRequest) -> bool:
        """Take a waiting request out of its queue; False if it waits no more."""
        for locks in self._files.values():
            for index, waiting in enumerate(locks.waiting):
                if waiting.parked is parked:
                    del locks.waiting[index]
                    return True
        return False

    def abandon(self, opened: Open) -> list[ParkedRequest]:
        """Requests of an Open that is being closed, taken out of their queue."""
        locks = self._files.get(opened.lock_key) if self._files else None
        if locks is None:
            return []
        gone = [waiting.parked for waiting in locks.waiting if waiting.opened is opened]
        locks.waiting = [waiting for waiting in locks.waiting if waiting.opened is not opened]
        return gone

    def release(self, opened: Open) -> list[ParkedRequest]:
        """Drop all locks of an Open; the requests that this lets through."""
        locks = self._files.get(opened.lock_key) if self._files else None
        if locks is None:
            return []
        locks.held = [(owner, held) for owner, held in locks.held if owner is not opened]
        return self.retry(opened)

    def retry(self, opened: Open) -> list[ParkedRequest]:
        """Grant what waits on the file of `opened` and is free now."""
        key = opened.lock_key
        locks = self._files.get(key)
        if locks is None:
            return []
        granted, still = [], []
        for waiting in locks.waiting:
            if _free(locks, waiting.opened, waiting.wanted):
                locks.held.append((waiting.opened, waiting.wanted))
                granted.append(waiting.parked)
            else:
                still.append(waiting)
        locks.waiting = still
        if not locks.held and not locks.waiting:
            del self._files[key]
        return granted


def _free(locks: _FileLocks, opened: Open, wanted: Range) -> bool:
    """Shared locks overlap each other; an exclusive one also not the same Open's."""
    overlapping: Iterable[tuple[Open, Range]] = (
        entry for entry in locks.held if entry[1].overlaps(wanted.offset, wanted.length)
    )
    if wanted.exclusive:
        return not any(overlapping)
    return not any(held.exclusive and owner is not opened for owner, held in overlapping)
