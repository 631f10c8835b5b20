"""A folder that is made beside its place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.errors import LabFailed
from lab.partial import folder_beside


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with folder_beside(target) as partial:
        (partial / "file").touch()
        partial.rename(target)
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    assert (target / "file").exists()


def test_nothing_is_left_after_a_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with folder_beside(tmp_path / "target") as partial:
            (partial / "file").touch()
            raise LabFailed("no")

    with pytest.raises(LabFailed):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_that_of_a_killed_process_is_removed_and_no_other(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = {f".target.{gone.pid}.part", f".target.{os.getppid()}.part", f".other.{gone.pid}.part"}
    for name in names:
        (tmp_path / name).mkdir()
    with folder_beside(tmp_path / "target"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == names - {f".target.{gone.pid}.part"}
