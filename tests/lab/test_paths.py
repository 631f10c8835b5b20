"""Finding the lab's root."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import paths
from lab.errors import UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "lab-root"
    (folder / "templates").mkdir(parents=True)
    (folder / "docker-compose.yml").touch()
    return folder


def test_the_nearest_folder_above_is_the_root(root: Path) -> None:
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    assert paths.find_root(deep, {}).root == root


def test_lab_root_wins(root: Path, tmp_path: Path) -> None:
    assert paths.find_root(tmp_path, {"LAB_ROOT": str(root)}).root == root


def test_a_lab_root_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no lab"):
        paths.find_root(tmp_path, {"LAB_ROOT": str(tmp_path)})


def test_outside_any_lab_the_checkout_of_the_package_serves(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "SOURCE_CHECKOUT", root)
    assert paths.find_root(tmp_path, {}).root == root


def test_nowhere_a_lab_says_what_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "SOURCE_CHECKOUT", tmp_path)
    with pytest.raises(UsageError, match=r"docker-compose\.yml beside a templates/"):
        paths.find_root(tmp_path, {})
