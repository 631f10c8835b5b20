"""Runs on disk, compared: server with server, and run with run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.evidence import compare
from tests.evidence import run_on_disk


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on_disk.make(tmp_path_factory.mktemp("run"))


def _copy(run_dir: Path, to: Path) -> Path:
    shutil.copytree(run_dir, to, dirs_exist_ok=True)
    return to


def test_two_servers_differ_in_their_first_pdu(run_dir: Path) -> None:
    difference = compare.between_servers(run_dir, "h1", "PY", "samba")
    assert difference.rule is not None
    assert difference.rule.section == "MS-FSA 2.1.5.11.1"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("H2", "py", "samba"), "no scenario H2. Did you mean H1?"),
        (("H1", "py", "sambar"), "no server sambar. Did you mean samba?"),
        (("C2", "py", "ksmbd"), "C2 on ksmbd has no ladder: no capture was taken"),
    ],
)
def test_what_is_not_there_is_said_with_the_nearest(
    run_dir: Path, names: tuple[str, str, str], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        compare.between_servers(run_dir, *names)
    assert says in caught.value.message


def test_a_run_does_not_differ_from_its_copy(run_dir: Path, tmp_path: Path) -> None:
    changes = compare.between_runs(run_dir, _copy(run_dir, tmp_path))
    assert changes == []
    assert compare.render(changes) == "No difference.\n"


def test_a_changed_verdict_comes_first_and_changed_packets_are_told(
    run_dir: Path, tmp_path: Path
) -> None:
    after = _copy(run_dir, tmp_path)
    shutil.copy(run_dir / "py/H1/ladder.json", after / "samba/H1/ladder.json")
    matrix = json.loads((after / "matrix.json").read_text())
    (cell,) = (c for c in matrix["cells"] if (c["server"], c["scenario"]) == ("py", "C2"))
    cell["verdict"] = "fail"
    (after / "matrix.json").write_text(json.dumps(matrix))
    changes = compare.between_runs(run_dir, after)
    assert [(change.server, change.scenario) for change in changes] == [
        ("py", "C2"),
        ("samba", "H1"),
    ]
    text = compare.render(changes)
    assert "C2 on py: pass -> fail\nH1 on samba: fail\n" in text
    assert "MS-FSA 2.1.5.11.1" in text


def test_a_difference_that_touches_no_rule_is_told_too(run_dir: Path, tmp_path: Path) -> None:
    after = _copy(run_dir, tmp_path)
    shutil.copy(run_dir / "py/H1/ladder.json", after / "samba/H1/ladder.json")
    (change,) = compare.between_runs(run_dir, after)
    assert change.difference is not None
    ruled = compare.render([change]).splitlines()
    bare = replace(change, difference=replace(change.difference, rule=None))
    assert compare.render([bare]).splitlines() == ruled[:2]


def test_a_cell_that_only_one_run_has_is_absent_in_the_other(run_dir: Path, tmp_path: Path) -> None:
    after = _copy(run_dir, tmp_path)
    matrix = json.loads((after / "matrix.json").read_text())
    matrix["cells"] = [cell for cell in matrix["cells"] if cell["scenario"] == "H1"]
    (after / "matrix.json").write_text(json.dumps(matrix))
    changes = compare.between_runs(run_dir, after)
    assert {(change.scenario, change.after) for change in changes} == {("C2", compare.ABSENT)}
