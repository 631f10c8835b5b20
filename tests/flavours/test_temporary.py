"""Temporary flavours: there while the block runs, gone after it, however it ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.errors import LabFailed, UsageError
from lab.flavours import temporary
from lab.paths import LabPaths
from lab.settings import load


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "lab.toml").write_text('[flavours.sid]\nsuite = "sid"\n')
    (tmp_path / "templates/ksmbd/etc").mkdir(parents=True)
    (tmp_path / "templates/ksmbd/etc/ksmbd.conf.j2").write_text("[global]\n")
    (tmp_path / "templates/compose").mkdir()
    (tmp_path / "templates/compose/flavours.yml.j2").write_text(
        "{% for flavour in flavours %}{{ flavour.node }} {% endfor %}"
    )
    paths = LabPaths(tmp_path)
    guest = paths.flavours / "sid/guest"
    guest.mkdir(parents=True)
    (guest / "kernel").write_text("7.2")
    removed: list[str] = []
    fake = SimpleNamespace(
        paths=paths,
        settings=load(tmp_path, {}),
        accelerator="tcg",
        engine=SimpleNamespace(remove=removed.append),
        removed=removed,
        started=[],
    )
    monkeypatch.setattr(temporary, "_start", lambda lab, names: lab.started.extend(names))
    return fake


def test_while_it_runs_the_copies_are_nodes_like_others(lab: Any) -> None:
    with temporary.temporary(lab, {"gate-base": "", "gate-1a2b": "sid"}):
        assert lab.settings.backends == (
            "samba", "ksmbd", "ksmbd@sid", "ksmbd@gate-base", "ksmbd@gate-1a2b", "py",
        )  # fmt: skip
        assert lab.started == ["gate-base", "gate-1a2b"]
        folder = lab.paths.flavours / "gate-1a2b"
        assert (folder / "guest/kernel").read_text() == "7.2"
        assert (folder / "override").is_dir()
        assert not (lab.paths.flavours / "gate-base/guest").exists()
        assert (lab.paths.rendered / "ksmbd@gate-base/etc/ksmbd.conf").exists()
        assert lab.settings.flavours["gate-1a2b"].copied_from == "sid"


def test_at_the_end_nothing_of_them_is_left(lab: Any) -> None:
    before = lab.settings

    def fail() -> None:
        with temporary.temporary(lab, {"gate-1a2b": "sid"}):
            raise LabFailed("a scenario could not be run")

    with pytest.raises(LabFailed):
        fail()
    assert lab.settings is before
    assert lab.removed == ["ksmbd@gate-1a2b"]
    assert [path.name for path in lab.paths.flavours.iterdir()] == ["sid"]
    assert (lab.paths.flavours / "sid/guest/kernel").read_text() == "7.2"
    assert lab.paths.compose_flavours.read_text() == "ksmbd@sid "


@pytest.mark.parametrize("name", ["Gate", "sid"])
def test_a_name_that_is_taken_or_cannot_be_is_refused(lab: Any, name: str) -> None:
    with (
        pytest.raises(UsageError, match="is no name for a temporary flavour"),
        temporary.temporary(lab, {name: ""}),
    ):
        pass
