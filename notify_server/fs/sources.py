"""Choose a source of changes: the best one that this process may use."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from notify_server.fs.api import FeedBounds
from notify_server.fs.fanotify_source import FanotifySource
from notify_server.fs.feed import ChangeFeed, Source
from notify_server.fs.inotify_source import InotifySource

log = logging.getLogger("notify_server.fs")

KINDS = ("auto", "inotify", "fanotify")


def open_feed(
    kind: str = "auto", bounds: FeedBounds | None = None, roots: Sequence[str] = ()
) -> ChangeFeed:
    """A feed of the changes below `roots`, the directories of the shares.

    `auto` takes fanotify where the process may use it on all of them, otherwise inotify;
    `fanotify` raises OSError where it may not.
    """
    if kind not in KINDS:
        raise ValueError(f"no such source of changes: {kind} ({', '.join(KINDS)})")
    source: Source
    if kind == "inotify":
        source, why = InotifySource(bounds), "as configured"
    elif kind == "fanotify":
        source, why = _fanotify(bounds, roots), "as configured"
    else:
        source, why = _best(bounds, roots)
    log.info("watch: changes made beside the server come from %s, %s", source.name, why)
    return ChangeFeed(source)


def _best(bounds: FeedBounds | None, roots: Sequence[str]) -> tuple[Source, str]:
    if not roots:
        return InotifySource(bounds), "which needs nothing"
    try:
        return _fanotify(bounds, roots), "which this process may use on all shares"
    except OSError as error:
        why = f"for fanotify is not to be had ({error.filename}: {error.strerror})"
        return InotifySource(bounds), why


def _fanotify(bounds: FeedBounds | None, roots: Sequence[str]) -> FanotifySource:
    source = FanotifySource(bounds)
    try:
        for root in roots:
            source.probe(os.path.realpath(root))
    except BaseException:
        source.close()
        raise
    return source
