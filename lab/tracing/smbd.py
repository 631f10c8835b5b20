"""Which of its functions smbd runs for each request.

All of an smbd that `lab samba build` built, the exported ones of Debian's.

A container of its own sees the samba node's processes (a shared PID namespace) and may trace them
(SYS_PTRACE, which the samba node never gets), only while somebody traces. Of the ways there are:
uprobes need tracefs and its capabilities on the host; uftrace an smbd that was started under it;
gdb follows one process well, but smbd makes one for each connection, and hundreds of breakpoints
have to be put into each. Our own breakpoints are put once into the smbd that listens, and every
process that it forks has them (`lab.samba.inside.ptrace`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lab.errors import LabFailed
from lab.samba import install
from lab.samba.build import TREE_INSIDE
from lab.tracing.model import Trace
from lab.tracing.smbd_calls import Traced, trees

if TYPE_CHECKING:
    from lab.engine.jobs import Job
    from lab.session import Lab

TRACER = ("python3", "-m", "lab.samba.inside.trace_smbd")
READY_DEADLINE_S = 20.0
LONGEST_S = 24 * 3600.0
HOW = (
    "breakpoints (ptrace) on every function of source3/smbd and on the two by which a notify "
    "passes through others, but for accessors and changes of the acting user; talloc, tevent, tdb "
    "and the VFS modules are not shown"
)
HOW_DEBIAN = (
    "breakpoints (ptrace) on what Debian's smbd exports: no static functions (so no timer of the "
    "interim response), no lines; `lab samba build` makes an smbd that shows all"
)


class SmbdTracer:
    """Traces the samba node's smbd between `start` and `stop`."""

    def __init__(self, lab: Lab, node: str = "samba") -> None:
        self._lab = lab
        self._node = node
        self._job: Job | None = None
        self._how = HOW
        self._traced = Traced()
        self._ready = threading.Event()
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Return when the breakpoints stand; raise LabFailed where smbd cannot be traced."""
        from lab.engine.build import tag
        from lab.engine.jobs import Mount, start_job
        from lab.samba.builder import PACKAGE_INSIDE, package_mount

        table = install.symbols(self._lab)
        built = table.exists()
        self._how = HOW if built else HOW_DEBIAN
        container = self._lab.engine.inspect(self._node)["Id"]
        self._traced, self._ready = Traced(), threading.Event()
        self._job = start_job(
            tag(self._lab.settings.name, "samba"),
            [*TRACER, "/table.json" if built else "--exported"],
            lab_name=self._lab.settings.name,
            mounts=[
                package_mount(),
                Mount(install.folder(self._lab), TREE_INSIDE, read_only=True),
                *([Mount(table, "/table.json", read_only=True)] if built else []),
            ],
            environment={"PYTHONPATH": PACKAGE_INSIDE, "PYTHONUNBUFFERED": "1"},
            capabilities=["SYS_PTRACE"],
            pid_of=container,
            timeout=LONGEST_S,
        )
        self._reader = threading.Thread(target=self._read, args=(self._job,), daemon=True)
        self._reader.start()
        self._ready.wait(READY_DEADLINE_S)
        if not self._traced.functions:
            failure = self._traced.failure or "the tracer did not begin in time"
            self._end()
            raise LabFailed(failure, "lab logs samba")

    def stop(self) -> Trace:
        """Take the breakpoints out; what was traced. A second call returns an empty trace."""
        self._end()
        traced, self._traced = self._traced, Traced()
        return Trace(self._node, self._how, tuple(trees(traced)))

    def _read(self, job: Job) -> None:
        try:
            for line in job.lines():
                self._traced.hear(line)
                if self._traced.functions or self._traced.failure:
                    self._ready.set()
        finally:
            self._ready.set()

    def _end(self) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        try:
            job.end()
            if self._reader is not None:
                self._reader.join(READY_DEADLINE_S)
        finally:
            job.remove()
