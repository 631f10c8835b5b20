"""Trace smbd in another container's processes: one line for each call of a function in the table.

    trace_smbd.py TABLE.json     (or --exported: what the libraries of Debian's smbd export)

Says `LAB {"kind": "ready", …}` when the breakpoints stand, then lines of

    THREAD TIME FUNCTION DEPTH [HEADER | mid=MESSAGE_ID status=NTSTATUS]

until SIGTERM, when it takes the breakpoints out and lets every process go. FUNCTION is the number
that `ready` gave it; DEPTH how many functions of the table it was called within. HEADER is the SMB2
header of the request in hex where the function was given one. A process is introduced by
`LAB {"kind": "process", "pid": …, "port": …}`, with its client's TCP port.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.samba.inside import exported, ptrace
from lab.samba.inside.peer import client_port
from lab.samba.inside.symbols import merged
from lab.samba.inside.talk import line, tell

PREFIX = "/src/samba/"
FIRST_BYTES = 4
HEADER_SIZE = 64
IOVEC = struct.Struct("<QQ")
# smbd's vectors of a PDU: transform, header, body, dynamic (source3/smbd/globals.h)
HEADER_VECTOR = 1
STACK_LIMIT = 8 << 20
NOTHING_THERE = (
    "the smbd that listens has no function of the table in its memory: "
    "another one runs than was installed"
)

# Work of the event loop begins with one of these; their return is waited for (see Stack).
ROOTS = (
    "smbd_smb2_request_dispatch",
    "smbd_smb2_request_pending_timer",
    "messaging_dispatch_classic",
    "notify_callback",  # for Debian's smbd: all that it exports of a message's way
)
# Functions whose argument tells which request it is about: name → (register, kind of structure)
REQUESTS = {
    "smbd_smb2_request_dispatch": ("rdi", "smb2"),
    # Its third argument, a struct timeval, takes two registers.
    "smbd_smb2_request_pending_timer": ("r8", "smb2"),
    "change_notify_reply": ("rdi", "smb1"),
}


class Stack:
    """The functions of the table that a thread is in, by where their return addresses lie.

    Entries are seen, returns are not: they would double the stops. A function has returned when
    one is entered that was not called below it. Three things tell: the place on the stack; the
    frame pointer at the entry, which is the caller's (where smbd was compiled to have one); and
    the return address, which that of another call overwrites. The event loop may leave it alone
    for long, so the return of its callees is a breakpoint of its own, and `leave` is called.
    """

    def __init__(self, *, frame_pointers: bool) -> None:
        self._frame_pointers = frame_pointers
        self._inside: list[tuple[int, bytes]] = []

    def enter(self, stack: int, frame: int, read: Callable[[int, int], bytes]) -> int:
        """A function is entered, its return address at `stack`; how deep that is.

        `frame` is the frame pointer at that moment.
        """
        inside = self._inside
        # Beyond a library without frame pointers it may be anything.
        caller = frame if self._frame_pointers and 0 <= frame - stack < STACK_LIMIT else 0
        while inside and (
            inside[-1][0] <= max(stack, caller) or read(inside[-1][0], 8) != inside[-1][1]
        ):
            inside.pop()
        inside.append((stack, read(stack, 8)))
        return len(inside) - 1

    def leave(self, stack: int) -> None:
        """Execution goes on with this stack pointer: what lies below it has returned."""
        while self._inside and self._inside[-1][0] < stack:
            self._inside.pop()

    @property
    def back(self) -> int:
        """Where the innermost function returns to."""
        return int.from_bytes(self._inside[-1][1], "little")


class Tracer:
    """Breakpoints in the smbd that listens and in what it forks."""

    def __init__(
        self, table: dict[str, Any], out: Callable[[str], object], *, frame_pointers: bool
    ) -> None:
        self.frame_pointers = frame_pointers
        libraries, self.offsets = merged(table)
        self.libraries = libraries
        self.out = out
        self.names: list[str] = []
        self.places: list[str] = []
        self.numbers: dict[int, int] = {}  # address in memory → number of the function
        self.original: dict[int, bytes] = {}
        self.memories: dict[int, ptrace.Memory] = {}
        self.threads: dict[int, int] = {}  # tid → pid
        self.introduced: set[int] = set()
        self.stacks: dict[int, Stack] = {}
        self.returns: dict[int, bytes] = {}  # address that a root returns to → the byte there
        self.stopping = False

    # ---------------------------------------------------------------- beginning

    def attach(self, pid: int) -> None:
        """Trace a process with all its threads and put the breakpoints into its memory."""
        for task in Path(f"/proc/{pid}/task").iterdir():
            tid = int(task.name)
            ptrace.seize(tid)
            self.threads[tid] = pid
            ptrace.interrupt(tid)
            stop = ptrace.wait(tid)
            while stop is not None and not stop.ended and stop.event != ptrace.EVENT_STOP:
                ptrace.resume(tid, stop.signal)
                stop = ptrace.wait(tid)
        memory = self.memories[pid] = ptrace.Memory(pid)
        for address in self.numbers:
            self.original[address] = memory.read(address, FIRST_BYTES)
        for address in self.numbers:
            memory.write(address, ptrace.INT3)
        for tid, owner in self.threads.items():
            if owner == pid:
                ptrace.resume(tid)

    def find(self, mapped: Mapping[str, int]) -> bool:
        """Where the functions lie in memory: the same in all that one smbd forks; False: nowhere.

        `mapped` is what one of them has in memory (see `mappings`).
        """
        for path, base in mapped.items():
            for address, name, where in self.libraries.get(path.removeprefix(PREFIX), []):
                self.numbers[base + address] = len(self.names)
                self.names.append(name)
                self.places.append(where)
        return bool(self.numbers)

    # ---------------------------------------------------------------- going on

    def loop(self) -> None:
        """Handle stops until told to end and all threads are let go."""
        while self.threads:
            stop = ptrace.wait()
            if stop is None:
                if self.stopping:
                    self._interrupt_all()
                continue
            with contextlib.suppress(ProcessLookupError):
                self._handle(stop)

    def _handle(self, stop: ptrace.Stop) -> None:
        tid = stop.tid
        if stop.ended:
            self._forget(tid)
            return
        if tid not in self.threads:
            self._adopt(tid)
        if stop.event == ptrace.EVENT_EXEC:
            # Another program has taken the place of smbd: no breakpoints any more.
            ptrace.detach(tid)
            self._forget(tid)
        elif not stop.event and stop.signal == signal.SIGTRAP:
            self._trapped(tid)
        elif self.stopping and stop.event == ptrace.EVENT_STOP:
            self._let_go(tid)
        elif stop.event == ptrace.EVENT_STOP and stop.signal:
            ptrace.listen(tid)
        else:
            ptrace.resume(tid, 0 if stop.event else stop.signal)

    def _adopt(self, tid: int) -> None:
        """A thread or process that a traced one has made: the kernel traces it for us."""
        with open(f"/proc/{tid}/status") as status:
            pid = next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
        self.threads[tid] = pid
        if pid not in self.memories:
            self.memories[pid] = ptrace.Memory(pid)

    def _trapped(self, tid: int) -> None:
        at = ptrace.registers(tid)
        at.rip -= 1
        memory = self.memories[self.threads[tid]]
        number = self.numbers.get(at.rip)
        if number is not None:
            self._entered(tid, number, at, memory)
            ptrace.pass_over(tid, at, memory, self.original, put_back=not self.stopping)
            ptrace.resume(tid)
        elif at.rip in self.returns:
            memory.write(at.rip, self.returns[at.rip])
            ptrace.set_registers(tid, at)
            self._stack(tid).leave(at.rsp)
            ptrace.resume(tid)
        else:  # a trap of smbd's own
            ptrace.resume(tid, signal.SIGTRAP)

    def _entered(self, tid: int, number: int, at: ptrace.Registers, memory: ptrace.Memory) -> None:
        now = time.time()
        pid, name = self.threads[tid], self.names[number]
        if pid not in self.introduced:
            self.introduced.add(pid)
            self.out(line("process", pid=pid, port=client_port(pid)))
        stack = self._stack(tid)
        depth = stack.enter(at.rsp, at.rbp, memory.read)
        if name in ROOTS and not self.stopping:
            first = memory.read(stack.back, 1)
            if first != ptrace.INT3:
                self.returns[stack.back] = first
                memory.write(stack.back, ptrace.INT3)
        self.out(f"{tid} {now:.6f} {number} {depth}{self._about(name, at, memory)}\n")

    def _stack(self, tid: int) -> Stack:
        return self.stacks.setdefault(tid, Stack(frame_pointers=self.frame_pointers))

    def _about(self, name: str, at: ptrace.Registers, memory: ptrace.Memory) -> str:
        """Which request a function is about, read from what it was given."""
        if name not in REQUESTS:
            return ""
        register, kind = REQUESTS[name]
        given = getattr(at, register)
        try:
            if kind == "smb1":
                status = f" status={at.rsi & 0xFFFFFFFF:08x}"
                if "smb_request.mid" not in self.offsets:
                    return status
                mid = self._number(memory, given + self.offsets["smb_request.mid"], 8)
                return f" mid={mid}{status}"
            vector = self._number(memory, given + self.offsets["smbd_smb2_request.in.vector"], 8)
            index = self._number(memory, given + self.offsets["smbd_smb2_request.current_idx"], 4)
            place = vector + (index + HEADER_VECTOR) * IOVEC.size
            base, size = IOVEC.unpack(memory.read(place, IOVEC.size))
            header = memory.read(base, HEADER_SIZE) if size >= HEADER_SIZE else b""
            return f" {header.hex()}" if header[:4] == b"\xfeSMB" else ""
        except (OSError, struct.error, KeyError):
            return ""

    @staticmethod
    def _number(memory: ptrace.Memory, address: int, size: int) -> int:
        return int.from_bytes(memory.read(address, size), "little")

    # ---------------------------------------------------------------- ending

    def end(self) -> None:
        """From a signal's handler: begin to let go."""
        self.stopping = True
        self._interrupt_all()

    def _interrupt_all(self) -> None:
        for tid in list(self.threads):
            with contextlib.suppress(OSError):
                ptrace.interrupt(tid)

    def _let_go(self, tid: int) -> None:
        memory = self.memories[self.threads[tid]]
        for address, first in (*self.original.items(), *self.returns.items()):
            memory.write(address, first[:1])
        # It may have met a breakpoint a moment ago, and the signal that tells so be on its way:
        # such a thread does not step, and has to go back to the instruction.
        at = ptrace.registers(tid)
        number = 0
        if at.rip - 1 in self.numbers or at.rip - 1 in self.returns:
            stop = ptrace.step(tid)
            if stop.ended:
                self._forget(tid)
                return
            if ptrace.registers(tid).rip == at.rip:
                at.rip -= 1
                ptrace.set_registers(tid, at)
            number = 0 if stop.signal == signal.SIGTRAP else stop.signal
        ptrace.detach(tid, number)
        self._forget(tid)

    def _forget(self, tid: int) -> None:
        self.stacks.pop(tid, None)
        pid = self.threads.pop(tid, 0)
        if pid and pid not in self.threads.values():
            memory = self.memories.pop(pid, None)
            if memory is not None:
                memory.close()


def mappings(pid: int) -> dict[str, int]:
    """The files that a process has in memory: path → address of the first byte."""
    bases: dict[str, int] = {}
    for row in Path(f"/proc/{pid}/maps").read_text().splitlines():
        path = row[73:].strip()
        if path.startswith("/"):
            bases.setdefault(path, int(row.split("-", 1)[0], 16))
    return bases


def processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent, name) of every smbd."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            exe = os.readlink(folder / "exe")
            fields = (folder / "stat").read_text()
        except OSError:
            continue
        if os.path.basename(exe.removesuffix(" (deleted)")) == "smbd":
            parent = int(fields.rpartition(")")[2].split()[1])
            yield int(folder.name), parent, fields[fields.index("(") + 1 : fields.rindex(")")]


def traced_processes() -> list[int]:
    """The smbd that listens, first, and those of connections; not notifyd and cleanupd."""
    found = {pid: (parent, name) for pid, parent, name in processes()}
    first = [pid for pid, (parent, _) in found.items() if parent not in found]
    return first + [pid for pid, (_, name) in found.items() if name.startswith("smbd[")]


def main(argv: list[str]) -> int:
    """Trace until told to end."""
    if not ptrace.supported():
        tell("failed", text="smbd's functions are traced on x86-64 processors only")
        return 1
    lines: list[str] = []

    def flush(*_: object) -> None:
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
        lines.clear()

    signal.signal(signal.SIGALRM, flush)
    found = traced_processes()
    if not found:
        tell("failed", text="no smbd runs in the samba node")
        return 1
    try:
        only_exported = argv[0] == "--exported"
        if only_exported:
            table = exported.table(list(mappings(found[0])))
        else:
            table = json.loads(Path(argv[0]).read_text())
        tracer = Tracer(table, lines.append, frame_pointers=not only_exported)
        # Before any is seized: with the tracer, what it traces dies.
        if not tracer.find(mappings(found[0])):
            tell("failed", text=NOTHING_THERE)
            return 1
        signal.signal(signal.SIGTERM, lambda *_: tracer.end())
        tracer.attach(found[0])
        for pid in found[1:]:
            with contextlib.suppress(PermissionError, ProcessLookupError):
                tracer.attach(pid)  # unless it is just ending
    except OSError as error:
        tell("failed", text=f"smbd cannot be traced: {error.strerror}")
        return 1
    tell("ready", functions=list(zip(tracer.names, tracer.places, strict=True)))
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    tracer.loop()
    signal.setitimer(signal.ITIMER_REAL, 0)
    flush()
    tell("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
