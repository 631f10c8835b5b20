"""Fetching from a repository of this host, with the real git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.samba import builder, repository
from lab.samba.source import Source


def git(*words: str | Path) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], check=True, capture_output=True)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    origin = tmp_path / "origin"
    git("init", "-q", "-b", "main", origin)
    (origin / "wscript").write_text("one\n")
    git("-C", origin, "add", ".")
    git("-C", origin, "commit", "-q", "-m", "first")
    return origin


def test_a_plain_repository_is_its_folder(origin: Path, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", origin, tmp_path / "bare.git")
    assert repository.folders(origin) == [origin]
    assert repository.folders(tmp_path / "bare.git") == [tmp_path / "bare.git"]


def test_a_worktree_brings_the_repository_that_it_is_linked_to(
    origin: Path, tmp_path: Path
) -> None:
    git("-C", origin, "worktree", "add", "-q", tmp_path / "linked")
    assert repository.folders(tmp_path / "linked") == [tmp_path / "linked", origin / ".git"]


def test_a_shared_clone_brings_the_objects_that_it_borrows(origin: Path, tmp_path: Path) -> None:
    one, two, linked = tmp_path / "one", tmp_path / "two", tmp_path / "linked"
    git("clone", "-q", "--shared", origin, one)
    git("clone", "-q", "--shared", one, two)
    (two / ".git/objects/info/alternates").write_text("# a remark\n../../../one/.git/objects\n")
    git("-C", two, "worktree", "add", "-q", linked)
    borrowed = [one / ".git/objects", origin / ".git/objects"]
    assert repository.folders(two) == [two, *borrowed]
    assert repository.folders(linked) == [linked, two / ".git", *borrowed]


def test_borrowed_objects_that_are_gone_are_not_mounted(origin: Path, tmp_path: Path) -> None:
    """The engine would make the folder."""
    (origin / ".git/objects/info/alternates").write_text(f"{tmp_path}/gone\n")
    assert repository.folders(origin) == [origin]


def test_all_of_a_repository_is_mounted_for_the_fetch(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = tmp_path / "linked"
    git("-C", origin, "worktree", "add", "-q", linked)
    given: list[Any] = []

    def work(lab: Any, tag: str, script: str, words: Any, mounts: Any, *_: Any, **__: Any) -> int:
        given.extend(mount.bind() for mount in mounts)
        return 0

    monkeypatch.setattr(builder, "work", work)
    lab: Any = None
    listener: Any = None
    builder.fetched(lab, "tag", Source(url=str(linked), ref="main"), tmp_path / "to", listener)
    assert given == [
        f"{tmp_path}/to/checkout:/checkout:rw",
        *(f"{folder}:{folder}:ro" for folder in (linked, origin / ".git")),
    ]
