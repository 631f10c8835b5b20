"""Oplocks (3.3.4.6, 3.3.5.22.1; [MS-FSA] 2.1.4.12): who may cache a file, until whom else wants it.

An open that is alone on its file may have an exclusive or batch oplock. Another open breaks it to
level II, or to none if it overwrites, and waits until the owner has acknowledged, closed, or let
the time pass. Level II is shared; whoever writes or overwrites breaks it, without waiting.

The break must come before the file is touched, but which file it is only the store finds out. So
the store asks, between the two, whether it may go on (`gate`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from notify_server.core.model import Open
from notify_server.core.outcome import JobResult
from notify_server.fs.api import StreamKey
from notify_server.wire.constants import AccessMask, CreateDisposition, OplockLevel

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


class OplockHeldError(Exception):
    """A file may not be opened before an oplock on it is broken."""

    def __init__(self, key: StreamKey) -> None:
        super().__init__(key)
        self.key = key


def _breaks(access: int, disposition: int) -> bool:
    """Does an open with this access and disposition break whatever somebody holds alone?"""
    return bool(access & ~_HARMLESS) or disposition in _OVERWRITING


class OplockTable:
    """The open files, and the breaks that are under way."""

    def __init__(self, notify: Callable[[Open, int], None]) -> None:
        self._notify = notify
        self._opens: dict[StreamKey, list[Open]] = {}
        self._alone: dict[StreamKey, Open] = {}
        """Those with an exclusive or batch oplock; threads look into it, so one step changes it."""
        self._breaks: deque[tuple[float, Open]] = deque()

    def gate(self, access: int, disposition: int) -> Callable[[StreamKey], None] | None:
        """What lets an open through, or raises OplockHeldError; None lets everything through."""
        if not _breaks(access, disposition):
            return None
        alone = self._alone

        def check(key: StreamKey) -> None:
            if key in alone:
                raise OplockHeldError(key)

        return check

    def held(self, key: StreamKey, access: int, disposition: int) -> Open | None:
        """Whose oplock an open with this access and disposition breaks."""
        return self._alone.get(key) if _breaks(access, disposition) else None

    def wait(
        self,
        held: Open,
        disposition: int,
        queue: list[Callable[[JobResult, float], None]],
        now: float,
    ) -> None:
        """Break this oplock; what is put in `queue` is called when that is settled."""

        def settled(now: float) -> None:
            # Emptied first: what is not in it any more cannot be stopped.
            waiting, queue[:] = list(queue), []
            for done in waiting:
                done(JobResult(), now)

        if held.oplock_waiters is not None:
            held.oplock_waiters.append(settled)
            return
        level = _NONE if disposition in _OVERWRITING else _LEVEL_II
        held.oplock_waiters = [settled]
        held.oplock_breaking_to = level
        self._breaks.append((now + ACKNOWLEDGMENT_SECONDS, held))
        self._notify(held, level)

    def add(self, opened: Open, requested: int) -> int:
        """A file was opened: the level that it gets. No break for it may be due any more."""
        key = opened.handle.key
        others = self._opens.setdefault(key, [])
        level = _NONE
        if requested in _GRANTABLE:
            level = requested if not others else _LEVEL_II
            if key in self._alone:
                level = _NONE
        others.append(opened)
        opened.oplock_key = key
        opened.oplock_level = level
        if level in _ALONE:
            self._alone[key] = opened
        return level

    def remove(self, opened: Open) -> None:
        """It is being closed; `closed` follows."""
        if opened.oplock_key is not None:
            self._forget(opened, opened.oplock_key)
            opened.oplock_key = None

    def closed(self, opened: Open, now: float) -> None:
        """The store has closed it, which also answers a break: nothing of it is in the way now."""
        self._settle(opened, _NONE, now)

    def _forget(self, opened: Open, key: StreamKey) -> None:
        others = self._opens[key]
        others.remove(opened)
        if not others:
            del self._opens[key]
        if self._alone.get(key) is opened:
            del self._alone[key]

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

    def renamed(self, opened: Open) -> None:
        """If it was a stream that was renamed, it is found by its present name from now on."""
        old, new = opened.oplock_key, opened.handle.key
        if old is None or old == new:
            return
        self._forget(opened, old)
        opened.oplock_key = new
        self._opens.setdefault(new, []).append(opened)
        if opened.oplock_level in _ALONE:
            self._alone[new] = opened

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
        if opened.oplock_key is not None and self._alone.get(opened.oplock_key) is opened:
            del self._alone[opened.oplock_key]  # it was more than any level that is left
        waiters, opened.oplock_waiters = opened.oplock_waiters, None
        for settled in waiters or ():
            settled(now)
