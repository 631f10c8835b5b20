"""What a build leaves for those that come after it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab.flavours import folders
from lab.kbuild.build import install
from lab.kbuild.model import BuiltModule
from lab.paths import LabPaths


def test_an_installed_module_has_its_symbols_and_the_tree_of_its_lines_beside(
    tmp_path: Path,
) -> None:
    lab: Any = SimpleNamespace(paths=LabPaths(tmp_path))
    path, symbols = tmp_path / "ksmbd.ko", tmp_path / "ksmbd.debug.ko"
    path.write_bytes(b"stripped")
    symbols.write_bytes(b"whole")
    built = BuiltModule(
        path, symbols, "/home/me/linux", "s", "b", "6.12", "6.12 SMP", (), (), (), 1.0, tmp_path
    )
    install(lab, "", built)
    folder = folders.of_flavour(lab.paths, "")
    assert folder.module.read_bytes() == b"stripped"
    assert folder.symbols.read_bytes() == b"whole"
    assert folder.source_note.read_text() == "/home/me/linux"
