"""What is logged: `info`, or a level and others for parts of the server, `info fs:debug`."""

from __future__ import annotations

import logging
import re
import sys
from typing import Final

from notify_server.aio.settings import LEVELS, CommandError

# Logger, then function: a reader of a log looks for both.
FORMAT: Final = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s.%(funcName)s: %(message)s"
TIME: Final = "%Y-%m-%dT%H:%M:%S"
_PACKAGE: Final = "notify_server"
_CLASS: Final = re.compile(rf"([a-z_.]+):({'|'.join(LEVELS)})")


def levels(where: str, text: str) -> dict[str, str]:
    """By logger, "" the level of all others; raises CommandError that begins with `where`."""
    first, *rest = text.split() or [""]
    found = [_CLASS.fullmatch(word) for word in rest]
    if first not in LEVELS or not all(found):
        raise CommandError(
            f"{where}: one of {', '.join(LEVELS)}, and CLASS:LEVEL, as in 'info fs:debug'"
        )
    return {"": first, **{match[1]: match[2] for match in found if match}}


def set_up(text: str) -> None:
    """Log to stderr with these levels."""
    wanted = levels("log level", text)
    logging.basicConfig(
        level=wanted.pop("").upper(), stream=sys.stderr, format=FORMAT, datefmt=TIME
    )
    for name, level in wanted.items():
        logging.getLogger(f"{_PACKAGE}.{name}").setLevel(level.upper())
