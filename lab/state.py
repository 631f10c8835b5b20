"""`.lab/state.json`: what the lab remembers between commands.

Losing it costs time, never correctness.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask is
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class State:
    """Keys and JSON values in one file; several processes may change different keys at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # missing or damaged: everything in it can be found out again
        return content if isinstance(content, dict) else {}

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            content = self._read()
            yield content
            text = json.dumps(content, indent=2, sort_keys=True) + "\n"
            write_atomically(self.path, text.encode())

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was remembered under `key`."""
        return self._read().get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Remember a JSON value."""
        with self._changing() as content:
            content[key] = value

    def forget(self, key: str) -> None:
        """Forget `key`; no error if it was never known."""
        with self._changing() as content:
            content.pop(key, None)
