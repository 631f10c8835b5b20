"""What only inotify has: limits of watches, a queue that runs over, halves of renames."""

from __future__ import annotations

import errno
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from notify_server.fs.api import FeedBounds
from notify_server.fs.feed import Echoes, Watched
from notify_server.fs.inotify import Inotify, RawEvent
from notify_server.fs.inotify_source import InotifySource
from notify_server.fs.syscalls import renameat2
from notify_server.notify.change import ChangesLost, DirectoryDoomed


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for n in range(5):
        (tmp_path / f"d{n}/e").mkdir(parents=True)
    return tmp_path.resolve()


def watched(source: InotifySource, path: Path, *, tree: bool) -> Watched:
    fd = os.open(path, os.O_RDONLY)
    try:
        part = source.watch(str(path), fd, tree, str(path))
    finally:
        os.close(fd)
    while source.extend():
        pass
    return part


def test_a_directory_costs_one_kernel_watch(tree: Path) -> None:
    source = InotifySource()
    parts = [watched(source, tree, tree=bool(n % 2)) for n in range(6)]
    assert source.statistics.directories == 11
    for part in parts:
        source.unwatch(part)
    assert source.statistics.directories == 0
    source.close()


def test_a_tree_beyond_the_bound_must_be_enumerated_again_and_again(tree: Path) -> None:
    source = InotifySource(FeedBounds(directories=4, retry_seconds=0.05))
    part = watched(source, tree, tree=True)
    assert source.read(Echoes()) == [ChangesLost(str(tree))]
    assert "cannot be watched" in source.statistics.failures[0]
    assert wait(source) == [ChangesLost(str(tree))] * 2  # tried again, failed again
    source.bounds = FeedBounds(retry_seconds=0.05)
    assert wait(source) == [ChangesLost(str(tree))]  # whole again, and that for the last time
    assert source.statistics.directories == 11
    source.unwatch(part)
    source.close()


def test_a_directory_that_cannot_be_watched_is_tried_again(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = InotifySource(FeedBounds(retry_seconds=0.05))
    real = source._inotify.add_watch

    def full(path: str, mask: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(source._inotify, "add_watch", full)
    watched(source, tree, tree=False)
    assert source.read(Echoes()) == [ChangesLost(str(tree))]
    monkeypatch.setattr(source._inotify, "add_watch", real)
    assert wait(source) == [ChangesLost(str(tree))]
    (tree / "x").mkdir()
    assert len(source.read(Echoes())) == 1
    source.close()


def test_a_queue_that_ran_over_is_an_overflow_of_all(tree: Path) -> None:
    source = InotifySource()
    watched(source, tree, tree=True)
    (tree / "x").write_bytes(b"")
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("the queue is too long to fill")
    for n in range(limit // 2 + 2):
        os.rename(tree / ("x" if n % 2 == 0 else "y"), tree / ("y" if n % 2 == 0 else "x"))
    assert ChangesLost() in source.read(Echoes())
    assert source.statistics.overflows == 1
    source.close()


def wait(source: InotifySource) -> list[object]:
    poll = select.poll()
    poll.register(source.fileno(), select.POLLIN)
    assert poll.poll(2000)
    return list(source.read(Echoes()))


def test_an_exchange_is_read_whole(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of its renames are of one system call, but a read may come between them."""
    source = InotifySource()
    parts = [watched(source, tree / name, tree=False) for name in ("d0", "d1")]
    take = Inotify._take_queued
    queue: list[RawEvent] = []

    def two_at_a_time(inotify: Inotify) -> list[RawEvent]:
        queue.extend(take(inotify))
        taken, queue[:] = queue[:2], queue[2:]
        return taken

    monkeypatch.setattr(Inotify, "_take_queued", two_at_a_time)
    watched(source, tree, tree=False)
    one, other = (os.fsencode(tree / name) for name in ("d0", "d1"))
    renameat2(-100, one, -100, other, 2)
    events = source.read(Echoes())
    assert not any(isinstance(event, DirectoryDoomed) for event in events)
    assert [part.path for part in parts] == [str(tree / "d1"), str(tree / "d0")]
    source.close()


@pytest.fixture
def merged(tmp_path: Path) -> Iterator[Path]:
    """A directory of overlayfs that is in both layers: its count of links is always 1."""
    for name in ("lower/d", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    layers = ",".join(f"{each}dir={tmp_path / each}" for each in ("lower", "upper", "work"))
    place = str(tmp_path / "merged")
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", layers, place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("overlayfs cannot be mounted here")
    directory = tmp_path / "merged/d"
    directory.chmod(0o700)  # copies it up
    yield directory.resolve()
    subprocess.run(["umount", "-l", place], check=True)


def test_a_directory_that_is_removed_from_an_overlay_is_doomed(merged: Path) -> None:
    source = InotifySource()
    fd = os.open(merged, os.O_RDONLY)
    part = source.watch(str(merged), fd, False, str(merged.parent))
    merged.rmdir()
    assert DirectoryDoomed(str(merged)) in source.read(Echoes())
    source.unwatch(part)
    source.close()
    os.close(fd)
