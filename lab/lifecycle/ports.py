"""Who has a TCP port: named before Compose fails on it with half the lab started."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabFailed

_LISTEN = "0A"


@dataclass(frozen=True)
class Owner:
    """A process that listens."""

    pid: int
    command: str


def require_free(host: str, port: int) -> None:
    """Raise LabFailed unless `port` can be bound; it names the process where it can be seen."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            # Below 1024 only root may bind. The engine does it for us: taken is what matters.
            if _listening_inodes(port):
                raise _taken(host, port) from None
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise LabFailed(
                    f"[front] bind: {host} is no address of this host",
                    "`ip -brief address` lists them; set LAB_FRONT_BIND or bind in lab.toml",
                ) from None
            raise _taken(host, port) from None


def _taken(host: str, port: int) -> LabFailed:
    owner = owner_of(port)
    who = f"`{owner.command}` (pid {owner.pid})" if owner else "another process"
    return LabFailed(
        f"port {port} of {host}, which the front needs, is taken by {who}",
        f"end that, or choose another port: LAB_FRONT_PORT={port % 65535 + 1} lab up "
        "(for good: port under [front] in lab.toml)",
    )


def owner_of(port: int, proc: Path = Path("/proc")) -> Owner | None:
    """The process that listens on a TCP port; None if there is none, or it is not ours to see."""
    inodes = _listening_inodes(port, proc)
    if not inodes:
        return None
    links = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.glob("[0-9]*"):
        if links & set(_open_files(folder)):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            return Owner(int(folder.name), b" ".join(words).decode(errors="replace").strip())
    return None


def _listening_inodes(port: int, proc: Path = Path("/proc")) -> set[str]:
    """The inodes of listening sockets, from /proc/net/tcp and tcp6 (see proc(5))."""
    found = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, lines):
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found


def _open_files(process: Path) -> Iterator[str]:
    try:
        for link in (process / "fd").iterdir():
            yield os.readlink(link)
    except OSError:  # it ended meanwhile, or belongs to somebody else
        return
