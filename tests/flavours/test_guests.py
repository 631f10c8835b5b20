"""Kernels of one's own: what is taken for one, and what is said of what is none."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.errors import LabFailed, UsageError
from lab.flavours import bzimage, guests, kernels
from lab.flavours.settings import FlavourSettings
from lab.kbuild import kernel
from lab.paths import LabPaths
from lab.settings import load


def bzimage_of(release: str) -> bytes:
    """The setup header of a bzImage, as far as its version."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x100)
    return bytes(head[:0x300]) + f"{release} (me@host) #1 SMP\0".encode() + b"rest"


def test_a_bzimage_tells_its_release() -> None:
    assert bzimage.release_of(bzimage_of("6.19.0-rc3+")) == "6.19.0-rc3+"


@pytest.mark.parametrize("data", [b"", b"\x7fELF" + bytes(0x400), bzimage_of("")])
def test_what_is_no_bzimage_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="setup header"):
        bzimage.release_of(data.replace(b" (me@host)", b"\0"))


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    paths = LabPaths(tmp_path)
    (tmp_path / "lab.toml").write_text(
        '[flavours.own]\nimage = "bzImage"\nmodules = "mods"\n[flavours.sid]\nsuite = "sid"\n'
    )
    return SimpleNamespace(paths=paths, settings=load(tmp_path, {}))


def modules(folder: Path) -> Path:
    (folder / "kernel/fs/smb/server").mkdir(parents=True)
    (folder / "kernel/fs/smb/server/ksmbd.ko").write_bytes(b"module")
    (folder / "modules.builtin").touch()
    (folder / "build").symlink_to("/nowhere")
    return folder


@pytest.mark.parametrize("place", ["mods/lib/modules/6.19.0", "mods/6.19.0"])
def test_modules_are_found_where_modules_install_leaves_them(lab: Any, place: str) -> None:
    (lab.paths.root / "bzImage").write_bytes(bzimage_of("6.19.0"))
    expected = modules(lab.paths.root / place)
    settings = lab.settings.flavours["own"]
    assert guests._image_and_modules(lab, "own", settings)[1] == expected


def test_kernel_and_modules_of_two_builds_are_named_both(lab: Any) -> None:
    (lab.paths.root / "bzImage").write_bytes(bzimage_of("6.19.0"))
    modules(lab.paths.root / "mods/lib/modules/6.18.1")
    with pytest.raises(UsageError, match=r"is 6\.19\.0, and in .* no modules .*\(but 6\.18\.1\)"):
        guests._image_and_modules(lab, "own", lab.settings.flavours["own"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ((), "there is no file"),
        (("bzImage",), "there is no folder"),
        (("bzImage", "mods/"), "is no bzImage: it has no setup header"),
    ],
)
def test_what_is_missing_is_named(lab: Any, make: tuple[str, ...], words: str) -> None:
    for name in make:
        path = lab.paths.root / name
        path.mkdir() if name.endswith("/") else path.write_bytes(b"x")
    with pytest.raises(UsageError, match=words):
        guests._image_and_modules(lab, "own", lab.settings.flavours["own"])


def test_a_kernel_is_laid_out_as_debians_packages_are(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(b"kernel")
    guests.lay_out(image, modules(tmp_path / "mods/6.19.0"), tmp_path / "root")
    assert (tmp_path / "root/boot/vmlinuz-6.19.0").read_bytes() == b"kernel"
    release = tmp_path / "root/usr/lib/modules/6.19.0"
    assert (release / "kernel/fs/smb/server/ksmbd.ko").exists()
    assert not (release / "build").exists()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "guest"
    with guests._replaced(target, {"suite": "sid"}) as fresh:
        (fresh / "kernel").write_text("one")
    inode = target.stat().st_ino

    def fail() -> None:
        with guests._replaced(target, {}) as fresh:
            (fresh / "kernel").write_text("two")
            raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"):
        fail()
    assert (target / "kernel").read_text() == "one"
    assert guests._stamp(target) == {"suite": "sid"}
    with guests._replaced(target, {"suite": "forky"}) as fresh:
        (fresh / "kernel").write_text("three")
    assert (target / "kernel").read_text() == "three"
    assert target.stat().st_ino == inode  # a running container has it mounted
    assert [path.name for path in tmp_path.iterdir()] == ["guest"]


def test_a_kernel_that_was_not_made_is_said_with_the_remedy(lab: Any) -> None:
    with pytest.raises(LabFailed, match=r"ksmbd@sid was not made yet\n  lab up ksmbd@sid"):
        kernels.guest_of(lab, "sid")
    note = lab.paths.flavours / "sid/guest/guest.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"release": "7.2.13", "absent": ["x"]}))
    assert kernels.guest_of(lab, "sid") == kernels.Guest("7.2.13", absent=("x",))


def test_a_flavour_that_there_is_not_names_the_nearest(lab: Any) -> None:
    with pytest.raises(UsageError, match=r"there is no flavour 'sit'\n.*did you mean 'sid'"):
        kernels.settings_of(lab, "sit")


def test_a_tree_that_was_built_in_place_is_refused(lab: Any) -> None:
    tree = lab.paths.root / "linux"
    (tree / "arch/x86").mkdir(parents=True)
    settings = FlavourSettings(tree="linux")

    def say(text: str) -> None: ...

    with pytest.raises(UsageError, match="is no Linux source tree"):
        kernel.tree_of(lab, "x", settings, "image", say)
    (tree / "Kconfig").touch()
    assert kernel.tree_of(lab, "x", settings, "image", say) == tree
    (tree / ".config").touch()
    with pytest.raises(UsageError, match=r"was built in place.*\n.*make mrproper"):
        kernel.tree_of(lab, "x", settings, "image", say)


def test_fragments_are_files_or_shipped(lab: Any) -> None:
    shipped = lab.paths.images / "kbuild/config/debug.config"
    shipped.parent.mkdir(parents=True)
    shipped.touch()
    own = lab.paths.root / "mine.config"
    own.touch()
    found = kernel.fragments_of(lab, FlavourSettings(config=("debug", "mine.config")))
    assert found == [(shipped, "/fragments/00-debug.config"), (own, "/fragments/01-mine.config")]
    with pytest.raises(UsageError, match=r"no fragment .* 'debgu'\n.*shipped: debug"):
        kernel.fragments_of(lab, FlavourSettings(config=("debgu",)))


def test_a_debug_kernel_gets_memory_and_time() -> None:
    plain, debug = FlavourSettings(), FlavourSettings(tree="debian", config=("debug",))
    assert (plain.memory_wanted, plain.times_slower) == (0, 1)
    assert (debug.memory_wanted, debug.times_slower) == (1024, 5)
    assert FlavourSettings(config=("debug",), memory=2048, slowness=9).times_slower == 9
