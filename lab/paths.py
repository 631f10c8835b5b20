"""Where the lab's files lie: its root, with docker-compose.yml, and `.lab/` below it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UsageError

SOURCE_CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class LabPaths:
    """Every path below one lab's root, by name."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "lab.toml"

    @property
    def compose_file(self) -> Path:
        return self.root / "docker-compose.yml"

    @property
    def templates(self) -> Path:
        return self.root / "templates"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def dot_lab(self) -> Path:
        return self.root / ".lab"

    @property
    def secrets(self) -> Path:
        return self.dot_lab / "secrets"

    @property
    def rendered(self) -> Path:
        return self.dot_lab / "rendered"

    @property
    def compose_env(self) -> Path:
        return self.dot_lab / "compose.env"

    @property
    def compose_flavours(self) -> Path:
        return self.dot_lab / "compose.flavours.yml"

    @property
    def flavours(self) -> Path:
        return self.dot_lab / "flavours"

    @property
    def state(self) -> Path:
        return self.dot_lab / "state.json"

    @property
    def lock(self) -> Path:
        return self.dot_lab / "lock"

    @property
    def timings(self) -> Path:
        return self.dot_lab / "timings.json"

    @property
    def runs(self) -> Path:
        return self.dot_lab / "runs"

    @property
    def captures(self) -> Path:
        return self.dot_lab / "captures"


def is_lab_root(folder: Path) -> bool:
    """Tell whether `folder` holds a lab."""
    return (folder / "docker-compose.yml").is_file() and (folder / "templates").is_dir()


def find_root(cwd: Path, environ: Mapping[str, str]) -> LabPaths:
    """Find the lab: LAB_ROOT, else the nearest folder above `cwd`, else the package's checkout."""
    named = environ.get("LAB_ROOT")
    if named:
        root = Path(named).expanduser().resolve()
        if not is_lab_root(root):
            raise UsageError(
                f"LAB_ROOT={named} is no lab: it lacks docker-compose.yml or templates/",
                "unset LAB_ROOT, or set it to a checkout of notify-lab",
            )
        return LabPaths(root)
    for folder in (cwd, *cwd.parents):
        if is_lab_root(folder):
            return LabPaths(folder.resolve())
    if is_lab_root(SOURCE_CHECKOUT):
        return LabPaths(SOURCE_CHECKOUT)
    raise UsageError(
        f"no lab found in {cwd} or above it (docker-compose.yml beside a templates/)",
        "change into a checkout of notify-lab, or set LAB_ROOT to one",
    )


def default_name(root: Path) -> str:
    """The lab's name where none is set: one per root, so that two checkouts stay apart."""
    return "notify-lab-" + hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:6]
