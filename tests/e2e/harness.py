"""What the end-to-end tests drive: the `lab` command on a copy of this checkout.

A copy, because the lab's name, ports, secrets and state belong to the folder that it lives in: a
lab that the developer has up is never touched.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PARTS = ("docker-compose.yml", "images", "templates", "lab", "notify_server", "requirements")
BACKENDS = ("samba", "ksmbd", "py")
NODES = ("front", *BACKENDS, "client")


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on right now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def copy_checkout(to: Path) -> Path:
    """The parts of this checkout that make a lab, in a folder of their own."""
    to.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, to / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to / part)
    return to


@dataclass
class Lab:
    """One lab: a root folder, the port of its front, and the `lab` command on it."""

    root: Path
    port: int
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "LAB_ROOT": str(self.root),
            "LAB_FRONT_PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            **self.extra,
        }

    def argv(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("lab")), *words]

    def popen(
        self, *words: str, env: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*words),
            env={**self.env, **(env or {})},
            cwd=self.root,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(
        self,
        *words: str,
        status: int | None = 0,
        timeout: float = 300,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `lab WORDS`; fail with its whole output if it does not exit with `status`."""
        child = self.popen(*words, env=env)
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            pytest.fail(f"lab {' '.join(words)}: no end after {timeout} s\n{out}\n{err}")
        if status is not None and child.returncode != status:
            pytest.fail(
                f"lab {' '.join(words)}: exit {child.returncode}, expected {status}\n{out}\n{err}"
            )
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def json(self, *words: str, status: int | None = 0, timeout: float = 300) -> Any:
        """Standard output of `lab WORDS --json`, which must be JSON and nothing else."""
        return json.loads(self(*words, "--json", status=status, timeout=timeout).stdout)

    @property
    def password(self) -> str:
        return (self.root / ".lab/secrets/password").read_text().strip()

    @property
    def passwords(self) -> tuple[str, str]:
        """Of both accounts."""
        return self.password, (self.root / ".lab/secrets/password2").read_text().strip()


def docker(*words: str) -> str:
    """Standard output of the `docker` command."""
    return subprocess.run(
        ["docker", *words], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def labelled(root: Path) -> dict[str, list[str]]:
    """What the engine holds of the lab at `root`, by kind; found by the lab's label alone."""
    state = json.loads((root / ".lab/state.json").read_text())
    names: Sequence[str] = state["names"]
    found: dict[str, list[str]] = {"container": [], "network": [], "volume": []}
    for name in names:
        label = f"label=org.notify-lab.name={name}"
        found["container"] += docker("ps", "-aq", "--filter", label).split()
        found["network"] += docker("network", "ls", "-q", "--filter", label).split()
        found["volume"] += docker("volume", "ls", "-q", "--filter", label).split()
    return found


def engine_answers() -> bool:
    try:
        docker("version")
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def node_container(lab: Lab, node: str) -> str:
    """The id of a node's running container."""
    name = json.loads((lab.root / ".lab/state.json").read_text())["names"][-1]
    return docker(
        "ps", "-q",
        "--filter", f"label=org.notify-lab.name={name}",
        "--filter", f"label=org.notify-lab.node={node}",
    ).strip()  # fmt: skip


def node_address(lab: Lab, node: str) -> str:
    """Its address on the lab's network."""
    (inspected,) = json.loads(docker("inspect", node_container(lab, node)))
    (network,) = inspected["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])
