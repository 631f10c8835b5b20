"""Choose a source of changes: the best one that this process may use."""

from __future__ import annotations

import logging

from notify_server.fs.api import FeedBounds
from notify_server.fs.feed import ChangeFeed
from notify_server.fs.inotify_source import InotifySource

log = logging.getLogger("notify_server.fs")


def open_feed(kind: str = "auto", bounds: FeedBounds | None = None) -> ChangeFeed:
    """A feed over `inotify` or, as `auto` decides, the best source there is."""
    if kind not in ("auto", "inotify"):
        raise ValueError(f"no such source of changes: {kind} (auto, inotify)")
    feed = ChangeFeed(InotifySource(bounds))
    log.info("watch: changes made beside the server come from %s", feed.name)
    return feed
