"""A target: one server as a client reaches it. Each column of a run's matrix has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab import backends
from lab.secrets import Secrets
from lab.settings import Settings

SHARE_ROOT = "/srv/share"
SMB_PORT = 445
FRONT_ALIAS = "server"

# Deadlines grow with what a server runs on: emulation makes the guest's CPU several times slower.
SCALES: Mapping[str, float] = {"tcg": 3.0}


@dataclass(frozen=True)
class Target:
    """Where a server answers, and as whom to log on.

    `host` and `port` are as the client of the scenarios sees them; `share_root` is the shared
    folder on the server itself; `scale` multiplies every deadline.
    """

    name: str
    host: str
    port: int
    share: str
    user: str
    password: str = field(repr=False)
    share_root: str = SHARE_ROOT
    scale: float = 1.0
    accounts: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """User and password of the others that scenarios log on as (`model.USERS`)."""


def scale_of(backend: str, settings: Settings, accelerator: str) -> float:
    """What deadlines of a backend are multiplied by."""
    if not backends.is_ksmbd(backend):
        return 1.0
    return SCALES.get(accelerator, 1.0) * settings.slowness_of(backend)


def container_target(
    backend: str,
    settings: Settings,
    secrets: Secrets,
    *,
    accelerator: str,
    through_front: bool = False,
) -> Target:
    """The target of one backend in the lab's network: direct, or at the front's address."""
    return Target(
        name=backend,
        host=FRONT_ALIAS if through_front else backends.service(backend),
        port=SMB_PORT,
        share=settings.share.name,
        user=settings.share.user,
        password=secrets.password(),
        scale=scale_of(backend, settings, accelerator),
        accounts={
            "second": (settings.share.second_user, secrets.second_password()),
            "brief": (settings.share.brief_user, secrets.second_password()),
        },
    )
