"""What to start: the value that the command line makes, and the bounds by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from notify_server.aio.shares import ShareOptions
from notify_server.core.config import Bounds
from notify_server.fs.api import FeedBounds
from notify_server.notify.table import Bounds as WatchBounds

LEVELS: Final = ("debug", "info", "warning", "error")
_SMB_PORT: Final = 445

BOUNDS: Final[dict[str, tuple[str, Callable[..., Any]]]] = {
    "": ("bounds", Bounds),
    "notify": ("watch_bounds", WatchBounds),
    "source": ("feed_bounds", FeedBounds),
}
"""Table below [bounds], or that one itself -> the option that takes its values, and their type."""

BOUND_TYPES: Final[Mapping[str, Mapping[str, type]]] = {
    table: {
        item.name: float if item.name.endswith("seconds") else int
        for item in fields(kind)  # type: ignore[arg-type]
    }
    for table, (_option, kind) in BOUNDS.items()
}


class CommandError(Exception):
    """The command line or the configuration is wrong; the message says where."""


@dataclass(slots=True)
class Command:
    """What to start."""

    shares: dict[str, ShareOptions] = field(default_factory=dict)
    users: dict[str, bytes] = field(default_factory=dict, repr=False)
    """NT hashes: nothing else of a password is kept."""
    listen: tuple[str, int] = ("127.0.0.1", _SMB_PORT)
    options: dict[str, Any] = field(default_factory=dict)
    bounds: dict[str, dict[str, float]] = field(default_factory=dict)
    """By table, those that are to differ from the default ones."""
    log_level: str = "info"

    def bind(self, where: str = "") -> None:
        """Turn `bounds` into options; raises CommandError for values that cannot be."""
        for table, values in self.bounds.items():
            option, kind = BOUNDS[table]
            try:
                self.options[option] = kind(**values)
            except ValueError as error:
                raise CommandError(f"{where}{dotted('bounds', table)}.{error}") from None


def dotted(*names: str) -> str:
    """`bounds.notify.requests`."""
    return ".".join(name for name in names if name)


def address(where: str, text: str) -> tuple[str, int]:
    """HOST:PORT, an IPv6 host in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise CommandError(f"{where} {text}: must be HOST:PORT")
    return host.strip("[]"), int(port)
