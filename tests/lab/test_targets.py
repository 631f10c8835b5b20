"""Targets: addresses inside the lab's network, and deadlines that fit the accelerator."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.secrets import Secrets, ensure
from lab.settings import Settings
from lab.targets import container_target


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return ensure(tmp_path)


@pytest.mark.parametrize(
    ("backend", "accelerator", "scale"),
    [("ksmbd", "tcg", 3.0), ("ksmbd", "kvm", 1.0), ("samba", "tcg", 1.0), ("py", "tcg", 1.0)],
)
def test_only_an_emulated_guest_gets_longer_deadlines(
    secrets: Secrets, backend: str, accelerator: str, scale: float
) -> None:
    assert container_target(backend, Settings(), secrets, accelerator=accelerator).scale == scale


def test_direct_and_through_the_front(secrets: Secrets) -> None:
    direct = container_target("py", Settings(), secrets, accelerator="tcg")
    front = container_target("py", Settings(), secrets, accelerator="tcg", through_front=True)
    assert (direct.name, direct.host, direct.port) == ("py", "py", 445)
    assert (front.name, front.host, front.port) == ("py", "server", 445)


def test_the_passwords_do_not_show(secrets: Secrets) -> None:
    target = container_target("py", Settings(), secrets, accelerator="tcg")
    assert target.accounts["second"] == ("tester2", secrets.second_password())
    assert secrets.password() not in repr(target)
    assert secrets.second_password() not in repr(target)
