"""The floor of every figure: one inotify watch, and 8 bytes to a socket for each event.

ctypes, because the client's image, in which the loads run, has no inotify package.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

IN_CREATE, IN_DELETE = 0x100, 0x200
EVENT = struct.Struct("iIII")


def main() -> None:
    folder, port = sys.argv[1], int(sys.argv[2])
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_CLOEXEC)
    if libc.inotify_add_watch(watch, os.fsencode(folder), IN_CREATE | IN_DELETE) < 0:
        raise OSError(ctypes.get_errno(), f"inotify_add_watch {folder}")
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.send(b"r")
    while True:
        data = os.read(watch, 4096)
        while data:
            length = EVENT.unpack_from(data)[3]
            data = data[EVENT.size + length :]
            peer.send(b"12345678")


if __name__ == "__main__":
    main()
