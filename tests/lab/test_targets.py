"""Targets: addresses inside the lab's network, and deadlines that fit the accelerator."""

from __future__ import annotations

import pytest

from lab.settings import Settings
from lab.targets import container_target


@pytest.mark.parametrize(
    ("backend", "accelerator", "scale"),
    [("ksmbd", "tcg", 3.0), ("ksmbd", "kvm", 1.0), ("samba", "tcg", 1.0), ("py", "tcg", 1.0)],
)
def test_only_an_emulated_guest_gets_longer_deadlines(
    backend: str, accelerator: str, scale: float
) -> None:
    assert container_target(backend, Settings(), "p", accelerator=accelerator).scale == scale


def test_direct_and_through_the_front() -> None:
    direct = container_target("py", Settings(), "p", accelerator="tcg")
    front = container_target("py", Settings(), "p", accelerator="tcg", through_front=True)
    assert (direct.name, direct.host, direct.port) == ("py", "py", 445)
    assert (front.name, front.host, front.port) == ("py", "server", 445)


def test_the_password_does_not_show() -> None:
    target = container_target("py", Settings(), "hunter2", accelerator="tcg")
    assert "hunter2" not in repr(target)
