"""`lab watch` as it is typed: errors before anything is connected to, and the exit codes' help."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cli import main
from lab.watch.credentials import VARIABLE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--filter", "nams"], "did you mean 'names'"),
        (["--count", "x"], "--count 'x'"),
        (["--count", "-1"], "--count '-1'"),
        (["--timeout", "nan"], "--timeout 'nan'"),
        (["--timeout", "inf"], "--timeout 'inf'"),
        (["--colour", "blue"], "there is no colour 'blue'"),
        (["--password", "secret"], "there is no option '--password'"),
        (["//h"], "names no share"),
        (["//h/s", "//h/t"], "takes no more arguments"),
        (["//h/s", "--user", "jo"], "no terminal to ask on"),
        (["//h/s", "--password-file", "/nonexistent"], "No such file"),
    ],
)
def test_usage_errors_exit_2(
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["lab", "watch", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err


def test_a_host_that_does_not_answer_exits_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a lab anywhere: an address needs none."""
    file = tmp_path / "password"
    file.write_text("secret")
    words = ["//127.0.0.1:1/s", "--user", "jo", "--password-file", str(file)]
    assert main(["lab", "watch", *words]) == 3
    said = capsys.readouterr().err
    assert said.startswith("lab: cannot watch //127.0.0.1:1/s: TCP to 127.0.0.1:1:")
    assert "refused" in said
    assert "secret" not in said
