"""The stream of an exec: stdout and stderr of one process, interleaved in frames.

Without a terminal the engine sends frames: a byte that names the stream (1 stdout, 2 stderr), three
zero bytes, the length in 32 bits big-endian, then that many bytes (Engine API, "Stream format").
"""

from __future__ import annotations

import struct

_HEADER = struct.Struct(">BxxxI")
STDOUT, STDERR = 1, 2


class Demultiplexer:
    """Takes bytes as they come and gives the streams' bytes back."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self.stdout = bytearray()
        self.stderr = bytearray()

    def feed(self, data: bytes) -> None:
        """Add received bytes; complete frames go to `stdout` and `stderr`."""
        self._pending += data
        while len(self._pending) >= _HEADER.size:
            stream, length = _HEADER.unpack_from(self._pending)
            end = _HEADER.size + length
            if len(self._pending) < end:
                return
            target = self.stderr if stream == STDERR else self.stdout
            target += self._pending[_HEADER.size : end]
            del self._pending[:end]

    def take_line(self) -> bytes | None:
        """Take the next complete line off stdout, its newline included; None if there is none."""
        end = self.stdout.find(b"\n") + 1
        if not end:
            return None
        line = bytes(self.stdout[:end])
        del self.stdout[:end]
        return line
