"""A timer that a selector can wait for (timerfd_create(2)); Python has one only from 3.13."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_SPEC = struct.Struct("=qqqq")  # interval and first expiry, each seconds and nanoseconds


class Timer:
    """Readable once the time set has passed."""

    def __init__(self) -> None:
        # Non-blocking, close on exec: the values are those of O_NONBLOCK and O_CLOEXEC.
        self._fd = int(_libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def fileno(self) -> int:
        return self._fd

    def set(self, seconds: float) -> None:
        """Expire once, this much later; replaces what was set."""
        whole = int(seconds)
        spec = _SPEC.pack(0, 0, whole, max(1, int((seconds - whole) * 1e9)))
        if _libc.timerfd_settime(self._fd, 0, spec, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def expired(self) -> bool:
        """Whether it expired since this was last asked."""
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self._fd, 8))
        return False

    def close(self) -> None:
        os.close(self._fd)
