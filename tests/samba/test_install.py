"""Putting files where the node has them, undoing it, and telling what runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.samba.build import TREE_INSIDE, Built
from lab.samba.inside.elf import build_id
from lab.samba.inside.peer import peer_port
from lab.samba.install import Running, put, roll_back, stale


def built(tree: Path, **files: str) -> Built:
    """An smbd whose files have these contents; a file's name has __ for /."""
    found = {}
    for name, content in files.items():
        real = tree / "bin/default" / name
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(content)
        found[f"bin/{name.replace('__', '/')}"] = [f"bin/default/{name}", f"id of {content}"]
    return Built("x", (), (), "4", tree, found, (), {}, tree / "log")


def content(target: Path) -> dict[str, str]:
    files = (path for path in target.rglob("*") if path.is_file() and ".before" not in path.parts)
    return {path.relative_to(target).as_posix(): path.read_text() for path in files}


def test_only_what_differs_is_replaced_and_what_is_not_wanted_goes(tmp_path: Path) -> None:
    target = tmp_path / "installed"
    first = built(tmp_path / "1", smbd="a", shared__x="x", shared__old="o")
    assert put(target, first, {}) == ["bin/shared/old", "bin/shared/x", "bin/smbd"]
    inode = (target / "bin/smbd").stat().st_ino
    assert put(target, built(tmp_path / "2", smbd="a", shared__x="y"), {}) == [
        "bin/shared/x",
        "bin/shared/old",
    ]
    assert content(target) == {"bin/smbd": "a", "bin/shared/x": "y"}
    assert (target / "bin/smbd").stat().st_ino == inode


def test_an_installation_can_be_undone(tmp_path: Path) -> None:
    target = tmp_path / "installed"
    put(target, built(tmp_path / "1", smbd="a", shared__x="x"), {})
    before = content(target)
    changed = put(target, built(tmp_path / "2", smbd="b", shared__new="n"), {})
    roll_back(target, changed)
    assert content(target) == before
    assert not (target / ".before").exists()


def test_a_copying_that_is_interrupted_can_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "installed"
    put(target, built(tmp_path / "1", smbd="a", shared__x="x"), {})
    before, changed = content(target), list[str]()
    copy = shutil.copyfile

    def interrupted(source: Path, half: Path) -> None:
        copy(source, half)
        if half.name == ".smbd.half":
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put(target, built(tmp_path / "2", smbd="b", shared__x="y"), {}, changed)
    assert changed == ["bin/shared/x"]
    roll_back(target, changed)
    assert content(target) == before


def test_a_library_that_the_node_lacks_comes_along(tmp_path: Path) -> None:
    library = tmp_path / "libunwind.so.8"
    library.write_text("u")
    put(tmp_path / "i", built(tmp_path / "1", smbd="a"), {"bin/shared/libunwind.so.8": library})
    assert content(tmp_path / "i")["bin/shared/libunwind.so.8"] == "u"


def test_what_runs_is_compared_by_build_ids(tmp_path: Path) -> None:
    files = built(tmp_path, smbd="a", shared__x="x").files
    exe, library = f"{TREE_INSIDE}/bin/smbd", f"{TREE_INSIDE}/bin/shared/x"
    assert not stale(Running(7, exe, {exe: "id of a", library: "id of x"}), files)
    (other,) = stale(Running(7, exe, {exe: "id of a", library: "id of y"}), files)
    assert "build id id of y, not id of x" in other
    (debian,) = stale(Running(7, "/usr/sbin/smbd", {}), files)
    assert "/usr/sbin/smbd" in debian
    (gone,) = stale(Running(7, exe, {f"{library} (deleted)": ""}), files)
    assert "from before" in gone


@pytest.mark.skipif(not shutil.which("readelf"), reason="no readelf here")
def test_the_build_id_is_what_readelf_says() -> None:
    program = Path(sys.executable).resolve()
    said = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True)
    ids = [line.split()[-1] for line in said.stdout.splitlines() if "Build ID" in line]
    assert build_id(program.read_bytes()) == (ids[0] if ids else "")


def test_what_is_no_program_has_no_build_id() -> None:
    assert build_id(b"#!/bin/sh\n") == ""


def test_the_clients_port_is_that_of_the_connection_to_445() -> None:
    queues = "00000000:00000000 00:00000000 00000000     0        0"
    table = (
        "  sl  local_address rem_address   st\n"
        f"   0: 00000000:01BD 00000000:0000 0A {queues} 11 1\n"
        f"   1: 030012AC:01BD 040012AC:C350 01 {queues} 12 1\n"
    )
    assert peer_port(table, {"12"}) == 0xC350
    assert peer_port(table, {"11"}) == 0
