"""Which kernel the image has: asked once, and a failure is not taken for an answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.engine import jobs, sdk
from lab.errors import LabFailed
from lab.flavours.kernels import guest_of
from lab.state import State


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    images = SimpleNamespace(labels=lambda tag: {}, digest=lambda tag: "sha256:1")
    monkeypatch.setattr(sdk, "Images", lambda: images)
    return SimpleNamespace(
        settings=SimpleNamespace(name="notify-lab-x"), state=State(tmp_path / "state.json")
    )


def says(monkeypatch: pytest.MonkeyPatch, code: int, text: str) -> None:
    def run_job(tag: str, argv: object, on_line: Callable[[str], None], **options: Any) -> int:
        on_line(text)
        return code

    monkeypatch.setattr(jobs, "run_job", run_job)


@pytest.mark.parametrize("code", [0, 1])
def test_a_failure_is_told_and_not_remembered(
    lab: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    says(monkeypatch, code, "cat: no such file")
    with pytest.raises(LabFailed, match="cat: no such file"):
        guest_of(lab, "")
    says(monkeypatch, 0, '{"release": "6.12.1"}')
    assert guest_of(lab, "").release == "6.12.1"
    says(monkeypatch, 1, "not asked again")
    assert guest_of(lab, "").release == "6.12.1"
