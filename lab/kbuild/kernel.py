"""Build a whole kernel for a flavour: `tree` and `config` of lab.toml.

The tree is only read; objects go to `.lab/flavours/<flavour>/build/kernel/` and stay there, so that
the next build compiles what changed. With `vmlinux` in it, that folder is what decodes addresses.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError
from lab.flavours import bzimage, folders
from lab.flavours.kernels import Say, settings_of
from lab.flavours.settings import DEBIAN_SOURCE, FlavourSettings
from lab.kbuild import sources
from lab.kbuild.image import ensure_kernel_image
from lab.kbuild.messages import translated
from lab.kbuild.model import BuildFailed

if TYPE_CHECKING:
    from lab.engine.jobs import Mount
    from lab.session import Lab

BUILD_DEADLINE_S = 6 * 3600.0
LINUX, BUILD, FRAGMENTS = "/linux", "/build", "/fragments"
SHIPPED = "/usr/local/share/lab/config"
LAST_LINES = 40


def build_folder(lab: Lab, flavour: str) -> Path:
    """The flavour's build folder (`O=`); a copy has its original's."""
    own = settings_of(lab, flavour).copied_from or flavour
    return folders.of_flavour(lab.paths, own).build / "kernel"


def tree_of(lab: Lab, flavour: str, settings: FlavourSettings, image: str, say: Say) -> Path:
    """The source tree; Debian's is fetched. UsageError for a tree that cannot be built from."""
    if settings.tree == DEBIAN_SOURCE:
        suite = settings.suite or lab.settings.debian.suite
        return sources.debian_kernel(lab, image, suite, say)
    tree = (lab.paths.root / Path(settings.tree).expanduser()).resolve()
    where = f"[flavours.{flavour}] tree: {tree}"
    if not (tree / "arch/x86").is_dir() or not (tree / "Kconfig").is_file():
        raise UsageError(f"{where} is no Linux source tree", "name the folder that has Kconfig")
    if (tree / ".config").exists() or (tree / "include/config").exists():
        raise UsageError(
            f"{where} was built in place; a tree that is only read cannot be built elsewhere then",
            "make mrproper there, or give image and modules of what you built",
        )
    return tree


def mounts_of(lab: Lab, flavour: str, tree: Path) -> tuple[Mount, ...]:
    """The tree and its build folder as the builder sees them, for kernels and their modules."""
    from lab.engine.jobs import Mount

    build = build_folder(lab, flavour)
    build.mkdir(parents=True, exist_ok=True)
    return (Mount(tree, LINUX, read_only=True), Mount(build, BUILD))


def fragments_of(lab: Lab, settings: FlavourSettings) -> list[tuple[Path, str]]:
    """The fragments: where each is, and where the builder sees it."""
    shipped = lab.paths.images / "kbuild" / "config"
    found = []
    for number, name in enumerate(settings.config):
        own = lab.paths.root / Path(name).expanduser()
        file = shipped / f"{name}.config"
        if "/" in name or not file.is_file():
            file = own
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in shipped.glob("*.config")))
            raise UsageError(
                f"there is no fragment of kernel configuration {name!r}",
                f"name a file, or one of those shipped: {known}",
            )
        found.append((file, f"{FRAGMENTS}/{number:02}-{file.name}"))
    return found


def compile_kernel(
    lab: Lab, flavour: str, settings: FlavourSettings, say: Say
) -> tuple[Path, Path, Mapping[str, Any]]:
    """Build; return bzImage, lib/modules/RELEASE, and what tells this build from another."""
    from lab.engine.jobs import Mount, run_job

    begun = time.monotonic()
    image = ensure_kernel_image(lab, settings.suite or lab.settings.debian.suite, say)
    tree = tree_of(lab, flavour, settings, image, say)
    fragments = fragments_of(lab, settings)
    build = build_folder(lab, flavour)
    mounts = [
        *mounts_of(lab, flavour, tree),
        *(Mount(file, inside, read_only=True) for file, inside in fragments),
    ]
    say(f"building the kernel of {tree} (make says whether there is anything to do)")
    lines: list[str] = []
    _fresh_unless_of(build, tree)
    log = build / "lab.log"
    with log.open("w", encoding="utf-8") as kept:

        def hear(line: str) -> None:
            kept.write(line + "\n")
            kept.flush()
            lines.append(translated(line, {LINUX: str(tree)}))
            if line.startswith("LAB "):
                say(line.removeprefix("LAB "))

        code = run_job(
            image,
            [
                "/usr/local/lib/lab/build-kernel",
                *(LINUX, BUILD, str(os.cpu_count() or 1)),
                *(inside for _, inside in fragments),
            ],
            lab_name=lab.settings.name,
            mounts=mounts,
            user=f"{os.getuid()}:{os.getgid()}",
            deadline=BUILD_DEADLINE_S,
            on_line=hear,
        )
    bzimage_file = build / "arch/x86/boot/bzImage"
    if code != 0 or not bzimage_file.exists():
        said = "\n".join(f"    {line}" for line in lines[-LAST_LINES:])
        raise BuildFailed(f"the kernel of {tree} was not built:\n{said}", f"the whole log: {log}")
    release = bzimage.release_of(bzimage_file.read_bytes())
    say(f"{release} is built ({time.monotonic() - begun:.0f} s)")
    modules = build / "install/lib/modules" / release
    return bzimage_file, modules, _identity(build, modules)


def _fresh_unless_of(build: Path, tree: Path) -> None:
    """Empty the build folder if it is of another tree: make sees both at one path, and would take
    the objects of the one for those of the other wherever its files are older."""
    note = build / "lab.tree"
    if note.is_file() and note.read_text() != str(tree):
        for entry in build.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    note.write_text(str(tree))


def _identity(build: Path, modules: Path) -> dict[str, Any]:
    """What changes when make made anything: the kernel's and the modules' newest objects."""
    installed = build / "install"  # copied anew by every make
    found = [path for path in build.rglob("*.ko") if not path.is_relative_to(installed)]
    objects = [build / "vmlinux", *found]
    newest = max(path.stat().st_mtime_ns for path in objects if path.exists())
    return {"release": modules.name, "newest": newest}
