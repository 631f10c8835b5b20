"""An SMB2 server that is exact about CHANGE_NOTIFY.

`async with NotifyServer({"TEST": "/tmp/share"}, {"me": "secret"}) as server:` serves a directory on
a free loopback port, `server.address`. The watch rules are in `notify/table.py`; the README beside
this file says what else there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notify_server.aio.server import NotifyServer, Options
    from notify_server.aio.shares import ShareOptions

__version__ = "0.1.0"

__all__ = ["NotifyServer", "Options", "ShareOptions"]


def __getattr__(name: str) -> Any:
    """Import the asyncio shell when it is asked for: a codec's user needs none of it."""
    if name in __all__:
        from notify_server.aio import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
