"""`lab report`, `diff`, `bundle`, `baseline save`, on a run that lies on disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from lab.cli import main
from lab.cli.completion import candidates
from lab.cli.program import LabProgram, argument_values
from lab.verdicts import baseline
from tests.evidence import run_on_disk

ONE, TWO = "20260101-120000", "20260102-120000"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab with two runs, the same but for one verdict."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "docker-compose.yml").touch()
    for name in [name for name in os.environ if name.startswith("LAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LAB_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in (ONE, TWO):
        run_on_disk.make(tmp_path / ".lab/runs" / name)
    path = tmp_path / ".lab/runs" / TWO / "matrix.json"
    matrix = json.loads(path.read_text())
    matrix["cells"][0] |= {"verdict": "timeout"}
    for entry in matrix["scenarios"]:
        entry["fingerprint"] = "0" * 16
    path.write_text(json.dumps(matrix))
    return tmp_path


def run(*words: str) -> int:
    return main(["lab", *words])


def test_the_report_of_the_latest_run_is_made_anew(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report") == 0
    page = Path(capsys.readouterr().out.strip())
    assert page == root / ".lab/runs" / TWO / "report.html"
    assert "4.22.8" in page.read_text(), "the versions of then are kept"
    assert run("report", "previous", "--json") == 0
    assert json.loads(capsys.readouterr().out)["summary"].endswith(f"{ONE}/summary.md")


def test_two_servers_are_compared(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", "h1", "py", "ksmbd", "--run", ONE) == 0
    said = capsys.readouterr().out
    assert "= first difference =" in said
    assert "First difference: py parks CHANGE_NOTIFY n1, ksmbd answers NOT_IMPLEMENTED" in said
    assert "Rule: MS-SMB2 3.3.5.19" in said
    assert run("diff", "H1", "py", "ksmbd", "--json") == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["rule"]["section"].startswith("MS-SMB2 3.3.5.19")
    assert plain["first"] >= 0


def test_two_runs_are_compared(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", ONE, "latest") == 0
    assert capsys.readouterr().out.startswith("H1 on samba: fail -> timeout")
    assert run("diff", ONE, TWO, "--json") == 0
    (change,) = json.loads(capsys.readouterr().out)
    assert (change["before"], change["after"]) == ("fail", "timeout")
    assert run("diff", ONE, ONE) == 0
    assert capsys.readouterr().out == "No difference.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("diff", "H1"), "takes a scenario and two servers, or two runs"),
        (("diff", "H1", "py", "sambo"), "Did you mean samba?"),
        (("diff", "H9", "py", "samba"), "Did you mean H1?"),
        (("diff", "20260101-12000", "latest"), f"did you mean '{ONE}'?"),
        (("diff", ONE, TWO, "--run", ONE), "--run goes with a scenario"),
        (("report", ONE, TWO), "takes no more arguments"),
        (("bundle", "H9"), "Did you mean H1?"),
        (("run-scenarios", "--repeat", "none"), "a number from 1 to"),
        (("run-scenarios", "--baseline", "none.json"), "cannot be read as a baseline"),
    ],
)
def test_what_is_typed_wrongly_exits_2_and_says_what_there_is(
    root: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run(*words) == 2
    assert said in capsys.readouterr().err


def test_a_bundle_lands_where_one_stands_without_the_labs_password(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = root / ".lab/secrets"
    secrets.mkdir()
    (secrets / "password").write_text("a-password-of-the-lab")
    (root / ".lab/runs" / TWO / "samba/H1/server.log").write_text("a-password-of-the-lab!\n")
    assert run("bundle", "h1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    path = Path(told["bundle"])
    assert path == root / f"notify-lab-H1-{TWO}.tar.gz"
    assert f"notify-lab-H1-{TWO}/README.txt" in [entry["path"] for entry in told["files"]]
    with tarfile.open(path) as tar:
        log = tar.extractfile(f"notify-lab-H1-{TWO}/samba/server.log")
        assert log is not None
        assert log.read() == b"[left out]!\n"


def test_a_bundle_that_cannot_be_written_says_so(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bundle", "H1", "--output", "no/such/folder/x.tar.gz") == 3
    assert "No such file or directory" in capsys.readouterr().err


def test_a_baseline_is_kept_and_can_be_read(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("baseline", "save") == 0
    assert "6 cells" in capsys.readouterr().out
    assert len(baseline.load(root / "baseline.json")["cells"]) == 6
    assert run("baseline", "save", "x.json", "--run", ONE) == 3
    assert "made by an earlier lab" in capsys.readouterr().err


def test_where_nothing_ever_ran(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(root / ".lab")
    assert run("report") == 3
    assert "there is no run" in capsys.readouterr().err


def test_completion_knows_scenarios_servers_and_runs(root: Path) -> None:
    commands = LabProgram().commands

    def offered(*words: str) -> list[str]:
        return candidates(words, commands, argument_values)

    assert offered("report", "2026") == [ONE, TWO]
    assert {"E1", "E2", "E4"} <= set(offered("diff", "E"))
    assert "ksmbd" in offered("diff", "E1", "py", "k")
    assert offered("diff", "H1", "--run", "lat") == ["latest"]
    assert "H1" in offered("bundle", "H")
    assert offered("baseline", "s") == ["save"]


def test_a_full_disk_is_named_and_no_internal_error(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    assert run("report") == 3
    said = capsys.readouterr().err
    assert said.startswith("lab: No space left on device: ")
    assert "internal error" not in said
