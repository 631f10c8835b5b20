"""A share on a temporary directory, with its feed, and words to speak of what it told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from notify_server.fs.api import Entry, FeedBounds, Handle, Opened, OpenRequest
from notify_server.fs.feed import ChangeFeed
from notify_server.fs.local import LocalStore
from notify_server.fs.opens import OpenFiles
from notify_server.fs.sources import open_feed
from notify_server.notify.change import Change, ChangesLost, DirectoryDoomed, Event
from notify_server.wire.constants import (
    AccessMask,
    CreateDisposition,
    CreateOptions,
    ShareAccess,
)

RETRY = 0.2


@dataclass
class Share:
    root: Path
    store: LocalStore
    feed: ChangeFeed
    files: OpenFiles

    def open(
        self,
        path: str,
        disposition: CreateDisposition = CreateDisposition.FILE_OPEN,
        *,
        access: int = AccessMask.MAXIMUM_ALLOWED,
        share: int = 7,
        options: int = 0,
        attributes: int = 0,
    ) -> Opened:
        return self.store.open(
            OpenRequest(
                path,
                AccessMask(access),
                ShareAccess(share),
                disposition,
                CreateOptions(options),
                attributes,  # type: ignore[arg-type]
            )
        )

    def create(self, path: str) -> Handle:
        return self.open(path, CreateDisposition.FILE_OPEN_IF).handle

    def mkdir(self, path: str) -> Handle:
        return self.open(
            path, CreateDisposition.FILE_CREATE, options=CreateOptions.FILE_DIRECTORY_FILE
        ).handle

    def watch(self, path: str = "", *, tree: bool = True) -> Handle:
        """As Explorer does: without DELETE, which would keep others from renaming in it."""
        handle = self.open(
            path,
            access=AccessMask.FILE_LIST_DIRECTORY | AccessMask.FILE_READ_ATTRIBUTES,
            options=CreateOptions.FILE_DIRECTORY_FILE,
        ).handle
        self.store.watch(handle, tree)
        self.feed.drain()
        return handle

    def listed(self, directory: Handle, pattern: str = "*") -> list[Entry]:
        names = self.store.names(directory, pattern, 1 << 20)
        return [entry for entry in self.store.entries(directory, names) if entry is not None]

    def told(self) -> list[str]:
        """`+d/x`, `-x`, `~x`, `a>b`; `?d` lost, `!d` doomed. Directories moved are not said."""
        return [word for event in self.feed.drain() for word in self._words(event)]

    def eventually(self, count: int, seconds: float = 5.0) -> list[str]:
        """At least so many words, as they come."""
        deadline = time.monotonic() + seconds
        words = self.told()
        while len(words) < count:
            assert time.monotonic() < deadline, words
            time.sleep(0.005)
            words += self.told()
        return words

    def _words(self, event: Event) -> Iterator[str]:
        if isinstance(event, Change):
            signs = {1: "+", 2: "-", 3: "~", 6: "+", 7: "-", 8: "~"}
            names = [self._relative(f"{r.directory}/{r.name}") for r in event.reports]
            if event.reports[0].action == 4:
                yield f"{names[0]}>{names[1]}"
            else:
                yield signs[event.reports[0].action] + names[0]
        elif isinstance(event, ChangesLost):
            yield "?" + (self._relative(event.directory) if event.directory else "*")
        elif isinstance(event, DirectoryDoomed):
            yield "!" + self._relative(event.directory)

    def _relative(self, path: str) -> str:
        return path.removeprefix(str(self.root)).lstrip("/")


@pytest.fixture(params=["inotify", "fanotify"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test runs with both sources; fanotify where root's rights and the disk allow it."""
    kind = str(request.param)
    try:
        open_feed(kind, roots=[str(tmp_path)]).close()
    except OSError as error:
        pytest.skip(f"{kind} is not to be had here: {error}")
    return kind


@pytest.fixture
def share(source: str, tmp_path: Path) -> Iterator[Share]:
    root = tmp_path / "share"
    root.mkdir()
    feed = open_feed(source, FeedBounds(retry_seconds=RETRY), [str(root)])
    files = OpenFiles()
    store = LocalStore(str(root), feed, files, "TEST")
    yield Share(Path(store.root), store, feed, files)
    store.dispose()
    feed.close()
