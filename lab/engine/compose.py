"""Start the topology with whichever Compose there is: v2 (`docker compose`) or 1.29."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.engine import explain, process
from lab.errors import LabFailed

UP_DEADLINE_S = 180.0
# In order of preference; `docker compose` exists only where the CLI has the plugin.
COMMANDS: tuple[tuple[str, ...], ...] = (("docker", "compose"), ("docker-compose",))
MISSING = (
    "no Docker Compose was found (neither `docker compose` nor `docker-compose`)",
    "as root: apt-get install docker-compose (Fedora: dnf install docker-compose)",
)


def _answers(command: Sequence[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return process.run([*command, "version"], deadline=20).returncode == 0


def find_command(answers: Callable[[Sequence[str]], bool] = _answers) -> list[str] | None:
    """Return the Compose that works here, or None."""
    return next((list(command) for command in COMMANDS if answers(command)), None)


def read_environment(text: str) -> dict[str, str]:
    """Read an env file of NAME=VALUE lines."""
    lines = (line for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def child_environment(environ: Mapping[str, str], env_file: str) -> dict[str, str]:
    """Return the environment for Compose: what `lab` resolved beats the user's own variables.

    Compose itself would have it the other way round, so that LAB_KSMBD_ACCELERATOR=auto in a shell
    would win over the accelerator that was found to work.
    """
    return {**environ, **read_environment(env_file), "COMPOSE_IGNORE_ORPHANS": "1"}


class Compose:
    """One project: docker-compose.yml in `root` with the variables of `env_file`.

    `more` are files that add to it, as far as they exist.
    """

    def __init__(
        self,
        project: str,
        root: Path,
        env_file: Path,
        command: Sequence[str] | None = None,
        more: Sequence[Path] = (),
    ) -> None:
        self.project = project
        self.root = root
        self.env_file = env_file
        self.files = [root / "docker-compose.yml", *(file for file in more if file.exists())]
        found = list(command) if command else find_command()
        if found is None:
            raise LabFailed(*MISSING)
        self.command: list[str] = found

    def arguments(self, *words: str) -> list[str]:
        """Return a whole command line; its options are those that both Composes know."""
        return [
            *self.command,
            *("--project-name", self.project),
            *("--project-directory", str(self.root)),
            *(word for file in self.files for word in ("--file", str(file))),
            *("--env-file", str(self.env_file)),
            *words,
        ]

    def _run(self, doing: str, *words: str) -> str:
        env = child_environment(os.environ, self.env_file.read_text(encoding="utf-8"))
        ran = process.run(self.arguments(*words), deadline=UP_DEADLINE_S, env=env, cwd=self.root)
        if ran.returncode != 0:
            raise explain.failed(doing, ran.output)
        return ran.output

    def up(self, services: Sequence[str]) -> None:
        """Create and start these services, recreate those whose definition changed."""
        self._run(
            "Compose could not start the lab",
            *("up", "--detach", "--no-build", "--timeout", "2", *services),
        )

    def config(self) -> str:
        """Return the topology as Compose understands it."""
        return self._run("docker-compose.yml is not understood", "config")
