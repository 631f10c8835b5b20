"""One lab as a command works on it: its paths, settings, state, engine and progress."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lab import lock
from lab.errors import LabFailed
from lab.paths import LabPaths, find_root
from lab.progress import Progress
from lab.secrets import Secrets
from lab.settings import Settings, load
from lab.state import State

if TYPE_CHECKING:
    from lab.engine.sdk import Engine

SMB_PORT = 445
LOOPBACK = "127.0.0.1"


@dataclass
class Lab:
    """Opened by each command; the engine is connected to when it is first needed."""

    paths: LabPaths
    settings: Settings
    environ: Mapping[str, str]
    progress: Progress = field(default_factory=Progress)

    @classmethod
    def open(cls) -> Lab:
        """The lab of the working directory and the environment."""
        paths = find_root(Path.cwd(), os.environ)
        return cls(paths, load(paths.root, os.environ), os.environ)

    @cached_property
    def state(self) -> State:
        return State(self.paths.state)

    @cached_property
    def engine(self) -> Engine:
        """The container engine; raises LabFailed with the remedy where none answers."""
        from lab.engine.sdk import Engine

        return Engine(self.settings.name)

    @property
    def secrets(self) -> Secrets:
        return Secrets(self.paths.secrets)

    def locked(self, command: str) -> AbstractContextManager[None]:
        """Hold the lab's lock for a block."""
        return lock.held(self.paths.lock, command)

    @property
    def remembered_backend(self) -> str:
        """The backend that was switched to last; the setting if none was."""
        return str(self.state.get("active", self.settings.front.backend))

    @property
    def accelerator(self) -> str:
        """What the guest runs on, as the last `lab up` found: kvm or tcg."""
        return str(self.state.get("running_accelerator", {}).get("kind", "tcg"))

    def guest_facts(self, backend: str) -> dict[str, str]:
        """What the guest of a ksmbd node runs on."""
        return {
            "accelerator": self.accelerator,
            "memory": f"{self.settings.ksmbd_of(backend).memory} MiB",
        }

    def front_address(self) -> tuple[str, int]:
        """Where this host reaches the front: its published port."""
        bind = self.settings.front.bind
        host = LOOPBACK if bind == "0.0.0.0" else bind  # noqa: S104 - compared, not bound
        return host, self.engine.port("front", SMB_PORT)

    def direct_address(self, backend: str) -> tuple[str, int]:
        """Where this host reaches a backend past the front."""
        return LOOPBACK, self.engine.port(backend, SMB_PORT)

    def require_running(self, *nodes: str) -> None:
        """Raise LabFailed unless these nodes run."""
        containers = self.engine.containers()
        if not containers:
            raise LabFailed("the lab is not up", "lab up")
        down = [
            node for node in nodes if node not in containers or containers[node].state != "running"
        ]
        if down:
            verb = "is" if len(down) == 1 else "are"
            raise LabFailed(f"{', '.join(down)} {verb} not running", "lab up mends it")
