"""Names that differ in case only, in directories that change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from notify_server.fs import resolve
from notify_server.fs.resolve import Resolver


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def spelled(resolver: Resolver, name: str) -> str | None:
    found = resolver.find((name,))
    there = found.name if found.fd >= 0 else None
    found.close()
    return there


def test_our_own_changes_need_no_new_listing(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(directory)
    assert spelled(resolver, "nothing") is None
    monkeypatch.setattr(os, "listdir", None)
    with resolver.changing(directory, add="File"):
        (tmp_path / "File").touch()
    assert spelled(resolver, "FILE") == "File"
    with resolver.changing(directory, drop="File"), resolver.changing(directory, add="Other"):
        (tmp_path / "File").rename(tmp_path / "Other")
    assert spelled(resolver, "file") is None
    assert spelled(resolver, "other") == "Other"
    with resolver.changing(directory, drop="Other"):
        (tmp_path / "Other").unlink()
    assert spelled(resolver, "other") is None


def test_a_change_beside_is_seen(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "_DOUBT", 0.0)  # as after a second
    resolver = Resolver(directory)
    assert spelled(resolver, "x") is None
    with resolver.changing(directory, add="ours"):
        (tmp_path / "ours").touch()
        (tmp_path / "Beside").touch()
    assert spelled(resolver, "BESIDE") == "Beside"
    (tmp_path / "Beside").unlink()
    assert spelled(resolver, "beside") is None


def test_a_listing_that_is_older_than_the_disk_finds_nothing_that_is_gone(
    tmp_path: Path, directory: int
) -> None:
    resolver = Resolver(directory)
    (tmp_path / "File").touch()
    assert spelled(resolver, "FILE") == "File"
    with resolver.changing(directory):
        (tmp_path / "File").unlink()
    assert spelled(resolver, "FILE") is None
