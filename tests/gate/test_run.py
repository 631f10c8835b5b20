"""A range, commit by commit: what breaks a commit, and what ends the run."""

from __future__ import annotations

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cli import main
from lab.errors import LabFailed
from lab.gate import run as gating
from lab.gate.sides import plan
from lab.gate.verdict import Verdict
from lab.kbuild.model import BuildFailed
from lab.nodes.model import DeadlineExceeded
from lab.paths import LabPaths

SUBJECTS = ("base", "first", "second", "third")


def commit(tree: Path, subject: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", tree, "add", "."], check=True)
    subprocess.run(["git", *who, "-C", tree, "commit", "-q", "-m", subject], check=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An out-of-tree ksmbd, a word of it changed by each commit."""
    tree = tmp_path / "tree"
    subprocess.run(["git", "init", "-q", tree], check=True)
    for subject in SUBJECTS:
        (tree / "smb2pdu.c").write_text(subject)
        commit(tree, subject)
    return tree


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One whose modules are not built, and whose guests pass everything.

    `building` has for a commit's subject what its build raises.
    """
    progress = SimpleNamespace(say=print, step=lambda *_: nullcontext())
    fake = SimpleNamespace(
        paths=LabPaths(tmp_path), progress=progress, building={}, accelerator="tcg",
        settings=SimpleNamespace(flavours=()), locked=lambda _: nullcontext(),
        require_running=lambda *_: None,
    )  # fmt: skip

    def build(lab: Any, on: str, *, source: Path, **_: Any) -> None:
        if error := lab.building.get((source / "smb2pdu.c").read_text()):
            raise error

    def matrix(self: Any, names: list[str]) -> dict[str, Any]:
        stability = {"verdicts": {"pass": 1}}
        cells = [
            {"server": n, "scenario": "A1", "verdict": "pass", "reason": "", "stability": stability}
            for n in names
        ]
        return {"folder": "run", "cells": cells}

    monkeypatch.setattr(gating, "temporary", lambda *_: nullcontext())
    monkeypatch.setattr(gating, "build_module", build)
    monkeypatch.setattr(gating, "reload_module", lambda *_: None)
    monkeypatch.setattr(gating._Run, "_described", lambda self, what, _: gating.Compared(what))
    monkeypatch.setattr(gating._Run, "_matrix", matrix)
    monkeypatch.setattr("lab.session.Lab.open", lambda: fake)
    monkeypatch.setattr("lab.cli.ksmbd_node.flavour_of", lambda *_: "")
    return fake


def of_series(lab: Any, tree: Path) -> list[Verdict]:
    found: list[Verdict] = []
    series = plan("", "HEAD~3..HEAD", (), in_tree=True, each=True)
    gating.run(lab, gating.Gate(series, (), 1, tree), lambda _: print, found.append)
    return found


def test_a_build_that_does_not_end_is_a_verdict_on_its_commit(lab: Any, tree: Path) -> None:
    lab.building["second"] = DeadlineExceeded("kbuild", ["python3"], 900)
    first, second, third = of_series(lab, tree)
    assert (first.holds, second.bad, third.holds) == (True, True, True)
    assert "did not end within 900 s" in second.broken


def test_a_folder_of_a_kernel_is_built_as_the_kernel(
    lab: Any, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "fs/smb/server").mkdir(parents=True)
    (tree / "scripts").mkdir()
    (tree / "fs/smb/server/smb2pdu.c").touch()
    (tree / "scripts/asn1_compiler.c").touch()
    commit(tree, "a kernel")

    def fail(lab: Any, on: str, *, source: Path, **_: Any) -> None:
        assert (source / "scripts/asn1_compiler.c").exists()
        raise BuildFailed(f"{next(source.rglob('smb2pdu.c'))}:1: error: x")

    monkeypatch.setattr(gating, "build_module", fail)
    found: list[Verdict] = []
    one = plan("ksmbd", "HEAD", (), in_tree=True, each=False)
    gating.run(lab, gating.Gate(one, (), 1, tree / "fs/smb"), lambda _: print, found.append)
    assert found[0].broken == f"{tree}/fs/smb/server/smb2pdu.c:1: error: x"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "code"), [(LabFailed("the engine is gone"), 3), (KeyboardInterrupt(), 130)]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_was_found_before_the_lab_failed_is_printed(
    lab: Any, tree: Path, capsys: pytest.CaptureFixture[str],
    error: BaseException, code: int, as_json: bool,
) -> None:  # fmt: skip
    lab.building["third"] = error
    words = ["gate", "--each", "--candidate", "HEAD~3..HEAD", "--src", str(tree)]
    assert main(["lab", *words, *(["--json"] if as_json else [])]) == code
    said = capsys.readouterr().out
    if as_json:
        told = json.loads(said[said.index("{") :])
        assert (told["holds"], told["finished"], len(told["verdicts"])) == (False, False, 2)
    else:
        assert "## CHANGE_NOTIFY gate: not finished\n" in said
        assert '("second") | passed |' in said
        assert "ended early" in said


def test_a_lab_that_fails_before_a_verdict_says_nothing_of_one(
    lab: Any, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.building["first"] = LabFailed("the engine is gone")
    words = ["gate", "--each", "--candidate", "HEAD~3..HEAD", "--src", str(tree)]
    assert main(["lab", *words]) == 3
    assert "gate:" not in capsys.readouterr().out
