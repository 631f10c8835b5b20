"""The command line is tested in a lab of its own, not in the developer's with its lab.toml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lab, where nothing has ever run."""
    root = tmp_path / "lab"
    (root / "templates").mkdir(parents=True)
    (root / "docker-compose.yml").touch()
    for name in [name for name in os.environ if name.startswith("LAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LAB_ROOT", str(root))
    return root
