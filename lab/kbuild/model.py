"""What a build of the module gives, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabFailed


class BuildFailed(LabFailed):
    """The module was not built; the message has the compiler's words, with the user's paths."""


@dataclass(frozen=True)
class BuiltModule:
    """A module that was built and fits its flavour's kernel.

    `path` is without debug information, `symbols` with it; both lie in the build tree.
    `identity` is the linker's build id, which the running kernel shows.
    """

    path: Path
    symbols: Path
    source: str
    srcversion: str
    build_id: str
    release: str
    vermagic: str
    changed: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    log: Path

    @property
    def identity(self) -> str:
        return self.build_id or self.srcversion

    def as_json(self) -> dict[str, Any]:
        return {
            "module": str(self.path),
            "symbols": str(self.symbols),
            "source": self.source,
            "srcversion": self.srcversion,
            "build_id": self.build_id,
            "release": self.release,
            "vermagic": self.vermagic,
            "changed": list(self.changed),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "seconds": self.seconds,
            "log": str(self.log),
        }
