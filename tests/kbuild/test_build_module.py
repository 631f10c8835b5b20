"""The builder's script, without a compiler."""

from __future__ import annotations

from pathlib import Path

import build_module
import pytest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An out-of-tree ksmbd."""
    source = tmp_path / "source"
    (source / "mgmt").mkdir(parents=True)
    (source / "Makefile").write_text("obj-m := ksmbd.o\n")
    (source / "mgmt/user_session.c").write_text("int x;\n")
    return source


def test_the_module_of_the_last_build_does_not_pass_as_this_ones(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = source.parent / "work"
    (work / "tree").mkdir(parents=True)
    (work / "tree/ksmbd.ko").write_text("of the last build")
    monkeypatch.setattr(build_module, "run", lambda argv, cwd=None: None)
    words = {"source": source, "headers": source.parent, "work": work, "shown": source}
    argv = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    assert build_module.main(argv) == 1
    assert "the build made no ksmbd.ko" in capsys.readouterr().out
