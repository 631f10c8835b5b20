"""The floor of every figure: one inotify watch, and for each event a message to each socket.

The message is as long as a response with one record. ctypes, because the client's image, in which
the loads run, has no inotify package.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

IN_CREATE, IN_DELETE = 0x100, 0x200
EVENT = struct.Struct("iIII")
MESSAGE = b"." * 110


def main() -> None:
    folder, port, sockets = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_CLOEXEC)
    if libc.inotify_add_watch(watch, os.fsencode(folder), IN_CREATE | IN_DELETE) < 0:
        raise OSError(ctypes.get_errno(), f"inotify_add_watch {folder}")
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(sockets)]
    for peer in peers:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.send(b"r")
    while True:
        data = os.read(watch, 4096)
        while data:
            length = EVENT.unpack_from(data)[3]
            data = data[EVENT.size + length :]
            for peer in peers:
                peer.send(MESSAGE)


if __name__ == "__main__":
    main()
