"""Oplocks (3.3.4.6, 3.3.5.22.1; [MS-FSA] 2.1.4.12): who may cache a file, until whom else wants it.

An open that is alone on its file may have an exclusive or batch oplock. Another open breaks it to
level II, or to none if it overwrites, and waits until the owner has acknowledged, closed, or let
the time pass. Level II is shared; whoever writes or overwrites breaks it, without waiting.

Opens are found by store and path, not by file: the break must come before the file is touched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from notify_server.core.model import Open
from notify_server.core.outcome import JobResult
from notify_server.wire.constants import AccessMask, CreateDisposition, OplockLevel

OplockKey = tuple[int, str]

ACKNOWLEDGMENT_SECONDS: Final = 35.0  # 3.3.2.1, as Windows has it

_NONE: Final = int(OplockLevel.SMB2_OPLOCK_LEVEL_NONE)
_LEVEL_II: Final = int(OplockLevel.SMB2_OPLOCK_LEVEL_II)
_ALONE: Final = frozenset(
    {OplockLevel.SMB2_OPLOCK_LEVEL_EXCLUSIVE, OplockLevel.SMB2_OPLOCK_LEVEL_BATCH}
)
_GRANTABLE: Final = _ALONE | {OplockLevel.SMB2_OPLOCK_LEVEL_II}
_HARMLESS: Final = int(
    AccessMask.FILE_READ_ATTRIBUTES | AccessMask.FILE_WRITE_ATTRIBUTES | AccessMask.SYNCHRONIZE
)
_OVERWRITING: Final = frozenset(
    {
        CreateDisposition.FILE_SUPERSEDE,
        CreateDisposition.FILE_OVERWRITE,
        CreateDisposition.FILE_OVERWRITE_IF,
    }
)


def oplock_key(store: object, path: str) -> OplockKey:
    """What an open of `path`, spelled in whatever case, shares its oplock with."""
    return id(store), path.lower().removesuffix("::$data")


class OplockTable:
    """The open files, and the breaks that are under way."""

    def __init__(self, notify: Callable[[Open, int], None]) -> None:
        self._notify = notify
        self._opens: dict[OplockKey, list[Open]] = {}
        self._breaks: deque[tuple[float, Open]] = deque()

    def breaks_for(
        self, key: OplockKey, access: int, disposition: int, newcomer: Open | None = None
    ) -> list[tuple[Open, int]]:
        """Oplocks that an open with this access and disposition breaks, and to which level."""
        overwrites = disposition in _OVERWRITING
        if not access & ~_HARMLESS and not overwrites:
            return []
        level = _NONE if overwrites else _LEVEL_II
        return [
            (held, level)
            for held in self._opens.get(key, ())
            if held is not newcomer and held.oplock_level in _ALONE
        ]

    def wait(
        self,
        breaks: list[tuple[Open, int]],
        queue: list[Callable[[JobResult, float], None]],
        now: float,
    ) -> None:
        """Break those oplocks; what is put in `queue` is called when the last one is settled."""
        left = len(breaks)

        def settled(now: float) -> None:
            nonlocal left
            left -= 1
            if not left:
                # Emptied first: what is not in it any more cannot be stopped.
                waiting, queue[:] = list(queue), []
                for done in waiting:
                    done(JobResult(), now)

        for held, level in breaks:
            if held.oplock_waiters is None:
                held.oplock_waiters = [settled]
                held.oplock_breaking_to = level
                self._breaks.append((now + ACKNOWLEDGMENT_SECONDS, held))
                self._notify(held, level)
            else:
                held.oplock_waiters.append(settled)

    def add(self, opened: Open, key: OplockKey, requested: int) -> int:
        """A file was opened: the level that it gets. No break for it may be due any more."""
        others = self._opens.setdefault(key, [])
        level = _NONE
        if requested in _GRANTABLE:
            level = requested if not others else _LEVEL_II
            if any(other.oplock_level in _ALONE for other in others):
                level = _NONE
        others.append(opened)
        opened.oplock_key = key
        opened.oplock_level = level
        return level

    def remove(self, opened: Open, now: float) -> None:
        """It was closed, which also answers a break."""
        if opened.oplock_key is None:
            return
        others = self._opens[opened.oplock_key]
        others.remove(opened)
        if not others:
            del self._opens[opened.oplock_key]
        opened.oplock_key = None
        self._settle(opened, _NONE, now)

    def acknowledge(self, opened: Open, level: int, now: float) -> bool:
        """The owner's answer; False if nothing, or less, was asked of it."""
        if opened.oplock_waiters is None:
            return False
        right = level in (_NONE, opened.oplock_breaking_to)
        self._settle(opened, level if right else _NONE, now)
        return right

    def written(self, opened: Open) -> None:
        """Somebody wrote, or will: others' level II is gone, and needs no answer."""
        if opened.oplock_key is None:
            return
        for other in self._opens[opened.oplock_key]:
            if other is not opened and other.oplock_level == _LEVEL_II:
                other.oplock_level = _NONE
                self._notify(other, _NONE)

    def renamed(self, store: object) -> None:
        """Something of this store has another path: find its opens under their present ones."""
        moved = [
            opened
            for key, opens in self._opens.items()
            if key[0] == id(store)
            for opened in opens
            if oplock_key(store, opened.handle.path) != key
        ]
        for opened in moved:
            assert opened.oplock_key is not None
            opens = self._opens[opened.oplock_key]
            opens.remove(opened)
            if not opens:
                del self._opens[opened.oplock_key]
            opened.oplock_key = oplock_key(store, opened.handle.path)
            self._opens.setdefault(opened.oplock_key, []).append(opened)

    # Time

    @property
    def breaking(self) -> bool:
        """Whether any break may be under way."""
        return bool(self._breaks)

    def next_deadline(self) -> float | None:
        """When `expire` should be called, if ever."""
        while self._breaks and self._breaks[0][1].oplock_waiters is None:
            self._breaks.popleft()
        return self._breaks[0][0] if self._breaks else None

    def expire(self, now: float) -> None:
        """Owners that did not answer in time lose their oplocks (3.3.6.1)."""
        for opened in list(self._overdue(now)):
            self._settle(opened, _NONE, now)

    def _overdue(self, now: float) -> Iterator[Open]:
        while self._breaks and self._breaks[0][0] <= now:
            opened = self._breaks.popleft()[1]
            if opened.oplock_waiters is not None:  # else it was answered in time
                yield opened

    def _settle(self, opened: Open, level: int, now: float) -> None:
        opened.oplock_level = level
        waiters, opened.oplock_waiters = opened.oplock_waiters, None
        for settled in waiters or ():
            settled(now)
