"""Ctrl-C and SIGTERM: asked politely first, so that the server is told before we go."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lab.client.pump import Pump


class Stop:
    """Whether the watch was asked to end.

    While `polite`, a signal only sets `asked` and wakes the pump. Otherwise (connecting: there is
    nothing to be tidied) and at the second one, it interrupts at once.
    """

    def __init__(self) -> None:
        self.asked = False
        self.polite = False
        self.signal = 0
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        return self._reader

    def on_readable(self) -> None:
        os.read(self._reader, 64)

    def ask(self, number: int = signal.SIGINT, frame: object = None) -> None:
        """What a signal does."""
        again, self.asked, self.signal = self.asked, True, number
        if again or not self.polite:
            raise KeyboardInterrupt
        os.write(self._writer, b"x")

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def stop_on_signals(pump: Pump) -> Iterator[Stop]:
    """Take SIGINT and SIGTERM for the block; an interrupt within it ends the block."""
    stop = Stop()
    pump.add(stop)
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except KeyboardInterrupt:
        stop.asked = True
        stop.signal = stop.signal or signal.SIGINT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        pump.remove(stop)
        stop.close()
