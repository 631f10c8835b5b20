"""The queue of inotify(7): watches in, events out."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
import time
from typing import Final

from inotify_simple import INotify, flags

_EVENT: Final = struct.Struct("=iIII")
_BUFFER: Final = 65536
_LARGEST: Final = _EVENT.size + 256
_ON_DISK: Final = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
_HALF: Final = 50e-6  # seconds to wait for the other half of a rename
_ROUNDS: Final = 8  # of waiting, while others go on renaming
_FROM, _TO = int(flags.MOVED_FROM), int(flags.MOVED_TO)

_HOW: Final = int(flags.ONLYDIR | flags.EXCL_UNLINK)
GUARD: Final = int(flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO) | _HOW
"""Renames and removals in a directory."""
FULL: Final = int(flags.CREATE | flags.MODIFY | flags.ATTRIB) | GUARD
"""All that can be told of what is in a directory."""
DONT_FOLLOW: Final = int(flags.DONT_FOLLOW)
ISDIR: Final = int(flags.ISDIR)
UNMOUNT: Final = int(flags.UNMOUNT)
ENDED: Final = int(flags.IGNORED) | UNMOUNT
OVERFLOW: Final = int(flags.Q_OVERFLOW)

RawEvent = tuple[int, int, int, str]  # wd, mask, cookie, name


class Inotify:
    """One instance; never waits but for the other half of a rename."""

    def __init__(self) -> None:
        self._inotify = INotify(nonblocking=True)
        self._fd: int = self._inotify.fileno()
        self._size = bytearray(4)
        self.more = False
        """The queue may hold more than was taken."""

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        self._inotify.close()

    def add_watch(self, path: str, mask: int) -> int:
        """A watch, or another mask for the one that the directory has (inotify_add_watch(2))."""
        wd: int = self._inotify.add_watch(path, mask)
        return wd

    def rm_watch(self, wd: int) -> None:
        self._inotify.rm_watch(wd)

    def queued(self) -> bool:
        """Whether there is anything to read, which costs an eighth of a read that fails."""
        fcntl.ioctl(self._fd, termios.FIONREAD, self._size)
        return any(self._size)

    def take(self) -> list[RawEvent]:
        """The oldest events, as many as one read gives, both halves of a rename together, and
        both renames of an exchange."""
        events = self._take_queued()
        for _ in range(_ROUNDS):
            last = events[-1][1] if events else 0
            if last & _FROM:
                # Its other half is queued by the same system call, if anybody watches there.
                time.sleep(_HALF)
            elif not (last & _TO and last & ISDIR):
                break
            more = self._take_queued()
            if not more:
                break
            events += more
        return events

    def _take_queued(self) -> list[RawEvent]:
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            self.more = False
            return []
        # The kernel fills the buffer as far as whole events go.
        self.more = len(data) > _BUFFER - _LARGEST
        events: list[RawEvent] = []
        offset = 0
        while offset < len(data):
            wd, mask, cookie, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            name = data[offset : offset + length].partition(b"\0")[0]
            events.append((wd, mask, cookie, name.decode(*_ON_DISK)))
            offset += length
        return events
