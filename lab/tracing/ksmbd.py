"""Tracing ksmbd: ftrace's function_graph in the guest, over SSH.

In a tracing instance of its own, so that it does not disturb what somebody else traces there, and
ends without a trace when it is removed. Only the module's functions are hooked, and the filter is
set before the tracer: all of a kernel's functions would stop an emulated guest for minutes.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import LabFailed
from lab.nodes.model import Completed, Node, NodeError
from lab.tracing import function_graph
from lab.tracing.model import Trace

DEADLINE_S = 60.0
BUFFER_KIB = 8192
CLOCK_MARKS = 3
REACH_TRIES = 5

# The request at hand: struct ksmbd_work begins with conn, sess, tcon, request_buf, response_buf.
# What is read is believed only where the four bytes after the length are SMB2's.
_HEADER = "magic=+4({at}):x32 mid=+28({at}):u64 cmd=+16({at}):u16 status=+12({at}):x32"
_PROBES = (
    "p:lab/req init_smb2_rsp_hdr " + _HEADER.format(at="+24($arg1)"),
    "p:lab/rsp ksmbd_conn_write " + _HEADER.format(at="+32($arg1)"),
    # conn->transport is followed by name, which takes the module's BTF; a module that was built
    # outside of its kernel's tree has none, so then by its place in Linux 6.12: a port that is no
    # connection's of the scenario is not believed. struct tcp_transport has its socket after two
    # pointers, struct sock the peer's port at 12.
    "p:lab/port init_smb2_rsp_hdr port=+12(+24(+16(work->conn->transport))):u16",
    "p:lab/port init_smb2_rsp_hdr port=+12(+24(+16(+104(+0($arg1))))):u16",
    # What is logged shows inside the function that logs it.
    "p:lab/log _printk fmt=+0($arg1):string",
)

_COMMON = """
root=/sys/kernel/tracing
[ -e $root/trace ] || mount -t tracefs trace $root 2>/dev/null
lab=$root/instances/notify-lab
off() {
    [ -d $lab ] || return 0
    echo 0 >$lab/tracing_on
    echo nop >$lab/current_tracer
    echo 0 >$lab/events/lab/enable
    rmdir $lab
    for name in req rsp port log; do echo "-:lab/$name" >>$root/kprobe_events; done
} 2>/dev/null
"""
_ON = """
off
[ -e $root/trace ] || { echo "no tracefs in this kernel" >&2; exit 1; }
grep -q '^ksmbd ' /proc/modules || { echo "ksmbd is not loaded as a module" >&2; exit 1; }
mkdir $lab || exit 1
cd $lab
grep -qw function_graph available_tracers \
    || { off; echo "no function_graph tracer for instances (Linux 6.11 has it)" >&2; exit 1; }
echo 0 >tracing_on
echo BUFFER >buffer_size_kb
echo local >trace_clock
echo :mod:ksmbd >set_ftrace_filter || { off; exit 1; }
while read -r probe; do
    name=${probe#p:lab/}
    [ ! -d "events/lab/${name%% *}" ] || continue  # the way before this one works
    (echo "$probe" >>$root/kprobe_events) 2>/dev/null && echo "$probe"
done
[ ! -d events/lab ] || echo 1 >events/lab/enable
echo function_graph >current_tracer || { off; exit 1; }
for option in funcgraph-abstime funcgraph-proc funcgraph-tail; do echo 1 >options/$option; done
echo 0 >options/funcgraph-irqs
echo 1 >tracing_on
""".replace("BUFFER", str(BUFFER_KIB))
_MARK = "echo lab-clock >/sys/kernel/tracing/instances/notify-lab/trace_marker"
_OFF = """
[ -d $lab ] || exit 0
echo 0 >$lab/tracing_on
cat $lab/trace
cat $lab/per_cpu/cpu*/stats | sed -n 's/^overrun: /# lost: /p'
off
[ ! -d $lab ]
"""
_LOST = re.compile(r"^# lost: (\d+)$", re.M)
_MARKED = re.compile(r"^\s*(\d+\.\d+) \|.*/\* lab-clock \*/", re.M)


@dataclass(frozen=True)
class Mark:
    """A line written into the trace between two moments of this machine's clock."""

    before: float
    after: float


class KsmbdTracer:
    """function_graph over the module's functions, on the guest `node`."""

    def __init__(self, server: str, node: Node) -> None:
        self._server = server
        self._node = node
        self._on = False
        self._probes: set[str] = set()
        self._marks: list[Mark] = []

    def start(self) -> None:
        self._on = True  # whatever comes, `stop` looks
        self._reach()
        done = self._run(_ON, "\n".join(_PROBES) + "\n")
        if done.returncode != 0:
            said = done.error_text.strip() or f"exit code {done.returncode}"
            raise LabFailed(
                f"{self._server}: its functions cannot be traced: {said}",
                "the guest's kernel needs CONFIG_FUNCTION_GRAPH_TRACER, and ksmbd as a module",
            )
        self._probes = set(re.findall(r"^p:lab/(\w+) ", done.text, re.M))
        self._mark()

    def stop(self) -> Trace:
        if not self._on:
            return Trace(self._server)
        with contextlib.suppress(NodeError):  # a guest that is gone has nothing to switch off
            self._mark()
        done = self._run(_OFF)
        self._on = False
        if done.returncode != 0:
            raise NodeError(f"{self._server}: tracing cannot be switched off: {done.error_text}")
        clock = clock_of(done.text, self._marks)
        lost = sum(int(number) for number in _LOST.findall(done.text))
        trees = tuple(function_graph.parse(done.text, clock.epoch))
        return Trace(self._server, how(self._probes), trees, clock.error, lost)

    def _mark(self) -> None:
        for _ in range(CLOCK_MARKS):
            before = time.time()
            self._node.run(["sh", "-c", _MARK], deadline=DEADLINE_S)
            self._marks.append(Mark(before, time.time()))

    def _reach(self) -> None:
        """An emulated guest on a busy machine may be too late for the first greeting."""
        for _ in range(REACH_TRIES - 1):
            with contextlib.suppress(NodeError):
                self._node.run(["true"])
                return
        self._node.run(["true"])

    def _run(self, script: str, input: str = "") -> Completed:
        argv = ["sh", "-c", _COMMON + script]
        return self._node.run(argv, input=input.encode(), deadline=DEADLINE_S)


def how(probes: set[str]) -> str:
    """What traced, and what it cannot see."""
    words = "ftrace's function_graph over the functions of the module"
    if {"req", "rsp"} <= probes:
        port = ", the client's port" if "port" in probes else ""
        words += f"; MessageIds{port} by kprobes at init_smb2_rsp_hdr and ksmbd_conn_write"
    else:
        words += "; this kernel has no place for the kprobes that read MessageIds: by time"
    return words + ". Inlined functions do not show."


@dataclass(frozen=True)
class Clock:
    """What makes the trace's time seconds of the epoch; `error` is how far that may be off.

    `rate`: an emulated guest that was short of processor time while it measured its time stamp
    counter counts several seconds for one, evenly.
    """

    offset: float
    rate: float
    error: float

    def epoch(self, time: float) -> float:
        return self.offset + self.rate * time


def clock_of(text: str, marks: Sequence[Mark]) -> Clock:
    """The clock from marks made before and after: of both halves that which was quickest."""
    written = [float(time) for time in _MARKED.findall(text)]
    if len(written) != len(marks) or not marks:
        return Clock(0.0, 1.0, float("inf"))
    spans = [
        ((mark.before + mark.after) / 2, at, mark) for mark, at in zip(marks, written, strict=True)
    ]
    half = max(1, len(spans) // 2)
    (here, first, one), (there, last, other) = (
        min(part, key=lambda span: span[2].after - span[2].before)
        for part in (spans[:half], spans[-half:])
    )
    rate = (there - here) / (last - first) if last - first > 1 else 1.0
    error = max(one.after - one.before, other.after - other.before) / 2
    return Clock(here - rate * first, rate, error)
