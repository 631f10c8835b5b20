"""Which directories are on file systems whose calls may hang. Pure but for one read of /proc.

A local file system answers metadata calls from memory, or from a disk that answers in time or not
at all. One behind a network, or behind a process (FUSE), may keep a call for ever, and the thread
that made it. Such a file system must not be asked where all connections are served.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Everything else is taken to hang: a file system that nobody here knows, too.
LOCAL: Final = frozenset(
    {
        "bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "exfat", "f2fs", "iso9660", "jfs",
        "msdos", "nilfs2", "ntfs3", "overlay", "ramfs", "reiserfs", "squashfs", "tmpfs", "udf",
        "ufs", "vfat", "xfs", "zfs",
    }
)  # fmt: skip
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def what_may_hang(directory: str) -> str:
    """The file system at or below `directory` that may hang, as `nfs4 at /srv/x`, or nothing.

    What is mounted there later is not seen.
    """
    return find(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape"), directory)


def find(mountinfo: str, directory: str) -> str:
    """The same of a mount table (proc_pid_mountinfo(5))."""
    root = os.path.realpath(directory)
    at, kind = "", ""
    below = []
    for place, its_kind in mounts(mountinfo):
        if _inside(root, place):
            # The longest is the nearest; of those at the same place the last one is on top.
            if len(place) >= len(at):
                at, kind = place, its_kind
        elif _inside(place, root) and its_kind not in LOCAL:
            below.append(f"{its_kind} at {place}")
    if kind not in LOCAL:
        return f"{kind or 'an unknown file system'} at {at or root}"
    return below[0] if below else ""


def _inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def mounts(mountinfo: str) -> Iterator[tuple[str, str]]:
    """Mount point and type, line by line."""
    for line in mountinfo.splitlines():
        fields, separator, rest = line.partition(" - ")
        words = fields.split(" ")
        if separator and len(words) > 4 and rest:
            yield _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), words[4]), rest.split(" ")[0]
