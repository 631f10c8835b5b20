"""Which files of a source tree were saved, whatever the editor does to save them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.kernel.tree import Saves, changed, is_source, look

Save = Callable[[Path], None]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part in ("fs/smb/server/mgmt", "fs/smb/common", "fs/smb/client", "fs/nls"):
        (tmp_path / part).mkdir(parents=True)
    for name in ("server/smb2pdu.c", "server/mgmt/share_config.c", "common/arc4.c", "client/dir.c"):
        (tmp_path / "fs/smb" / name).write_text("int x;\n")
    return tmp_path


def in_place(path: Path) -> None:
    path.write_text("int yy;\n")


def rename_over(path: Path) -> None:
    new = path.with_name(f"{path.name}.tmp")
    new.write_text("int z;\n")
    os.utime(new, ns=(path.stat().st_mtime_ns,) * 2)  # the same time and size: another file
    new.replace(path)


def delete_first(path: Path) -> None:
    path.unlink()
    path.write_text("int yy;\n")


def touched(path: Path) -> None:
    os.utime(path)


@pytest.mark.parametrize("save", [in_place, rename_over, delete_first, touched])
def test_a_saved_file_is_seen(tree: Path, save: Save) -> None:
    before = look(tree)
    save(tree / "fs/smb/server/smb2pdu.c")
    assert changed(before, look(tree)) == ["fs/smb/server/smb2pdu.c"]


def test_files_come_and_go(tree: Path) -> None:
    before = look(tree)
    (tree / "fs/smb/server/notify.c").write_text("")
    (tree / "fs/smb/common/arc4.c").unlink()
    assert changed(before, look(tree)) == ["fs/smb/common/arc4.c", "fs/smb/server/notify.c"]


def test_what_is_not_of_the_module_is_not_seen(tree: Path) -> None:
    before = look(tree)
    (tree / "fs/smb/client/dir.c").write_text("changed\n")
    for name in (".smb2pdu.c.swp", "smb2pdu.c~", "4913", "#smb2pdu.c#", ".#smb2pdu.c", "vfs.o"):
        (tree / "fs/smb/server" / name).write_text("x")
    assert changed(before, look(tree)) == []


def test_outside_a_kernel_tree_the_whole_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "mgmt").mkdir()
    (tmp_path / "mgmt/user.c").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/x.c").write_text("")
    assert list(look(tmp_path)) == ["mgmt/user.c"]


@pytest.mark.parametrize(
    "name", ["ksmbd.mod.c", "spnego.asn1.c", "spnego.asn1.h", "Module.symvers"]
)
def test_what_a_build_writes_is_no_source(name: str) -> None:
    assert not is_source(name)


def test_a_save_is_told_once_it_has_come_to_rest() -> None:
    one, two, three = ({"a.c": (n, 1, 1)} for n in (1, 2, 3))
    saves = Saves(one, settle=0.3)
    assert saves.take(one, 0.0) == []
    assert saves.take(two, 1.0) == []
    assert saves.take(three, 1.2) == []  # still being written
    assert saves.take(three, 1.4) == []
    assert saves.take(three, 1.5) == ["a.c"]
    assert saves.take(three, 2.0) == []


def test_a_file_that_was_away_for_a_moment_was_not_saved() -> None:
    there, away = {"a.c": (1, 1, 1)}, {}
    saves = Saves(there, settle=0.3)
    saves.take(away, 1.0)
    saves.take(there, 1.2)
    assert saves.take(there, 2.0) == []
