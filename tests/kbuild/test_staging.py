"""Staging: which tree it is, what is copied, and that nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import staging


def write(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


KERNEL = (
    "fs/smb/server/Makefile",
    "fs/smb/server/smb2pdu.c",
    "fs/smb/server/mgmt/user_session.c",
    "fs/smb/common/smb2pdu.h",
    "fs/nls/nls_ucs2_utils.h",
    "scripts/asn1_compiler.c",
    "include/linux/asn1.h",
)


def staged(root: Path) -> set[str]:
    return {str(path) for path in staging.files_of(root, staging.layout_of(root))}


def test_of_a_kernel_tree_what_ksmbd_needs_is_taken(tmp_path: Path) -> None:
    write(tmp_path, *KERNEL, "fs/smb/client/inode.c", "fs/nls/nls_utf8.c", "include/linux/fs.h")
    write(tmp_path, "fs/smb/server/smb2pdu.o", "fs/smb/server/.smb2pdu.o.cmd", "fs/smb/.git/x")
    assert staged(tmp_path) == set(KERNEL)


def test_what_an_in_tree_build_made_of_a_grammar_is_not_taken(tmp_path: Path) -> None:
    grammar = "fs/smb/server/ksmbd_spnego_negtokeninit.asn1"
    write(tmp_path, *KERNEL, grammar, f"{grammar}.c", f"{grammar}.h")
    assert staged(tmp_path) == {*KERNEL, grammar}


def test_of_an_out_of_tree_ksmbd_all_sources_are_taken(tmp_path: Path) -> None:
    write(tmp_path, "Makefile", text="obj-$(CONFIG_SMB_SERVER) += ksmbd.o\n")
    write(tmp_path, "smb2pdu.c", "mgmt/user_session.c", "ksmbd.mod.c", ".git/config")
    assert staging.layout_of(tmp_path) is staging.OUT_OF_TREE
    assert staged(tmp_path) == {"Makefile", "smb2pdu.c", "mgmt/user_session.c"}


@pytest.mark.parametrize("names", [(), ("Makefile",), ("fs/smb/server/smb2pdu.c",)])
def test_another_folder_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, *names)
    with pytest.raises(staging.NotKsmbd, match="neither fs/smb/server/Makefile"):
        staging.layout_of(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write(tmp_path / "source", *KERNEL)
    return tmp_path / "source"


def synchronise(source: Path) -> list[str]:
    work = source.parent / "work"
    work.mkdir(exist_ok=True)
    files = list(staging.files_of(source, staging.layout_of(source)))
    changed = staging.synchronise(source, work / "tree", files, work / "manifest")
    return [str(path) for path in changed]


def test_only_what_differs_is_written_again(source: Path) -> None:
    assert set(synchronise(source)) == set(KERNEL)
    tree = source.parent / "work/tree"
    before = {name: (tree / name).stat().st_mtime_ns for name in KERNEL}
    write(source, "fs/smb/server/smb2pdu.c", text="y")
    os.utime(source / "fs/smb/common/smb2pdu.h")  # touched, but the same
    assert synchronise(source) == ["fs/smb/server/smb2pdu.c"]
    same = {name for name in KERNEL if (tree / name).stat().st_mtime_ns == before[name]}
    assert same == set(KERNEL) - {"fs/smb/server/smb2pdu.c"}


def test_a_file_that_is_gone_goes_and_objects_stay(source: Path) -> None:
    synchronise(source)
    write(source.parent / "work/tree", "fs/smb/server/smb2pdu.o")
    (source / "fs/smb/server/mgmt/user_session.c").unlink()
    assert synchronise(source) == ["fs/smb/server/mgmt/user_session.c"]
    assert not (source.parent / "work/tree/fs/smb/server/mgmt/user_session.c").exists()
    assert (source.parent / "work/tree/fs/smb/server/smb2pdu.o").exists()


def test_what_a_killed_build_was_writing_is_made_again(tmp_path: Path) -> None:
    tree, marker = tmp_path / "tree", tmp_path / "building"
    marker.touch()
    write(tree, "whole.o", "half.o", "smb2pdu.c")
    os.utime(tree / "whole.o", (1, 1))
    assert staging.drop_unfinished(tree, marker) == 1
    assert sorted(path.name for path in tree.iterdir()) == ["smb2pdu.c", "whole.o"]
    assert staging.drop_unfinished(tree, marker) == 0
