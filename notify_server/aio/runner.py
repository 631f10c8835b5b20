"""Jobs on the event loop or in threads: what blocks must never keep other connections waiting."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from resource import RUSAGE_THREAD, getrusage
from time import perf_counter, time
from typing import Final

from notify_server.core.outcome import Job, JobResult, run
from notify_server.wire.status import NtStatus, StatusError

log: Final = logging.getLogger("notify_server.jobs")

_SLOW: Final = 0.005  # seconds that a light job may take before the store counts as slow
_LEAST_THREADS: Final = 2
_CAUTIOUS: Final = 1.0  # seconds for which light jobs then go to threads as well


class _Share:
    """One connection's part of the threads; what is beyond it waits its turn."""

    __slots__ = ("held", "running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.held = False
        self.waiting: deque[tuple[Job, Callable[[JobResult, float], None]]] = deque()


class ThreadRunner:
    """Runs light jobs on the spot while the store is quick, everything else in threads.

    A light job is a few metadata calls that the kernel answers from memory in microseconds; a
    thread would cost more than they do. A store that once was slow (a disk that spins up, a
    network below) loses that trust for a while. With `inline=False` it never has it;
    `always` runs every job on the spot.

    A connection has half of the threads at most, so that its jobs, should they block, leave room
    for those of others. While its client does not read (`hold`), it has none: answers that
    nobody takes would pile up.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        after: Callable[[], None],
        *,
        threads: int = 8,
        inline: bool = True,
        always: bool = False,
    ) -> None:
        self._loop = loop
        self._after = after
        self._inline = inline
        self._always = always
        self._cautious_until = 0.0
        threads = max(threads, _LEAST_THREADS)
        self._most = threads // 2
        self._shares: dict[object, _Share] = {}
        self._pool = ThreadPoolExecutor(threads, "notify-job")

    def submit(self, job: Job, done: Callable[[JobResult, float], None]) -> JobResult | None:
        """Do the job now and return its result, or have `done` called when a thread did it."""
        if self._always:
            return _run(job)
        if job.light and self._inline:
            started = perf_counter()
            if started >= self._cautious_until:
                waits = getrusage(RUSAGE_THREAD).ru_nvcsw
                result = _run(job)
                ended = perf_counter()
                # Time alone does not convict the store: on a busy machine we were just preempted.
                if ended - started > _SLOW and getrusage(RUSAGE_THREAD).ru_nvcsw != waits:
                    log.info("slow store: a light job took %.1f ms", 1000 * (ended - started))
                    self._cautious_until = ended + _CAUTIOUS
                return result
        if job.owner is not None:
            share = self._shares.setdefault(job.owner, _Share())
            if share.held or share.running >= self._most:
                share.waiting.append((job, done))
                return None
            share.running += 1
        self._pool.submit(self._in_thread, job, done)
        return None

    def hold(self, owner: object) -> None:
        """Begin no more jobs of this connection: its client does not read."""
        self._shares.setdefault(owner, _Share()).held = True

    def release(self, owner: object) -> None:
        """The client reads again."""
        share = self._shares.get(owner)
        if share is not None:
            share.held = False
            self._begin(owner, share)

    def forget(self, owner: object) -> None:
        """The connection is gone: what it waits for is not begun any more."""
        share = self._shares.get(owner)
        if share is None:
            return
        share.held = False
        waiting, share.waiting = share.waiting, deque()
        self._begin(owner, share)
        for _job, done in waiting:
            done(JobResult(error=StatusError(NtStatus.STATUS_CANCELLED)), time())

    def _begin(self, owner: object, share: _Share) -> None:
        while share.waiting and not share.held and share.running < self._most:
            share.running += 1
            self._pool.submit(self._in_thread, *share.waiting.popleft())
        if not share.running and not share.waiting and not share.held:
            del self._shares[owner]

    def _in_thread(self, job: Job, done: Callable[[JobResult, float], None]) -> None:
        result = _run(job)
        try:
            self._loop.call_soon_threadsafe(self._finished, job, done, result)
        except RuntimeError:
            log.debug("a job ended after the event loop")

    def _finished(
        self, job: Job, done: Callable[[JobResult, float], None], result: JobResult
    ) -> None:
        share = self._shares.get(job.owner)
        if share is not None:
            share.running -= 1
            self._begin(job.owner, share)
        done(result, time())
        self._after()

    def close(self) -> None:
        """Wait for the jobs under way; those that were not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _run(job: Job) -> JobResult:
    """A store that breaks its promise costs its request an error, not the server its life."""
    try:
        return run(job)
    except Exception:
        log.exception("job failed")
        return JobResult(error=StatusError(NtStatus.STATUS_UNEXPECTED_IO_ERROR))
