"""What an open costs of the process's descriptors: a directory that many have open is one."""

from __future__ import annotations

import os
from pathlib import Path

from notify_server.fs.handle import LocalHandle
from notify_server.fs.local.base import as_local
from notify_server.wire.constants import AccessMask

LISTING = AccessMask.FILE_LIST_DIRECTORY | AccessMask.FILE_READ_ATTRIBUTES


def held() -> int:
    return len(os.listdir("/proc/self/fd"))


def opened(share, path: str, access: int) -> LocalHandle:
    return as_local(share.open(path, access=access).handle)


def test_a_directory_has_one_descriptor_for_all_its_watchers(share) -> None:
    (share.root / "d").mkdir()
    first = share.watch("d", tree=False)
    before = held()
    others = [share.watch("d", tree=False) for _ in range(20)]
    assert held() == before
    share.store.close(first)
    (share.root / "d/f").touch()
    assert share.eventually(1) == ["+d/f"]
    assert [entry.name for entry in share.listed(others[7])] == [".", "..", "f"]
    for handle in others:
        share.store.close(handle)
    assert held() == before - 2  # the directory's, and the source's
    assert not share.files


def test_a_descriptor_that_cannot_list_is_not_shared_with_who_may(share) -> None:
    (share.root / "d").mkdir()
    plain = opened(share, "d", AccessMask.FILE_READ_ATTRIBUTES)
    listing = opened(share, "d", LISTING)
    later = opened(share, "d", AccessMask.FILE_READ_ATTRIBUTES)
    assert plain.fd != listing.fd == later.fd
    share.store.close(plain)
    assert share.store.attributes(later).directory


def test_a_directory_that_was_renamed_is_followed_by_all_its_handles(share) -> None:
    (share.root / "d").mkdir()
    first, second = opened(share, "d", LISTING), opened(share, "d", LISTING)
    (share.root / "d").rename(share.root / "e")
    (share.root / "d").mkdir()
    namesake, third = opened(share, "d", LISTING), opened(share, "e", LISTING)
    assert first.fd == second.fd == third.fd != namesake.fd
    assert Path(os.readlink(first.proc)).name == "e"
