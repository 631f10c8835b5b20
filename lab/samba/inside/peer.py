"""Who is at the other end of a process's connection."""

from __future__ import annotations

import os
import re
from pathlib import Path

SMB_PORT = 445
ESTABLISHED = "01"


def sockets(pid: int) -> set[str]:
    """The inodes of the sockets that a process has open."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
        except OSError:
            continue
        if match:
            found.add(match[1])
    return found


def peer_port(table: str, inodes: set[str]) -> int:
    """The remote port of the connection to SMB_PORT among these sockets, from /proc/net/tcp."""
    for row in table.splitlines()[1:]:
        fields = row.split()
        local, remote, state, inode = fields[1], fields[2], fields[3], fields[9]
        if inode in inodes and state == ESTABLISHED and int(local.split(":")[1], 16) == SMB_PORT:
            return int(remote.split(":")[1], 16)
    return 0


def client_port(pid: int) -> int:
    """The TCP port of the client that this process serves; 0 if that cannot be seen."""
    try:
        inodes = sockets(pid)
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return 0
    return next((port for table in tables if (port := peer_port(table, inodes))), 0)
