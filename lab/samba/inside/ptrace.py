"""Breakpoints in running processes by ptrace(2): x86-64 Linux, the standard library alone.

A breakpoint is the instruction int3 (0xcc) at a function's first byte. Forked children have the
breakpoints of their parent in their memory already, so a listener that forks for each connection
is prepared once, and a new connection costs nothing. The first instruction of a function is
`push %rbp` nearly always: it is acted out instead of stepped over.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Mapping
from dataclasses import dataclass

INT3 = b"\xcc"
_PUSH_RBP, _ENDBR64 = b"\x55", b"\xf3\x0f\x1e\xfa"

_CONT, _SINGLESTEP, _GETREGS, _SETREGS, _DETACH = 7, 9, 12, 13, 17
_SEIZE, _INTERRUPT, _LISTEN = 0x4206, 0x4207, 0x4208
_FORK, _VFORK, _CLONE, _EXEC, _EXITKILL = 0x2, 0x4, 0x8, 0x10, 0x100000
EVENT_EXEC, EVENT_STOP = 4, 128
WAIT_ALL = 0x40000000  # __WALL: threads too


_NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
    *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base"),
    *("ds", "es", "fs", "gs"),
)


class Registers(ctypes.Structure):
    """`struct user_regs_struct` of x86-64."""

    _fields_ = tuple((name, ctypes.c_ulonglong) for name in _NAMES)

    # For readers (and mypy): those that are used.
    rip: int
    rsp: int
    rbp: int
    rdi: int
    rsi: int
    rdx: int
    r8: int


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request: int, tid: int, address: int = 0, data: object = 0) -> None:
    ctypes.set_errno(0)
    if _libc.ptrace(request, tid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def supported() -> bool:
    """Whether this machine's processor is one that is known here."""
    return platform.machine() == "x86_64"


@dataclass
class Stop:
    """Why a thread stopped; `signal` is to be passed on."""

    tid: int
    event: int = 0
    signal: int = 0
    ended: bool = False


class Memory:
    """The memory of a process whose threads are traced."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._file = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)

    def read(self, address: int, size: int) -> bytes:
        return os.pread(self._file, size, address)

    def write(self, address: int, data: bytes) -> None:
        os.pwrite(self._file, data, address)

    def close(self) -> None:
        os.close(self._file)


def seize(tid: int) -> None:
    """Begin to trace a thread; it goes on running. It dies with the tracer (see `detach`)."""
    _ptrace(_SEIZE, tid, 0, _FORK | _VFORK | _CLONE | _EXEC | _EXITKILL)


def interrupt(tid: int) -> None:
    """Have a running thread stop soon, with EVENT_STOP."""
    _ptrace(_INTERRUPT, tid)


def wait(tid: int = -1) -> Stop | None:
    """The next thread that stopped or ended; None if there is none."""
    try:
        stopped, status = os.waitpid(tid, WAIT_ALL)
    except (ChildProcessError, InterruptedError):
        return None
    if not os.WIFSTOPPED(status):
        return Stop(stopped, ended=True)
    number = os.WSTOPSIG(status)
    event = status >> 16
    if event:
        return Stop(stopped, event=event, signal=0 if number == signal.SIGTRAP else number)
    return Stop(stopped, signal=number)


def registers(tid: int) -> Registers:
    """The registers of a stopped thread."""
    found = Registers()
    _ptrace(_GETREGS, tid, 0, ctypes.addressof(found))
    return found


def set_registers(tid: int, values: Registers) -> None:
    _ptrace(_SETREGS, tid, 0, ctypes.addressof(values))


def resume(tid: int, number: int = 0) -> None:
    """Let a stopped thread go on, with a signal if not 0."""
    _ptrace(_CONT, tid, 0, number)


def listen(tid: int) -> None:
    """Leave a thread in its group stop (SIGSTOP), and hear of its end."""
    _ptrace(_LISTEN, tid)


def detach(tid: int, number: int = 0) -> None:
    """Stop tracing a stopped thread; it goes on."""
    _ptrace(_DETACH, tid, 0, number)


def step(tid: int) -> Stop:
    """Have a stopped thread execute one instruction, or take a signal that waits."""
    _ptrace(_SINGLESTEP, tid)
    return wait(tid) or Stop(tid, ended=True)


def pass_over(
    tid: int,
    at: Registers,
    memory: Memory,
    original: Mapping[int, bytes],
    *,
    put_back: bool = True,
) -> None:
    """Have the thread execute the instruction that a breakpoint stands in for, and no more.

    `at` are its registers with rip on the breakpoint; `original` has the first bytes there.
    """
    address, first = at.rip, original[at.rip]
    if first.startswith(_PUSH_RBP):
        at.rsp -= 8
        memory.write(at.rsp, at.rbp.to_bytes(8, "little"))
        at.rip = address + 1
        set_registers(tid, at)
        return
    if first.startswith(_ENDBR64):
        at.rip = address + 4
        set_registers(tid, at)
        return
    set_registers(tid, at)
    memory.write(address, first[:1])
    step(tid)
    if put_back:
        memory.write(address, INT3)
