"""Threads for work that may block, and may never come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

_END: Final = None


class Workers:
    """Up to `threads` of them, begun as they are needed.

    They are daemons: the end of the process does not wait for a call that hangs in the kernel, as
    it would for those of `concurrent.futures`.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._most = threads
        self._name = name
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, work: Callable[[], None]) -> None:
        """Have `work`, which must not raise, done by whoever is free; from one thread only."""
        self._queue.put(work)
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while True:
            work = self._queue.get()
            if work is _END:
                return
            if not self._closed:
                work()
            self._idle.release()

    def close(self, seconds: float) -> int:
        """End; what was not begun is dropped. How many are still busy after `seconds`."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(_END)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return sum(thread.is_alive() for thread in self._threads)
