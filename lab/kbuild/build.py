"""Build ksmbd.ko for a flavour: from a kernel tree, an out-of-tree ksmbd, or Debian's source.

The source is mounted read-only and never written to. Its copy, with the objects, stays in the
flavour's build folder, so that the next build compiles only what changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import backends, lock
from lab.errors import LabError, LabFailed, UsageError
from lab.flavours import folders
from lab.flavours.kernels import Say, guest_of, settings_of
from lab.flavours.settings import DEBIAN_SOURCE
from lab.kbuild import messages, sources
from lab.kbuild.image import ensure_module_image, headers_of
from lab.kbuild.model import BuildFailed, BuiltModule
from lab.kernel.module import read_module

if TYPE_CHECKING:
    from lab.engine.jobs import Mount
    from lab.session import Lab

BUILD_DEADLINE_S = 900.0
BUILDER = ("python3", "/usr/local/lib/lab/build_module.py")
SOURCE, WORK, PATCHES = "/source", "/work", "/patches"


@dataclass(frozen=True)
class Toolchain:
    """What a module is compiled with: an image, the headers in it, and folders they need."""

    image: str
    headers: str
    release: str
    mounts: tuple[Mount, ...] = ()


def build_module(
    lab: Lab,
    flavour: str,
    *,
    source: Path | None = None,
    patches: Sequence[Path] | None = None,
    say: Say,
) -> BuiltModule:
    """Build the module; raise BuildFailed with the compiler's words.

    Without `source`, that of the flavour; without that, Debian's source of the flavour's kernel,
    in `.lab/src/`. `patches` of None are those of the flavour; empty, none are applied.
    """
    begun = time.monotonic()
    settings = settings_of(lab, flavour)
    if source is None and settings.source not in ("", DEBIAN_SOURCE):
        source = _absolute(lab, settings.source)
    series = [
        _absolute(lab, str(patch)) for patch in (settings.patches if patches is None else patches)
    ]
    _require(source, series)
    folder = folders.of_flavour(lab.paths, flavour)
    name = f"lab ksmbd build ({backends.named(flavour)})"
    with lock.held(folder.lock, name):
        tools = toolchain(lab, flavour, say)
        if source is None:
            source = sources.debian_ksmbd(lab, tools.image, tools.release, say)
        return _build(lab, folder, tools, source, series, say, begun)


def toolchain(lab: Lab, flavour: str, say: Say) -> Toolchain:
    """What builds modules for a flavour's kernel."""
    from lab.kbuild import kernel
    from lab.kbuild.image import ensure_kernel_image

    settings = settings_of(lab, flavour)
    release = guest_of(lab, flavour).release
    if settings.kernel_from in ("same", "debian"):
        return Toolchain(ensure_module_image(lab, flavour, say), headers_of(release), release)
    image = ensure_kernel_image(lab, settings.suite or lab.settings.debian.suite, say)
    if settings.kernel_from == "tree":
        tree = kernel.tree_of(lab, flavour, settings, image, say)
        return Toolchain(image, kernel.BUILD, release, kernel.mounts_of(lab, flavour, tree))
    build = own_headers(lab, flavour, release)
    return Toolchain(image, str(build), release, _with_its_source(build))


def own_headers(lab: Lab, flavour: str, release: str) -> Path:
    """The build folder of a kernel that the user built, by the link that modules_install leaves."""
    settings = settings_of(lab, flavour)
    modules = lab.paths.root / Path(settings.modules).expanduser()
    for candidate in (modules, modules / release, modules / "lib/modules" / release):
        build = (candidate / "build").resolve()
        if (build / "Module.symvers").is_file():
            return build
    raise LabFailed(
        f"there are no headers of {release}: {modules} has no build/ with a Module.symvers",
        "keep the folder in which you built that kernel; lib/modules/RELEASE/build leads there",
    )


def _with_its_source(build: Path) -> tuple[Mount, ...]:
    """The build folder at its own path, and the tree that its Makefile includes."""
    from lab.engine.jobs import Mount

    mounts = [Mount(build, str(build), read_only=True)]
    makefile = build / "Makefile"
    if not makefile.is_file():
        raise LabFailed(
            f"{build} has no Makefile, so that no module can be built against it",
            "keep the folder in which you built that kernel as make left it",
        )
    found = re.search(r"^include (/\S+)/Makefile$", makefile.read_text(), re.MULTILINE)
    if found and Path(found.group(1)) != build:
        mounts.append(Mount(Path(found.group(1)), found.group(1), read_only=True))
    return tuple(mounts)


def _absolute(lab: Lab, path: str) -> Path:
    """A path of lab.toml: below the lab's root unless absolute."""
    return (lab.paths.root / Path(path).expanduser()).resolve()


def _require(source: Path | None, patches: Sequence[Path]) -> None:
    if source is not None and not source.is_dir():
        raise UsageError(f"--src {source}: there is no such folder", "lab ksmbd build --src DIR")
    for patch in patches:
        if not patch.is_file():
            raise UsageError(f"--patch {patch}: there is no such file", "")


def work_folder(folder: folders.FlavourFolder, source: Path, *, patched: bool) -> Path:
    """The build tree for a source; a patched one has its own, so that neither spoils the other."""
    name = hashlib.sha256(str(source).encode()).hexdigest()[:12]
    return folder.build / (f"{name}-patched" if patched else name)


def _build(
    lab: Lab,
    folder: folders.FlavourFolder,
    tools: Toolchain,
    source: Path,
    patches: Sequence[Path],
    say: Say,
    begun: float,
) -> BuiltModule:
    from lab.engine.jobs import Mount, run_job

    work = work_folder(folder, source, patched=bool(patches))
    _fresh_unless_of(work, tools.release)
    # Lines of a patched file are those of its copy.
    shown = work / "patched" if patches else source
    output = messages.Output(
        {f"{WORK}/tree": str(shown), f"{WORK}/patched": str(work / "patched"), SOURCE: str(source)}
    )
    inside = [f"{PATCHES}/{number:04}-{patch.name}" for number, patch in enumerate(patches, 1)]
    log = work / "build.log"
    with log.open("w", encoding="utf-8") as kept:

        def hear(line: str) -> None:
            shown_line = output.take(line)
            if shown_line:
                kept.write(shown_line + "\n")

        run_job(
            tools.image,
            [
                *BUILDER,
                *("--source", SOURCE, "--headers", tools.headers, "--work", WORK),
                *("--shown", str(shown), "--jobs", str(os.cpu_count() or 1)),
                *(word for patch in inside for word in ("--patch", patch)),
            ],
            lab_name=lab.settings.name,
            mounts=[
                Mount(source, SOURCE, read_only=True),
                Mount(work, WORK),
                *(Mount(p, i, read_only=True) for p, i in zip(patches, inside, strict=True)),
                *tools.mounts,
            ],
            user=f"{os.getuid()}:{os.getgid()}",
            deadline=BUILD_DEADLINE_S,
            on_line=hear,
        )
    for note in output.notes:
        say(note)
    if not output.event("done"):
        message, remedy = messages.explained(output, str(source), tools.release)
        raise BuildFailed(message, remedy or f"the whole log: {log}")
    return _result(work, source, tools.release, output, log, begun)


def _fresh_unless_of(work: Path, release: str) -> None:
    """Make the build tree; one for another kernel is emptied, its objects would not fit."""
    import shutil

    stamp = work / "release"
    if work.exists() and (not stamp.exists() or stamp.read_text() != release):
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    stamp.write_text(release)


def _result(
    work: Path, source: Path, release: str, output: messages.Output, log: Path, begun: float
) -> BuiltModule:
    path = work / "out" / "ksmbd.ko"
    try:
        module = read_module(path.read_bytes(), str(path))
    except (OSError, LabError) as error:
        raise BuildFailed(f"the build left no usable module: {error}", f"{log}") from None
    difference = messages.vermagic_difference(module.vermagic, release)
    if difference:
        raise BuildFailed(difference, "lab up builds kernel and headers that belong together")
    return BuiltModule(
        path=path,
        symbols=work / "out" / "ksmbd.debug.ko",
        source=str(source),
        srcversion=module.srcversion,
        build_id=module.build_id,
        release=release,
        vermagic=module.vermagic,
        changed=tuple(output.event("staged").get("changed", ())),
        warnings=output.warnings,
        notes=tuple(output.notes),
        seconds=round(time.monotonic() - begun, 2),
        log=log,
    )


def install(lab: Lab, flavour: str, built: BuiltModule) -> None:
    """Put a module where the flavour's guest takes it at its next start, with all gdb needs."""
    from lab.state import write_atomically

    folder = folders.of_flavour(lab.paths, flavour)
    write_atomically(folder.module, built.path.read_bytes())
    write_atomically(folder.symbols, built.symbols.read_bytes())
    write_atomically(folder.source_note, built.source.encode())
