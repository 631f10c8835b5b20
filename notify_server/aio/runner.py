"""Jobs on the event loop or in threads: what blocks must never keep other connections waiting."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from resource import RUSAGE_THREAD, getrusage
from time import monotonic, perf_counter, time
from typing import Final

from notify_server.aio.workers import Workers
from notify_server.core.outcome import Job, JobResult, run
from notify_server.fs.api import Store
from notify_server.wire.status import NtStatus, StatusError

log: Final = logging.getLogger("notify_server.jobs")

_SLOW: Final = 0.005  # seconds that a light job may take before the store counts as slow
_LEAST_THREADS: Final = 2
_CAUTIOUS: Final = 1.0  # seconds for which light jobs then go to threads as well
_PATIENCE: Final = 5.0  # seconds for jobs under way when the server stops

_Done = Callable[[JobResult, float], None]


class _Share:
    """One connection's part of the threads; what is beyond it waits its turn."""

    __slots__ = ("held", "running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.held = False
        self.waiting: deque[tuple[Job, _Done]] = deque()


class Lane:
    """Runs light jobs on the spot while the store is quick, everything else in threads.

    A light job is a few metadata calls that the kernel answers from memory in microseconds; a
    thread would cost more than they do. A store that once was slow (a disk that spins up) loses
    that trust for a while. With `inline=False` it never has it. In a thread each job is followed
    by `behind`.

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
        behind: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._after = after
        self._inline = inline
        self._behind = behind
        self._cautious_until = 0.0
        threads = max(threads, _LEAST_THREADS)
        self._most = threads // 2
        self._shares: dict[object, _Share] = {}
        self._workers = Workers(threads, "notify-job")

    def submit(self, job: Job, done: _Done) -> JobResult | None:
        """Do the job now and return its result, or have `done` called when a thread did it."""
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
        self._work(job, done)
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
            self._work(*share.waiting.popleft())
        if not share.running and not share.waiting and not share.held:
            del self._shares[owner]

    def _work(self, job: Job, done: _Done) -> None:
        self._workers.submit(lambda: self._in_thread(job, done))

    def _in_thread(self, job: Job, done: _Done) -> None:
        result = _run(job)
        if self._behind is not None:
            self._behind()
        try:
            self._loop.call_soon_threadsafe(self._finished, job, done, result)
        except RuntimeError:
            log.debug("a job ended after the event loop")

    def _finished(self, job: Job, done: _Done, result: JobResult) -> None:
        share = self._shares.get(job.owner)
        if share is not None:
            share.running -= 1
            self._begin(job.owner, share)
        done(result, time())
        self._after()

    def close(self, seconds: float) -> int:
        """Wait for the jobs under way; how many are under way still after that."""
        return self._workers.close(seconds)


class ThreadRunner:
    """Each job in the lane of its store, or in the common one. `core.server.Runner`.

    Stores whose files may hang have a lane each, and never run where the loop does: a call that
    does not come back costs those who use that store, and nobody else. `always` runs every job
    on the spot.
    """

    def __init__(
        self, common: Lane, lanes: Mapping[Store, Lane] | None = None, *, always: bool = False
    ) -> None:
        self._common = common
        self._lanes = dict(lanes or {})
        self._every = (common, *self._lanes.values())
        self._always = always

    def submit(self, job: Job, done: _Done) -> JobResult | None:
        """Do the job now and return its result, or have `done` called when a thread did it."""
        if self._always:
            return _run(job)
        if self._lanes and job.store is not None:
            return self._lanes.get(job.store, self._common).submit(job, done)
        return self._common.submit(job, done)

    def hold(self, owner: object) -> None:
        """Begin no more jobs of this connection: its client does not read."""
        for lane in self._every:
            lane.hold(owner)

    def release(self, owner: object) -> None:
        """The client reads again."""
        for lane in self._every:
            lane.release(owner)

    def forget(self, owner: object) -> None:
        """The connection is gone: what it waits for is not begun any more."""
        for lane in self._every:
            lane.forget(owner)

    def close(self) -> int:
        """Wait for the jobs under way, but not for ever; those that were not begun are dropped.

        How many hang: what they use must not be taken from them.
        """
        deadline = monotonic() + _PATIENCE
        hang = sum(lane.close(max(0.0, deadline - monotonic())) for lane in self._every)
        if hang:
            log.warning("a file system hangs: %d jobs are left behind", hang)
        return hang


def _run(job: Job) -> JobResult:
    """A store that breaks its promise costs its request an error, not the server its life."""
    try:
        return run(job)
    except Exception:
        log.exception("job failed")
        return JobResult(error=StatusError(NtStatus.STATUS_UNEXPECTED_IO_ERROR))
