"""`lab ladder`, and the usage of `lab trace` and `lab logs --since-pdu`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lab.cli import main
from tests.evidence import run_on_disk


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab with one run, and no container."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "docker-compose.yml").touch()
    for name in [name for name in os.environ if name.startswith("LAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LAB_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run_on_disk.make(tmp_path / ".lab/runs/20260101-120000")
    return tmp_path


def run(*words: str) -> int:
    return main(["lab", *words])


def test_calls_and_log_lines_stand_under_their_packet(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ladder", "h1", "--server", "py", "--trace", "--logs") == 0
    said = capsys.readouterr().out
    notify, calls, line = (
        said.index(words)
        for words in ("CHANGE_NOTIFY", "core.notifying.change_notify (notifying.py:26)", "[info]")
    )
    assert notify < calls < line
    assert "H1 on samba" not in said
    assert run("ladder", "H1", "--server", "py", "--depth", "1", "--trace") == 0
    assert "core.notifying" not in capsys.readouterr().out


def test_every_server_is_shown_and_the_others_are_left_out(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ladder", "C2", "--mail") == 0
    said = capsys.readouterr().out
    assert "C2 on samba" in said
    assert "C2 on ksmbd" not in said, "nothing was captured there"
    assert max(map(len, said.splitlines())) <= 74
    assert run("ladder", "C2", "--json") == 0
    assert sorted(json.loads(capsys.readouterr().out)) == ["py", "samba"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ladder", "H1", "--server", "samba", "--trace"), "lab trace H1"),
        (("ladder", "H9"), "no scenario H9"),
        (("ladder", "H1", "--depth", "deep"), "no number of levels"),
        (("ladder", "C2", "--server", "ksmbd"), "no capture was taken"),
        (("logs", "samba", "--since-pdu", "H1"), "names no packet"),
        (("logs", "samba", "--since-pdu", "H1:999"), "frames: "),
        (("trace",), "which scenario?"),
        (("trace", "H1", "--depth", "0"), "no number of levels"),
        (("trace", "H1", "--server", "smb"), "'samba'"),
    ],
)
def test_what_cannot_be_shown_is_explained(
    root: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert run(*words) != 0
    assert says in capsys.readouterr().err
