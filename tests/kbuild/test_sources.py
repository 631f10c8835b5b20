"""Sources of Debian's kernels: put where they belong, though two fetch them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabFailed
from lab.kbuild.sources import put


def tree(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text(content)
    return folder


def test_the_tree_that_came_first_stays(tmp_path: Path) -> None:
    target = tmp_path / "src/linux-6.12"
    tree(target, "edited already")
    put(tree(tmp_path / "part/linux-source", "as fetched"), target)
    assert (target / "Makefile").read_text() == "edited already"


def test_a_tree_that_cannot_be_put_is_told(tmp_path: Path) -> None:
    target = tmp_path / "nowhere/linux-6.12"
    with pytest.raises(LabFailed, match=r"nowhere/linux-6\.12 cannot be made: No such file"):
        put(tree(tmp_path / "part/linux-source", "as fetched"), target)
