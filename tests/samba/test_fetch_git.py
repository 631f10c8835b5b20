"""Fetching from a repository of this host, with the real git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.samba import builder, repository
from lab.samba.inside import fetch_git
from lab.samba.source import Source

DUBIOUS = """\
fatal: detected dubious ownership in repository at '/home/me/samba'
To add an exception for this directory, call:

\tgit config --global --add safe.directory /home/me/samba
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
"""
SSH = "git@x.org: Permission denied (publickey).\n" + "\n".join(DUBIOUS.splitlines()[4:])


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


def test_a_repository_of_another_owner_is_fetched(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_git, "CONFIGURATION", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")  # and have it back afterwards
    monkeypatch.setenv("GIT_SSL_CAINFO", "")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    assert fetch_git.main([str(origin), "main", str(checkout)]) == 0
    assert (checkout / "wscript").read_text() == "one\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (DUBIOUS, "fatal: detected dubious ownership in repository at '/home/me/samba'"),
        (SSH, "git@x.org: Permission denied (publickey)."),
        ("fatal: couldn't find remote ref mian\n", "fatal: couldn't find remote ref mian"),
        ("warning: a\nerror: b\n\n", "error: b"),
        ("", ""),
    ],
)
def test_git_is_quoted_with_the_line_that_says_why(said: str, why: str) -> None:
    assert fetch_git.reason(said) == why
