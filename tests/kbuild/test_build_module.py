"""The builder's script, without a compiler."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def denied(call: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """A system call that may not read one file or folder; to root nothing is forbidden."""

    def instead(path: Any) -> Any:
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return call(path)

    return instead


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("what", ["mgmt", "mgmt/user_session.c"])
def test_what_cannot_be_read_of_the_source_is_told(
    source: Path, monkeypatch: pytest.MonkeyPatch, what: str, patched: bool
) -> None:
    name = Path(what).name
    monkeypatch.setattr(os, "scandir", denied(os.scandir, name))
    monkeypatch.setattr(Path, "read_bytes", denied(Path.read_bytes, name))
    work = source.parent / "work"
    work.mkdir()
    with pytest.raises(build_module.Failed, match=f"/source/{what}: Permission denied") as failed:
        build_module.stage(source, work, [work / "0001-x.patch"] if patched else [])
    assert failed.value.what == "unreadable"
