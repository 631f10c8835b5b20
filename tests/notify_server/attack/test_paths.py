"""Nothing outside the share is reached, whatever is asked for and whatever is swapped meanwhile."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notify_server.fs.api import FeedBounds, OpenRequest
from notify_server.fs.local import LocalStore
from notify_server.fs.opens import OpenFiles
from notify_server.fs.sources import open_feed
from notify_server.wire.constants import AccessMask, CreateDisposition, CreateOptions
from notify_server.wire.status import NtStatus, StatusError
from tests.notify_server.fs.conftest import Share

OPEN, CREATE, OPEN_IF, OVERWRITE_IF = (
    CreateDisposition.FILE_OPEN,
    CreateDisposition.FILE_CREATE,
    CreateDisposition.FILE_OPEN_IF,
    CreateDisposition.FILE_OVERWRITE_IF,
)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the share, with something worth reaching."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_text("secret")
    return directory


@contextmanager
def sharing(root: Path, source: str) -> Iterator[Share]:
    root.mkdir()
    try:
        feed = open_feed(source, FeedBounds(retry_seconds=60.0), [str(root)])
    except OSError as error:
        pytest.skip(f"{source} is not to be had here: {error}")
    files = OpenFiles()
    store = LocalStore(str(root), feed, files, "TEST")
    yield Share(root, store, feed, files)
    store.dispose()
    feed.close()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    with sharing(tmp_path / "share", "inotify") as share:
        yield share


def untouched(outside: Path) -> bool:
    return os.listdir(outside) == ["secret"] and (outside / "secret").read_text() == "secret"


ESCAPES = [
    "..", "..\\outside", "..\\outside\\secret", "a\\..\\..\\outside\\secret", ".\\..\\outside",
    "../outside/secret", "a/../../outside/secret", "\\..\\outside\\secret", "\\\\outside\\secret",
    "/etc/passwd", "link\\secret", "link", "LINK\\secret", "absolute\\passwd",
    "up\\outside\\secret",
    "file\\..\\..\\outside\\secret", "..:stream", "a\\..:x\\..\\..\\outside", "proc\\root\\etc",
    "\uf022..\uf026outside", "..\0\\outside", "a\0",
]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES)
@pytest.mark.parametrize("disposition", [OPEN, OPEN_IF, OVERWRITE_IF])
def test_no_path_leads_out(
    share: Share, outside: Path, path: str, disposition: CreateDisposition
) -> None:
    (share.root / "link").symlink_to(outside)
    (share.root / "absolute").symlink_to("/etc")
    (share.root / "up").symlink_to("..")
    (share.root / "proc").symlink_to("/proc/self")
    (share.root / "a").mkdir()
    (share.root / "file").touch()
    try:
        opened = share.open(path, disposition)
    except StatusError:
        pass
    else:
        where = os.readlink(opened.handle.proc)  # type: ignore[attr-defined]
        assert where.startswith(str(share.root)), where
        share.store.close(opened.handle)
    assert untouched(outside)


@given(
    parts=st.lists(
        st.sampled_from(["..", ".", "", "a", "link", "up", "secret", "outside", "new", "/", "a:b"]),
        max_size=6,
    ),
    separator=st.sampled_from(["\\", "/", "\\\\", "\\.\\"]),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_put_together_leads_out(tmp_path: Path, parts: list[str], separator: str) -> None:
    root, outside = tmp_path / "share", tmp_path / "outside"
    if not root.exists():
        (root / "a").mkdir(parents=True)
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (root / "link").symlink_to(outside)
        (root / "up").symlink_to("../..")
    feed = open_feed("inotify")
    store = LocalStore(str(root), feed, OpenFiles())
    try:
        opened = store.open(
            OpenRequest(separator.join(parts), AccessMask.GENERIC_ALL, disposition=OPEN_IF)
        )
        where = os.readlink(opened.handle.proc)  # type: ignore[attr-defined]
        assert where == str(root) or where.startswith(f"{root}/")
        store.close(opened.handle)
    except StatusError:
        pass
    finally:
        store.dispose()
        feed.close()
    assert untouched(outside)


def test_renaming_and_linking_lead_nowhere_else(share: Share, outside: Path) -> None:
    (share.root / "link").symlink_to(outside)
    handle = share.create("mine")
    for path in ("..\\outside\\mine", "link\\mine", "link\\secret", "../outside/x", "..", "link"):
        for change in (share.store.rename, share.store.link):
            try:
                change(handle, path, True)
            except StatusError:
                continue
            assert untouched(outside)
            assert os.readlink(handle.proc).startswith(str(share.root))  # type: ignore[attr-defined]
    assert untouched(outside)


def test_a_directory_that_is_swapped_for_a_link_all_the_time(share: Share, outside: Path) -> None:
    """RESOLVE_BENEATH holds at each step of the walk, not just when the walk begins."""
    inner = share.root / "swapped"
    inner.mkdir()
    (inner / "secret").write_text("mine")
    stop = threading.Event()

    def swap() -> None:
        link, parked = share.root / "link", share.root / "parked"
        link.symlink_to(outside)
        while not stop.is_set():
            inner.rename(parked)
            link.rename(inner)
            inner.rename(link)
            parked.rename(inner)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen = set()
        for _ in range(1500):
            try:
                handle = share.open("swapped\\secret", access=AccessMask.FILE_READ_DATA).handle
            except StatusError as error:
                seen.add(error.status)
                continue
            assert share.store.read(handle, 0, 10) == b"mine"
            share.store.close(handle)
            try:
                share.open("swapped\\new", CREATE, options=CreateOptions.FILE_DELETE_ON_CLOSE)
            except StatusError as error:
                seen.add(error.status)
    finally:
        stop.set()
        thread.join()
    assert untouched(outside)


def test_a_file_moved_out_of_the_share_is_not_deleted_over_smb(share: Share, outside: Path) -> None:
    handle = share.create("file")
    (share.root / "file").rename(outside / "kept")
    share.store.set_delete_pending(handle, True)
    share.store.close(handle)
    assert (outside / "kept").exists()


def test_a_file_moved_out_of_the_share_is_not_brought_back(share: Share, outside: Path) -> None:
    handle = share.create("file")
    (share.root / "file").rename(outside / "kept")
    with pytest.raises(StatusError):
        share.store.rename(handle, "back", False)
    assert (outside / "kept").exists()
    share.store.close(handle)


def test_a_directory_moved_out_of_the_share_cannot_be_watched_there(
    share: Share, outside: Path
) -> None:
    handle = share.mkdir("directory")
    (share.root / "directory").rename(outside / "directory")
    with pytest.raises(StatusError):
        share.store.watch(handle, True)
    share.store.close(handle)


def test_special_files_are_neither_opened_nor_listed(share: Share) -> None:
    os.mkfifo(share.root / "fifo")
    with pytest.raises(StatusError) as caught:
        share.open("fifo")  # opening it would wait for a writer, for ever
    assert caught.value.status == NtStatus.STATUS_ACCESS_DENIED
    names = [entry.name for entry in share.listed(share.open("").handle)]
    assert names == [".", ".."]


@pytest.mark.parametrize("stream", ["\ud800", "x\udc00", "ü" * 128, "s\0", "a/b"])
def test_streams_whose_names_cannot_be_kept_are_refused(share: Share, stream: str) -> None:
    with pytest.raises(StatusError) as caught:
        share.create(f"file:{stream}")
    assert caught.value.status == NtStatus.STATUS_OBJECT_NAME_INVALID


def test_times_that_no_filetime_can_say(share: Share) -> None:
    """Who may set them on disk must not be able to break the listings of others."""
    (share.root / "file").touch()
    for seconds in (-(1 << 40), 1 << 33, 1 << 50):
        os.utime(share.root / "file", (seconds, seconds))
        for entry in share.listed(share.open("").handle):
            assert 0 <= entry.attributes.last_write_time < 1 << 63


# --- depth ----------------------------------------------------------------------------------


def deep(top: Path, levels: int) -> None:
    """Deeper than Python recurses, in short names: paths stay below PATH_MAX."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


LEVELS = 1000


@pytest.fixture(params=["inotify", "fanotify"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Share]:
    root = tmp_path / "share"
    with sharing(root, str(request.param)) as share:
        yield share
    subprocess.run(["rm", "-r", root], check=True)  # shutil.rmtree would recurse


@pytest.mark.slow
def test_a_deep_tree_that_appears_is_reported_to_its_end(either: Share) -> None:
    either.watch("")
    deep(either.root, LEVELS)
    told = either.eventually(LEVELS)
    assert len(told) == LEVELS
    assert told[0] == "+d"
    assert told[-1] == "+" + "/".join("d" * LEVELS)


@pytest.mark.slow
def test_a_deep_tree_that_goes_is_reported_to_its_end(either: Share) -> None:
    deep(either.root, LEVELS)
    either.watch("")
    subprocess.run(["rm", "-r", either.root / "d"], check=True)
    told = either.eventually(LEVELS)
    assert told[-1] == "-d"
    assert len(told) == LEVELS
