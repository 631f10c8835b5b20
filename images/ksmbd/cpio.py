"""The cpio archive (`newc`) that Linux unpacks as its initial root file system.

Written here rather than by cpio(1), because owners, device nodes and order are then ours without
root, and because the container appends a second archive (secrets, configuration) at each start:
the kernel unpacks archives that follow one another, when each begins on a multiple of 4 bytes.
Format: Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_TRAILER = "TRAILER!!!"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


class Archive:
    """A growing archive; parents are added before their children, everything is root's."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._names: set[str] = set()

    def _entry(
        self, name: str, mode: int, data: bytes = b"", rdev: tuple[int, int] = (0, 0)
    ) -> None:
        encoded = name.encode() + b"\0"
        # ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
        # namesize, check
        fields = (len(self._names) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % number for number in fields)
        self._parts += [_padded(header + encoded), _padded(data)]
        self._names.add(name)

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Add a folder and those above it, unless they are there."""
        name = path.strip("/")
        if not name or name in self._names:
            return
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFDIR | mode)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file with its content."""
        self.folder(os.path.dirname(path))
        self._entry(path.strip("/"), stat.S_IFREG | mode, data)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self.folder(os.path.dirname(path))
        self._entry(path.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        """Add a device node: /dev/console has to exist before anything can be mounted."""
        self.folder(os.path.dirname(path))
        self._entry(path.strip("/"), stat.S_IFCHR | mode, rdev=(major, minor))

    def copy(self, source: Path, path: str) -> None:
        """Add a file of the build machine's, with its permission bits."""
        self.file(path, source.read_bytes(), stat.S_IMODE(source.stat().st_mode))

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self._names

    def to_bytes(self) -> bytes:
        """Return the archive, ended and padded so that another may follow."""
        ended = Archive()
        ended._parts, ended._names = list(self._parts), set(self._names)
        ended._entry(_TRAILER, 0)
        return b"".join(ended._parts)
