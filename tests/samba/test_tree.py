"""Copying and patching a source tree, with the real patch(1)."""

import os
import shutil
from pathlib import Path

import pytest

from lab.samba.inside.tree import Failed, apply_patches, copy, explain_patch

PATCH = """\
--- a/wscript
+++ b/wscript
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
"""
needs_patch = pytest.mark.skipif(not shutil.which("patch"), reason="no patch(1) here")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "bin").mkdir(parents=True)
    (source / "bin/built").touch()
    (source / "wscript").write_text("one\ntwo\nthree\n")
    return source


def test_the_copy_follows_the_source_and_keeps_its_own_builds(source: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (source / "lib/x").mkdir(parents=True)
    (source / "lib/x/bin").write_text("not at the top: copied")
    (source / "link").symlink_to("wscript")
    copy(source, tree, ["bin"], ["wscript"])
    (tree / "bin").mkdir()
    (tree / "bin/memory").touch()
    (tree / "lib/gone").touch()
    before = (tree / "lib/x/bin").stat()
    (source / "wscript").write_text("changed\n")
    (source / "link").unlink()
    (source / "link").mkdir()
    copy(source, tree, ["bin"], ["wscript"])
    assert (tree / "wscript").read_text() == "changed\n"
    assert (tree / "wscript").stat().st_mtime_ns == (source / "wscript").stat().st_mtime_ns
    assert (tree / "link").is_dir()
    assert not (tree / "lib/gone").exists()
    assert (tree / "bin/memory").exists()
    assert not (tree / "bin/built").exists()
    assert (tree / "lib/x/bin").stat().st_ino == before.st_ino


def test_what_was_changed_in_the_copy_comes_back_from_the_source(
    source: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    for _ in range(2):
        copy(source, tree, ["bin"], ["wscript"])
        assert (tree / "wscript").read_text() == "one\ntwo\nthree\n"
        (tree / "wscript").write_text("one\nTWO\nthree\n")
    assert (source / "wscript").read_text() == "one\ntwo\nthree\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(source: Path, tmp_path: Path) -> None:
    (source / "secret").touch(0)
    with pytest.raises(Failed, match=r"cannot be copied: .*/secret: Permission denied"):
        copy(source, tmp_path / "tree", ["bin"], ["wscript"])


@needs_patch
def test_a_hunk_that_does_not_fit_is_named(source: Path, tmp_path: Path) -> None:
    patch = tmp_path / "00-a.patch"
    patch.write_text(PATCH.replace("-two", "-zwei"))
    with pytest.raises(Failed, match=r"^patch a\.patch .* hunk #1 of wscript, at line 1$"):
        apply_patches(source, [patch], print)


def test_what_is_no_such_tree_is_refused_before_anything_is_copied(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(Failed, match=r"it lacks source3/smbd/server\.c"):
        copy(source, tmp_path / "tree", [], ["wscript", "source3/smbd/server.c"])
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "patching file source3/smbd/notify.c\nHunk #1 succeeded at 5.\n"
            "Hunk #2 FAILED at 34 (different line endings).\n1 out of 2 hunks FAILED\n",
            "hunk #2 of source3/smbd/notify.c, at line 34",
        ),
        (
            "patching file a.c\nReversed (or previously applied) patch detected!  Skipping patch.",
            "is in the source already (or reversed): a.c",
        ),
        (
            "can't find file to patch at input line 3\nThe text leading up to this was:\n"
            "|--- a/x.c\n|+++ b/x.c\n",
            "is for a file that is not there: b/x.c",
        ),
    ],
)
def test_what_patch_says_becomes_a_sentence(said: str, words: str) -> None:
    assert explain_patch("p", said).endswith(words)
