"""Changes made over SMB and beside, in one order and once each."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading

import pytest

from notify_server.fs import xattrs
from notify_server.fs.feed import Kind
from notify_server.notify.classes import added
from notify_server.wire.constants import CreateDisposition
from notify_server.wire.status import StatusError


def test_an_echo_is_dropped_and_the_change_told_in_its_place(share) -> None:
    share.watch()
    root = str(share.root)
    with share.feed.operation() as operation:
        operation.expect(root, "ours", Kind.CREATE)
        (share.root / "before").mkdir()
        (share.root / "ours").mkdir()
        (share.root / "after").mkdir()
        operation.happened(added(root, "ours", is_directory=True))
    assert share.told() == ["+before", "+ours", "+after"]
    assert len(share.feed.echoes) == 0


def test_a_change_beside_that_follows_is_not_taken_for_the_echo(share) -> None:
    share.watch()
    handle = share.create("f")
    share.told()
    for _ in range(3):
        share.store.write(handle, 0, b"x")
        (share.root / "f").write_bytes(b"y")
        assert share.eventually(2)[0] == "~f"
        share.told()


def test_an_expectation_that_does_not_come_is_forgotten(share) -> None:
    share.watch()
    with share.feed.operation() as operation:
        operation.expect(str(share.root), "f", Kind.CREATE)
    (share.root / "f").write_bytes(b"")
    assert share.eventually(1) == ["+f"]


def test_a_failed_operation_tells_nothing(share) -> None:
    share.watch()
    try:
        with share.feed.operation() as operation:
            operation.expect(str(share.root), "f", Kind.CREATE)
            raise FileExistsError
    except FileExistsError:
        pass
    assert share.told() == []
    assert len(share.feed.echoes) == 0


def test_an_operation_under_way_does_not_hold_back_others(share) -> None:
    share.watch()
    root = str(share.root)
    with share.feed.operation() as operation:
        operation.expect(root, "slow", Kind.CREATE)
        (share.root / "slow").mkdir()
        (share.root / "other").mkdir()
        assert share.told() == ["+other"]
        operation.happened(added(root, "slow", is_directory=True))
    assert share.told() == ["+slow"]


def test_nothing_is_kept_while_nobody_watches(share) -> None:
    share.create("f")
    assert share.feed.idle
    share.watch()
    assert share.told() == []


def test_the_end_of_the_last_watch_leaves_no_selector_awake(share) -> None:
    """The kernel queues IN_IGNORED for it; left there it would keep the server's loop spinning."""
    handle = share.watch()
    (share.root / "unread").write_bytes(b"")
    share.store.close(handle)
    assert share.feed.idle
    assert share.told() == []
    assert select.select([share.feed.fileno()], [], [], 0.2)[0] == []


def test_threads_and_the_disk_are_told_exactly_once_each(share) -> None:
    """Files are made over SMB by threads while others are made beside: each is ADDED once."""
    share.watch()
    count, words = 60, []

    def over_smb(prefix: str) -> None:
        for n in range(count):
            share.store.close(share.create(f"{prefix}{n}"))

    def beside() -> None:
        for n in range(count):
            os.close(os.open(share.root / f"beside{n}", os.O_CREAT))

    threads = [threading.Thread(target=over_smb, args=(p,)) for p in "ab"]
    threads.append(threading.Thread(target=beside))
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        words += share.told()
    words += share.told()
    assert sorted(words) == sorted(f"+{p}{n}" for p in ("a", "b", "beside") for n in range(count))


def test_who_failed_because_of_a_change_beside_does_not_swallow_it(share) -> None:
    """The same name is made or removed beside, just before our system call."""
    share.watch()
    root = str(share.root)
    (share.root / "gone").mkdir()
    share.told()
    for name, kind, beside, call in (
        ("made", Kind.CREATE, os.mkdir, os.mkdir),
        ("gone", Kind.DELETE, os.rmdir, os.rmdir),
    ):
        beside(share.root / name)
        with (
            contextlib.suppress(OSError),
            share.feed.operation() as operation,
            operation.call((root, name, kind)),
        ):
            call(share.root / name)
    assert share.told() == ["+made", "-gone"]
    assert len(share.feed.echoes) == 0


def test_a_create_that_fails_after_it_made_the_file_is_silent(share, monkeypatch) -> None:
    """Its stream does not fit on the disk."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(xattrs, "write_stream", refuse)
    share.watch()
    with pytest.raises(StatusError, match=r"^STATUS_DISK_FULL$"):
        share.open("f:s", CreateDisposition.FILE_CREATE)
    assert share.told() == []
    assert list(share.root.iterdir()) == []
    assert len(share.feed.echoes) == 0


def test_what_was_taken_for_the_echo_of_a_failed_call_is_told_as_lost(share) -> None:
    share.watch()
    root = str(share.root)
    with (
        contextlib.suppress(OSError),
        share.feed.operation() as operation,
        operation.call((root, "made", Kind.CREATE)),
    ):
        (share.root / "made").mkdir()
        assert share.told() == []  # the loop reads meanwhile
        (share.root / "made").mkdir()
    assert share.told() == ["?"]
