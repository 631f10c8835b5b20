"""The folders of runs: found by name, in their order, and finished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab import runs
from lab.errors import LabFailed, UsageError
from tests.evidence import run_on_disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("20260101-120000", "20260101-120000-10", "20260101-120000-2", "20251231-235959"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "matrix.json").touch()
    (tmp_path / "20270101-000000").mkdir()  # one that never came to its end
    return tmp_path


def test_runs_are_in_the_order_in_which_they_began(folder: Path) -> None:
    assert runs.names(folder) == [
        "20251231-235959",
        "20260101-120000",
        "20260101-120000-2",
        "20260101-120000-10",
    ]


def test_a_run_is_found_by_its_name_by_a_word_or_by_its_path(folder: Path) -> None:
    assert runs.find(folder) == runs.find(folder, "latest") == folder / "20260101-120000-10"
    assert runs.find(folder, "previous") == folder / "20260101-120000-2"
    assert runs.find(folder, "20251231-235959").name == "20251231-235959"
    assert runs.find(folder / "elsewhere", str(folder / "20260101-120000")).name
    with pytest.raises(UsageError) as unknown:
        runs.find(folder, "20260101-12000")
    assert "did you mean '20260101-120000'?" in unknown.value.remedy


def test_where_there_is_no_run_it_is_said(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(LabFailed, match="there is no run"):
        runs.find(tmp_path / "none")
    for name in runs.names(folder)[1:]:
        shutil.rmtree(folder / name)
    with pytest.raises(LabFailed, match="is the only run"):
        runs.find(folder, "previous")


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path) -> None:
    made = [runs.new(tmp_path) for _ in range(3)]
    assert len(set(made)) == 3
    assert all(path.is_dir() for path in made)


def test_a_finished_run_has_its_report_summary_and_versions(tmp_path: Path) -> None:
    run = run_on_disk.make(tmp_path / "run")
    page = runs.finish(run, {"samba": {"smbd": "4.22.8"}, "host": runs.host_versions()})
    assert "4.22.8" in page.read_text()
    summary = (run / "summary.md").read_text()
    assert "4.22.8" in summary
    assert "| scenario | samba | ksmbd | py |" in summary
