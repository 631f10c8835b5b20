"""Commits of a git tree: named, listed, taken out."""

import os
import subprocess
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.gate import commits


def git(tree: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, "-C", tree, *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three commits of a little kernel tree."""
    tree = tmp_path_factory.mktemp("tree")
    git(tree, "init", "-q")
    for name in (
        "fs/smb/server/smb2pdu.c", "fs/nls/nls_utf8.c", "fs/ext4/inode.c",
        "scripts/asn1_compiler.c", "include/linux/asn1.h", "include/linux/fs.h",
    ):  # fmt: skip
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("one\n")
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "first | of them")
    for word in ("two", "three"):
        (tree / "fs/smb/server/smb2pdu.c").write_text(f"{word}\n")
        git(tree, "commit", "-q", "-a", "-m", word)
    return tree


def test_a_range_is_listed_oldest_first(tree: Path) -> None:
    assert [commit.subject for commit in commits.commits(tree, "HEAD~2..HEAD")] == ["two", "three"]


def test_a_commit_is_taken_out_as_far_as_the_module_needs_it(tree: Path, tmp_path: Path) -> None:
    commit = commits.resolve(tree, "HEAD~1")
    assert str(commit) == f'{commit.hash[:12]} ("two")'
    out = commits.export(tree, commit, tmp_path / "out")
    assert (out / "fs/smb/server/smb2pdu.c").read_text() == "two\n"
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert found == [
        "fs/nls/nls_utf8.c", "fs/smb/server/smb2pdu.c",
        "include/linux/asn1.h", "scripts/asn1_compiler.c",
    ]  # fmt: skip
    assert (tree / "fs/smb/server/smb2pdu.c").read_text() == "three\n"


def test_a_folder_of_a_kernel_stands_for_its_tree(tree: Path, tmp_path: Path) -> None:
    assert commits.top(tree / "fs/smb/server") == tree
    out = commits.export(
        commits.top(tree / "fs/smb"), commits.resolve(tree, "HEAD"), tmp_path / "o"
    )
    assert (out / "fs/smb/server/smb2pdu.c").read_text() == "three\n"
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", tree, bare], check=True)
    assert commits.top(bare) == bare


def test_a_folder_of_another_repository_stands_for_itself(tmp_path: Path) -> None:
    """ksmbd may be one of several things in it."""
    mine = tmp_path / "mine"
    (mine / "ksmbd").mkdir(parents=True)
    (mine / "ksmbd/smb2pdu.c").write_text("one\n")
    (mine / "other.c").touch()
    git(mine, "init", "-q")
    git(mine, "add", ".")
    git(mine, "commit", "-q", "-m", "first")
    assert commits.top(mine / "ksmbd") == mine / "ksmbd"
    out = commits.export(mine / "ksmbd", commits.resolve(mine, "HEAD"), tmp_path / "out")
    assert [path.name for path in out.iterdir()] == ["smb2pdu.c"]


@pytest.mark.parametrize("word", ["no-such-thing", "--output=/tmp/x", "HEAD:fs"])
def test_what_is_no_revision_is_refused(tree: Path, word: str) -> None:
    with pytest.raises(UsageError, match="no revision"):
        commits.resolve(tree, word)


@pytest.mark.parametrize("word", ["HEAD..HEAD", "a..b", "--output=x..HEAD"])
def test_a_range_without_commits_is_refused(tree: Path, word: str) -> None:
    with pytest.raises(UsageError, match=r"no commits|no range"):
        commits.commits(tree, word)


def test_a_folder_that_is_no_git_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a git repository"):
        commits.resolve(tmp_path, "HEAD")


def test_a_merge_is_judged_and_what_was_merged_is_not(tree: Path, tmp_path: Path) -> None:
    """A commit of a side branch stands on another base; the tip is always among them."""
    merged = tmp_path / "merged"
    subprocess.run(["git", "clone", "-q", tree, merged], check=True)
    git(merged, "checkout", "-q", "-b", "side", "HEAD~1")
    (merged / "fs/nls/nls_utf8.c").write_text("side\n")
    git(merged, "commit", "-q", "-a", "-m", "aside")
    git(merged, "checkout", "-q", "-")
    git(merged, "merge", "-q", "--no-ff", "-m", "merge it", "side")
    found = [commit.subject for commit in commits.commits(merged, "HEAD~2..HEAD")]
    assert found == ["three", "merge it"]


def test_gits_warnings_are_no_commits(tree: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    subprocess.run(["git", "clone", "-q", tree, both], check=True)
    git(both, "branch", "twice", "HEAD~1")
    git(both, "tag", "twice", "HEAD~1")
    assert commits.resolve(both, "twice").subject == "two"
    assert [c.subject for c in commits.commits(both, "twice..HEAD")] == ["three"]


def test_the_repository_of_a_hook_is_not_taken_for_the_tree(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "other/.git/objects"))
    assert commits.resolve(tree, "HEAD").subject == "three"


def test_links_out_of_the_tree_are_left_out(tree: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    subprocess.run(["git", "clone", "-q", tree, linked], check=True)
    (linked / "scripts/asn1_compiler.c").unlink()  # no kernel tree: all of it is taken
    (linked / "linux").symlink_to("/usr/src/linux")
    (linked / "up").symlink_to("../../up")
    (linked / "same").symlink_to("fs/nls/nls_utf8.c")
    git(linked, "add", "-A")
    git(linked, "commit", "-q", "-m", "links")
    out = commits.export(linked, commits.resolve(linked, "HEAD"), tmp_path / "out")
    assert (out / "same").read_text() == "one\n"
    assert not os.path.lexists(out / "linux")
    assert not os.path.lexists(out / "up")


def test_what_is_kept_out_of_archives_is_taken_out_all_the_same(tree: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    subprocess.run(["git", "clone", "-q", tree, mine], check=True)
    (mine / ".gitattributes").write_text("*.c export-ignore\n")
    (mine / "fs/nls/.gitattributes").write_text("* export-subst\n")
    (mine / "fs/nls/nls_utf8.c").write_text("$Format:%H$\n")
    (mine / ".git/info/attributes").write_text("fs/smb export-ignore\n")
    git(mine, "add", ".")
    git(mine, "commit", "-q", "-m", "attributes")
    out = commits.export(mine, commits.resolve(mine, "HEAD"), tmp_path / "out")
    assert (out / "fs/smb/server/smb2pdu.c").read_text() == "three\n"
    assert (out / "fs/nls/nls_utf8.c").read_text() == "$Format:%H$\n"


def test_to_take_a_commit_out_leaves_its_repository_as_it_is(tree: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    subprocess.run(["git", "clone", "-q", tree, mine], check=True)
    git(mine, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tree), "sub")
    git(mine, "rm", "-q", "scripts/asn1_compiler.c")  # no kernel tree: all of it is taken
    git(mine, "commit", "-q", "-m", "a module of its own")
    git(mine, "config", "submodule.recurse", "true")
    git(mine, "sparse-checkout", "set", "--cone", "--sparse-index", "fs/ext4")
    git(mine, "config", "core.splitIndex", "true")
    hook = mine / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    before = {path: path.lstat().st_mtime_ns for path in mine.rglob("*")}
    out = commits.export(mine, commits.resolve(mine, "HEAD"), tmp_path / "out")
    assert (out / "fs/smb/server/smb2pdu.c").read_text() == "three\n"
    assert not (out / "ran").exists()
    assert {path: path.lstat().st_mtime_ns for path in mine.rglob("*")} == before


def test_a_commit_is_taken_out_of_a_bare_repository_and_of_a_worktree(
    tree: Path, tmp_path: Path
) -> None:
    bare, linked = tmp_path / "bare.git", tmp_path / "linked"
    subprocess.run(["git", "clone", "-q", "--bare", tree, bare], check=True)
    git(bare, "worktree", "add", "-q", str(linked), "HEAD~1")
    for number, place in enumerate((bare, linked)):
        out = commits.export(place, commits.resolve(place, "HEAD"), tmp_path / f"out{number}")
        assert (out / "fs/smb/server/smb2pdu.c").read_text() == ("three\n", "two\n")[number]


def test_git_is_quoted_with_its_error_not_with_a_warning_before_it(
    tree: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both"
    subprocess.run(["git", "clone", "-q", tree, both], check=True)
    git(both, "branch", "twice", "HEAD")
    git(both, "tag", "twice", "HEAD")
    with pytest.raises(UsageError, match=r"'twice:fs': [^w]"):
        commits.resolve(both, "twice:fs")
