"""System calls that Python's library does not have. Linux only; errors are mostly OSErrors."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)


def _syscall(*arguments: type) -> Any:
    """syscall(2) for arguments of these types: converting what has none takes twice as long."""
    function = _libc["syscall"]  # an object of its own each time
    function.restype = ctypes.c_long
    function.argtypes = (ctypes.c_long, *arguments)
    return function


_openat2 = _syscall(ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
_statx = _syscall(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)

# openat2 has one number on all architectures (it is younger than the unified table).
_SYS_OPENAT2 = 437
_SYS_STATX = {"x86_64": 332, "aarch64": 291, "riscv64": 291, "ppc64le": 383, "s390x": 379}.get(
    platform.machine(), -1
)

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08

RENAME_NOREPLACE = 1

AT_EMPTY_PATH = 0x1000
AT_SYMLINK_FOLLOW = 0x400

_STATX_BTIME = 0x800
_StatxBuffer = ctypes.c_char * 256
_BIRTH = struct.Struct("=I76xqI")  # stx_mask, and stx_btime at 80
_OPEN_HOW = struct.Struct("=QQQ")
_OPEN_HOW_SIZE = _OPEN_HOW.size
_CLOEXEC = os.O_CLOEXEC
_BENEATH = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS


def _check(result: int, what: str = "") -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def is_removed(fd: int) -> bool:
    """Whether no name leads to an open directory any more."""
    status = os.fstat(fd)
    if status.st_nlink == 0:
        return True
    # overlayfs goes on to count one link of a directory that was in two layers.
    path = os.readlink(f"/proc/self/fd/{fd}")
    if not path.endswith(" (deleted)"):
        return False
    try:
        return not os.path.samestat(os.lstat(path), status)
    except OSError:
        return True


def openat2(directory: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open below `directory`; no `..`, absolute or magic link leads out of it (openat2(2)).

    A failure is a negative errno: names that are not there are asked for all the time, and an
    exception costs more than the system call.
    """
    how = _OPEN_HOW.pack(flags | _CLOEXEC, mode, _BENEATH)
    while True:
        result: int = _openat2(_SYS_OPENAT2, directory, path, how, _OPEN_HOW_SIZE)
        if result >= 0:
            return result
        code = ctypes.get_errno()
        # EAGAIN: a rename elsewhere raced with the walk and the kernel could not be sure.
        if code not in (errno.EAGAIN, errno.EINTR):
            return -code


_renameat2 = getattr(_libc, "renameat2", None)


def renameat2(old_dir: int, old: bytes, new_dir: int, new: bytes, flags: int) -> None:
    """Rename; with RENAME_NOREPLACE fails with EEXIST instead of replacing (renameat2(2))."""
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    _check(_renameat2(old_dir, old, new_dir, new, flags), os.fsdecode(old))


def birth_time_ns(fd: int) -> int | None:
    """When the file was made, in ns since 1970, where the file system keeps it (statx(2))."""
    if _SYS_STATX < 0:
        return None
    buffer = _StatxBuffer()
    if _statx(_SYS_STATX, fd, b"", AT_EMPTY_PATH, _STATX_BTIME, buffer) < 0:
        return None
    mask, seconds, nanoseconds = _BIRTH.unpack_from(buffer)
    return seconds * 1_000_000_000 + nanoseconds if mask & _STATX_BTIME else None


def reserve(fd: int, size: int) -> None:
    """Reserve room for a file of this size, which stays as long as it is (fallocate(2)).

    Best effort: a file system that cannot, or a descriptor that may not write, reserves nothing.
    """
    keep_size = 1
    _libc.fallocate(fd, keep_size, ctypes.c_longlong(0), ctypes.c_longlong(size))
