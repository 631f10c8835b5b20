"""The guest's console: what this guest said since it started, and what it goes on to say.

A guest that ends is replaced in the same container, whose log goes on; so following goes on too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab.engine.sdk import container_info

if TYPE_CHECKING:
    from lab.session import Lab

_NEXT_GUEST_DEADLINE_S = 30.0
_POLL_S = 0.2


def text(lab: Lab, name: str, *, every_guest: bool = False) -> str:
    """The console of the guest that runs (or ended last); of all before it as well if told so."""
    info = container_info(lab.engine.inspect(name))
    since = None if every_guest else info.started_at
    return lab.engine.logs(name, since=since).replace("\r", "")


def follow(lab: Lab, name: str, *, every_guest: bool = False) -> Iterator[str]:
    """The console as it grows, over the ends of guests, until no new one comes."""
    since = None if every_guest else container_info(lab.engine.inspect(name)).started_at
    while True:
        for piece in lab.engine.follow(name, since=since):
            yield piece.replace("\r", "")
        since = time.time()
        if not _another(lab, name):
            return


def _another(lab: Lab, name: str) -> bool:
    """Whether the engine starts another guest before long."""
    deadline = time.monotonic() + _NEXT_GUEST_DEADLINE_S
    while time.monotonic() < deadline:
        if container_info(lab.engine.inspect(name)).state == "running":
            return True
        time.sleep(_POLL_S)
    return False
