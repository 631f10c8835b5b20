"""The floor of every figure: one inotify watch, and 8 bytes to a socket for each event."""

from __future__ import annotations

import socket
import sys

from inotify_simple import INotify, flags


def main() -> None:
    folder, port = sys.argv[1], int(sys.argv[2])
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    watch = INotify()
    watch.add_watch(folder, flags.CREATE | flags.DELETE)
    peer.send(b"r")
    while True:
        for _event in watch.read():
            peer.send(b"12345678")


if __name__ == "__main__":
    main()
