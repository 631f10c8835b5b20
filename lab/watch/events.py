"""What a watch has to tell, as values; `lines` says how each is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Watching:
    """The request is parked: what changes from now on is told. `server` is a backend, if known.

    `cipher` is "" where messages are signed, not sealed.
    """

    where: str
    server: str
    dialect: int
    signing: str
    cipher: str
    filter: int
    recursive: bool
    again: bool


@dataclass(frozen=True)
class Changed:
    """One FILE_NOTIFY_INFORMATION record (MS-FSCC 2.7.1); `classes` may have caused it."""

    action: str
    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Overflowed:
    """STATUS_NOTIFY_ENUM_DIR (MS-SMB2 3.3.4.4): there were more changes than records."""

    status: str


@dataclass(frozen=True)
class Lost:
    """The connection or the handle ended; the next attempt is `delay` seconds away."""

    why: str
    delay: float


@dataclass(frozen=True)
class Pdu:
    """One PDU as this client sent or received it; `observed` is `lab.client`'s observation."""

    observed: dict[str, Any]


@dataclass(frozen=True)
class Oddity:
    """Something that a server must not send, and that was not acted upon."""

    text: str


Event: TypeAlias = "Watching | Changed | Overflowed | Lost | Pdu | Oddity"
