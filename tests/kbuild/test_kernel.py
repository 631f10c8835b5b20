"""What tells one build of a kernel from another."""

from __future__ import annotations

import os
from pathlib import Path

from lab.kbuild.kernel import _fresh_unless_of, _identity


def made(path: Path, at: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, ns=(at, at))


def test_any_module_that_was_made_anew_counts_but_not_that_it_was_installed(tmp_path: Path) -> None:
    modules = tmp_path / "install/lib/modules/6.19.0"
    made(tmp_path / "vmlinux", 10)
    made(tmp_path / "crypto/ccm.ko", 10)
    before = _identity(tmp_path, modules)
    made(modules / "kernel/crypto/ccm.ko", 20)
    assert _identity(tmp_path, modules) == before
    made(tmp_path / "crypto/ccm.ko", 20)
    assert _identity(tmp_path, modules) != before


def test_another_tree_is_not_built_on_the_objects_of_the_last_one(tmp_path: Path) -> None:
    build = tmp_path / "kernel"
    made(build / "fs/open.o", 10)
    _fresh_unless_of(build, tmp_path / "one")
    _fresh_unless_of(build, tmp_path / "one")
    assert (build / "fs/open.o").exists()
    _fresh_unless_of(build, tmp_path / "two")
    assert not (build / "fs/open.o").exists()
    assert (build / "lab.tree").read_text() == str(tmp_path / "two")
