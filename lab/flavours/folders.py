"""Where the files of one ksmbd node lie: `.lab/flavours/<flavour>/`, `ksmbd/` for the default one.

guest/      kernel, initrd, guest.json; only of flavours with a kernel of their own
override/   modules/*.ko and sbin/*: what takes the place of the guest's own at its start
symbols/    ksmbd.ko with its debug information, of the module that override/ has
build/      build trees, one for each source
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import backends
from lab.paths import LabPaths

STAMP = "made-of.json"
"""In guest/: everything that decided what it is. A rebuilt kernel may have its old release."""


@dataclass(frozen=True)
class FlavourFolder:
    """The folder of a flavour, its parts by name."""

    path: Path

    @property
    def guest(self) -> Path:
        return self.path / "guest"

    @property
    def override(self) -> Path:
        return self.path / "override"

    @property
    def module(self) -> Path:
        """The module that takes the place of the guest's own."""
        return self.override / "modules" / "ksmbd.ko"

    @property
    def symbols(self) -> Path:
        """That module, not stripped."""
        return self.path / "symbols" / "ksmbd.ko"

    @property
    def source_note(self) -> Path:
        """Which tree the lines of `symbols` are of."""
        return self.symbols.with_name("source")

    @property
    def build(self) -> Path:
        return self.path / "build"

    @property
    def lock(self) -> Path:
        return self.path / "lock"


def of_flavour(paths: LabPaths, flavour: str) -> FlavourFolder:
    """The folder of a flavour; "" is the default one."""
    return FlavourFolder(paths.flavours / backends.folder(flavour))


def of_backend(paths: LabPaths, backend: str) -> FlavourFolder:
    """The folder of a ksmbd node."""
    return of_flavour(paths, backends.flavour(backend))
