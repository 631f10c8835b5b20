"""Progress on stderr: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Says what is going on, and how long each step took."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._status: _Spinner | None = None
        self._guard = threading.RLock()  # lines come from several threads
        self.seconds: dict[str, float] = {}

    def say(self, text: str) -> None:
        """Print one line that stays."""
        with self._without_spinner():
            print(f"  {text}", file=self._stream, flush=True)

    @contextmanager
    def step(self, key: str, title: str) -> Iterator[None]:
        """Show `title` while the block runs, then its seconds; they are kept under `key`."""
        start = self._clock()
        terminal = self._stream.isatty()
        outer = self._status
        if terminal and outer is None:
            self._status = _Spinner(title)
            self._status.start()
        elif not terminal:
            print(f"{title} …", file=self._stream, flush=True)
        done = False
        try:
            yield
            done = True
        finally:
            self.seconds[key] = seconds = self._clock() - start
            if self._status is not None and outer is None:
                self._status.stop()
                self._status = None
            if done:
                self._print_done(f"{title}: {seconds:.1f} s")

    def _print_done(self, line: str) -> None:
        with self._without_spinner():
            print(line, file=self._stream, flush=True)

    @contextmanager
    def _without_spinner(self) -> Iterator[None]:
        with self._guard:
            status = self._status
            if status is not None:
                status.stop()
            try:
                yield
            finally:
                if status is not None:
                    status.start()


class _Spinner:
    """rich's spinner with the seconds that have passed."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import Progress as Bars
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bars.add_task(title, total=None)
        self._live: Live = self._bars.live

    def start(self) -> None:
        self._live.start(refresh=True)

    def stop(self) -> None:
        self._live.stop()
