"""Secrets: made once, private, usable."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from lab import secrets
from lab.errors import LabFailed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_made_secrets_are_private_and_fit_together(tmp_path: Path) -> None:
    made = secrets.ensure(tmp_path / "secrets")
    assert mode(made.folder) == 0o700
    assert {mode(file) for file in made.folder.iterdir()} == {0o600}
    assert len(made.password()) == len(made.second_password()) == 24
    assert made.password() != made.second_password()
    private = load_ssh_private_key(made.identity.read_bytes(), None)
    public = load_ssh_public_key(made.authorized_key.read_bytes())
    assert private.public_key() == public


def test_a_second_time_nothing_changes(tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in secrets.ensure(tmp_path).folder.iterdir()}
    after = {file.name: file.read_bytes() for file in secrets.ensure(tmp_path).folder.iterdir()}
    assert before == after


def test_two_labs_have_two_passwords(tmp_path: Path) -> None:
    first, second = secrets.ensure(tmp_path / "a"), secrets.ensure(tmp_path / "b")
    assert first.password() != second.password()


def test_a_mode_that_is_too_wide_is_tightened(tmp_path: Path) -> None:
    made = secrets.ensure(tmp_path)
    made.password_file.chmod(0o644)
    secrets.ensure(tmp_path)
    assert mode(made.password_file) == 0o600


def test_an_empty_password_file_is_replaced(tmp_path: Path) -> None:
    made = secrets.ensure(tmp_path)
    made.password_file.write_text("")
    assert len(secrets.ensure(tmp_path).password()) == 24


def test_without_a_lab_the_remedy_is_to_bring_it_up(tmp_path: Path) -> None:
    with pytest.raises(LabFailed, match="lab up"):
        secrets.Secrets(tmp_path).password()
