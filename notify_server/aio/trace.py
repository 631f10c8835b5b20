"""`--trace`: for each SMB request the functions that handled it, one line a call, indented.

    2026-11-22T19:04:11.123456+00:00
      core.connection.Connection.receive (connection.py:210)
    SMB2_CHANGE_NOTIFY request client=127.0.0.1:50422 mid=7
        core.chain.Chain._execute (chain.py:187)
          core.notifying.change_notify (notifying.py:61)
            …

A block is one turn of the server, under the time of its beginning; a heading is for the call on the
next line and what that calls.

Built on the interpreter's profile hook, so it costs nothing unless asked for, and much then.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, TextIO

from notify_server.core.cancelling import cancel
from notify_server.core.chain import Chain
from notify_server.core.connection import Connection
from notify_server.wire.constants import Command
from notify_server.wire.status import NtStatus

_PACKAGE: Final = str(Path(__file__).parent.parent) + "/"


def _request(local: dict[str, Any]) -> str:
    header = local["request"].header
    command = Command(header.command).name if header.command in _COMMANDS else header.command
    client = local["self"].connection.client
    return f"{command} request client={client} mid={header.message_id}"


def _interim(local: dict[str, Any]) -> str:
    header = local["request"].header
    client = local["self"].connection.client
    return (
        f"{Command(header.command).name} interim response client={client} mid={header.message_id}"
    )


def _final(local: dict[str, Any]) -> str:
    parked, status = local["parked"], NtStatus(local["status"]).name
    return (
        f"{Command(parked.command).name} final response client={local['self'].client} "
        f"mid={parked.message_id} status={status}"
    )


def _cancel(local: dict[str, Any]) -> str:
    header = local["header"]
    return (
        f"SMB2_CANCEL request client={local['connection'].client} "
        f"mid={header.message_id} async_id={header.async_id}"
    )


_COMMANDS: Final = frozenset(int(command) for command in Command)

# Functions at which something begins that deserves a heading, and what it says.
_HEADINGS: Final[dict[CodeType, Callable[[dict[str, Any]], str]]] = {
    Chain._execute.__code__: _request,
    Chain._interim.__code__: _interim,
    Connection.finish_parked.__code__: _final,
    cancel.__code__: _cancel,
}


class Tracer:
    """Writes calls of functions in this package, of the thread that is inside `record`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    @contextmanager
    def record(self, title: str = "") -> Iterator[None]:
        """Record what is called inside; `title` heads what no heading of its own has."""
        lines = [datetime.now(UTC).isoformat(), *([title] if title else [])]
        untouched = len(lines)
        depth = 1

        def profile(frame: FrameType, event: str, _argument: object) -> None:
            nonlocal depth
            code = frame.f_code
            if not code.co_filename.startswith(_PACKAGE) or code.co_name.startswith("<"):
                return
            if event == "call":
                heading = _HEADINGS.get(code)
                if heading is not None:
                    lines.append(heading(frame.f_locals))
                lines.append("  " * depth + _name(code))
                depth += 1
            elif event == "return" and depth > 1:
                depth -= 1

        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            if len(lines) > untouched:
                with self._lock:
                    self._out.write("\n".join(lines) + "\n")
                    self._out.flush()


def _name(code: CodeType) -> str:
    """As in `core.chain.Chain.advance (chain.py:187)`: module in this package, function, place."""
    file = code.co_filename.removeprefix(_PACKAGE)
    module = file.removesuffix(".py").replace("/", ".")
    place = f"{file.rpartition('/')[2]}:{code.co_firstlineno}"
    return f"{module}.{code.co_qualname.replace('.<locals>', '')} ({place})"
