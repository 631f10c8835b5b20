"""Shares to directories: their stores, the feed of changes, and what must be kept apart.

Shares on local file systems have everything in common: the table of open files, the feed. A file
system that may hang (`fs.mounts`) has both for itself, or a call that hangs under the lock of the
one or the other would keep everybody waiting; the runner gives it threads of its own as well.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from notify_server.core.config import Share
from notify_server.fs import mounts
from notify_server.fs.api import Feed, FeedBounds, Store
from notify_server.fs.detached import DetachedFeed, JointFeed
from notify_server.fs.feed import ChangeFeed
from notify_server.fs.local import LocalStore
from notify_server.fs.opens import OpenFiles
from notify_server.fs.sources import open_feed

log: Final = logging.getLogger("notify_server")


@dataclass(frozen=True, slots=True)
class ShareOptions:
    """A share: its directory, and how it differs from others."""

    path: str | os.PathLike[str]
    read_only: bool = False
    notify: bool = True
    encrypt: bool = False
    may_hang: bool | None = None
    """Whether calls on its files may never come back, as behind a network; None asks the mounts."""


@dataclass(frozen=True, slots=True)
class OpenShares:
    """`apart` has the stores that may hang, and what is to be done behind each job on them."""

    shares: list[Share]
    feed: Feed
    apart: Mapping[Store, Callable[[], None]]


@dataclass(slots=True)
class _Domain:
    """What shares have in common."""

    feed: ChangeFeed
    files: OpenFiles
    detached: DetachedFeed | None = None


def open_shares(options: Mapping[str, ShareOptions], source: str, bounds: FeedBounds) -> OpenShares:
    """Open the directories of shares; OSError if one cannot be, or the source is not to be had."""
    paths = {name: os.fspath(share.path) for name, share in options.items()}
    hang = {name: _may_hang(name, share) for name, share in options.items()}
    domains: dict[int, _Domain] = {}  # by device, 0 for all that do not hang
    roots: dict[int, list[str]] = {0: []}
    device_of = {}
    for name, path in paths.items():
        device_of[name] = os.stat(path).st_dev if hang[name] else 0
        roots.setdefault(device_of[name], []).append(path)
    try:
        for device, places in roots.items():
            domains[device] = _Domain(open_feed(source, bounds, places), OpenFiles())
        shares = [
            _share(name, options[name], domains[device_of[name]], hang[name]) for name in options
        ]
        apart = {device: each for device, each in domains.items() if device}
        for each in apart.values():
            each.detached = DetachedFeed(each.feed)
    except BaseException:
        for each in domains.values():
            (each.detached or each.feed).close()
        raise
    behind: dict[Store, Callable[[], None]] = {}
    for share in shares:
        detached = domains[device_of[share.name]].detached
        if detached is not None and share.store is not None:
            behind[share.store] = detached.pump
    feed: Feed = domains[0].feed
    detached_feeds = [each.detached for each in apart.values() if each.detached is not None]
    if detached_feeds:
        feed = JointFeed(feed, detached_feeds)
    return OpenShares(shares, feed, behind)


def _may_hang(name: str, share: ShareOptions) -> bool:
    if share.may_hang is not None:
        why = "as configured" if share.may_hang else ""
    else:
        why = mounts.what_may_hang(os.fspath(share.path))
    if why:
        log.info(
            "share %s may hang (%s): it has threads, feed and table of open files of its own",
            name,
            why,
        )
    return bool(why)


def _share(name: str, share: ShareOptions, domain: _Domain, may_hang: bool) -> Share:
    return Share(
        name,
        LocalStore(os.fspath(share.path), domain.feed, domain.files, label=name),
        read_only=share.read_only,
        notify=share.notify,
        encrypt=share.encrypt,
        may_hang=may_hang,
    )
