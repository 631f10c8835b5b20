"""Finding scenarios by name, group and section."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.scenarios.catalogue import CORE, GROUPS, load, load_files

CATALOGUE = load()
NAMES = [scenario.name for scenario in CATALOGUE]


def selected(*words: str) -> list[str]:
    return [scenario.name for scenario in CATALOGUE.select(words)]


def test_the_core_covers_every_group() -> None:
    assert selected("core") == list(CORE)
    assert {name[0] for name in CORE} == set(GROUPS) == {name[0] for name in NAMES}


def test_the_order_is_that_of_groups_and_numbers() -> None:
    assert NAMES[:7] == ["A1", "A2", "A3", "A4", "A5", "A6", "A6b"]
    assert NAMES.index("C9") < NAMES.index("C10")


def test_no_words_means_all() -> None:
    assert selected() == NAMES


def test_names_and_groups_in_any_case_keep_the_catalogues_order() -> None:
    assert selected("h1", "A1", "a1") == ["A1", "H1"]
    assert selected("b") == [name for name in NAMES if name.startswith("B")]


def test_a_section_holds_its_subsections() -> None:
    assert "G1" in selected("MS-SMB2/3.3.5.16")
    assert set(selected("MS-SMB2/3.3.5.16")) <= set(selected("ms-smb2/3.3.5"))
    assert "A5" not in selected("MS-SMB2/3.3.5")
    with pytest.raises(UsageError):  # 3.3.5.19 is no part of 3.3.5.1
        selected("MS-SMB2/3.3.5.1")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'C22'.*\n.*C2") as caught:
        CATALOGUE.select(["C22"])
    assert caught.value.exit_code == 2
    assert all(name in caught.value.remedy for name in CORE)


def test_importing_a_scenario_runs_nothing() -> None:
    """Not even the recording: the function must not have been called."""
    code = (
        "import lab.scenarios.script as s; s.Script.__init__ = None; "
        "import lab.scenarios.catalogue.a01_interim as m; print(m.interim_shape.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("A1\n", "")


SOURCE = """
from lab.scenarios.script import Script, scenario

@scenario("Q1", title="Mine", cites=[], rests_on="nothing")
def mine(s: Script) -> None:
    s.connect("me").echo()
"""


def test_a_file_of_ones_own_is_a_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    assert [item.name for item in load_files([path]).select(["Q"])] == ["Q1"]


@pytest.mark.parametrize("source", ["", "def", "import no_such_module", None])
def test_a_file_without_scenarios_is_a_usage_error(tmp_path: Path, source: str | None) -> None:
    path = tmp_path / "mine.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(UsageError, match=r"mine\.py"):
        load_files([path])
