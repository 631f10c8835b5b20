"""What takes the place of the guest's own parts at its start.

    FOLDER/modules/*.ko    each replaces the module of its name, or is loaded before ksmbd
    FOLDER/sbin/*          each replaces the program of that name (ksmbd-tools')

They go into the archive that follows the initramfs: the kernel unpacks both in order, and a later
file takes the place of an earlier one.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cpio import Archive

LOAD_LIST = "usr/lib/modules/load"
MULTICALL = "ksmbd.tools"  # the one program that ksmbd.mountd and its siblings are links to
BEFORE = "ksmbd"

Depends = Callable[[Path], Iterable[str]]


def module_name(path: str) -> str:
    """Return the name that the kernel knows a module file by."""
    return PurePosixPath(path).name.removesuffix(".ko").replace("-", "_")


def depends_of(module: Path) -> list[str]:
    """Return the names of the modules that a module file says it needs."""
    command = ["modinfo", "--field", "depends", str(module)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"override: {module} is no kernel module: {ran.stderr.strip()}")
    return [name.replace("-", "_") for name in re.split(r"[,\s]+", ran.stdout.strip()) if name]


def place(name: str, note: Mapping[str, Any]) -> str:
    """Return where a module lies, relative to its release: its own place, or `updates/`."""
    known = {module_name(path): path for path in (*note["modules"], *note["at_hand"])}
    return str(known.get(name, f"updates/{name}.ko"))


def load_order(note: Mapping[str, Any], needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return all modules to load, in order, when those in `needs` are there with what they need.

    A module that the guest did not load before is loaded ahead of ksmbd, after what it needs
    itself. A need that is neither a file nor here is built into the kernel, or insmod says so.
    """
    order = [str(path) for path in note["modules"]]
    loaded = {module_name(path) for path in order}
    at_hand = [str(path) for path in note["at_hand"]]
    added: list[str] = []

    def visit(name: str) -> None:
        if name in loaded:
            return
        known = {module_name(path) for path in at_hand}
        if name not in needs and name not in known:
            return
        loaded.add(name)
        for need in needs.get(name, ()):
            visit(need)
        added.append(place(name, note))

    for name, wanted in needs.items():
        for need in wanted:
            visit(need)
        visit(name)
    spot = next((i for i, path in enumerate(order) if module_name(path) == BEFORE), len(order))
    return [*order[:spot], *added, *order[spot:]]


def libraries(program: Path) -> list[str]:
    """Return the paths of the shared libraries that a program loads; none for a static one."""
    ran = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", ran.stdout)


def add(
    archive: Archive, folder: Path, note: Mapping[str, Any], depends: Depends = depends_of
) -> list[str]:
    """Add what lies in `folder`; return a word on each part, for the log."""
    said = []
    modules = sorted(folder.glob("modules/*.ko"))
    base = f"usr/lib/modules/{note['release']}"
    for module in modules:
        archive.file(f"{base}/{place(module_name(module.name), note)}", module.read_bytes())
        said.append(f"module {module_name(module.name)}")
    if modules:
        needs = {module_name(module.name): list(depends(module)) for module in modules}
        lines = "".join(f"/{base}/{path}\n" for path in load_order(note, needs))
        archive.file(LOAD_LIST, lines.encode())
    for program in sorted(folder.glob("sbin/*")):
        where = "usr/libexec" if program.name == MULTICALL else "usr/bin"
        archive.file(f"{where}/{program.name}", program.read_bytes(), 0o755)
        said.append(f"program {program.name}")
        for library in libraries(program):
            # /lib is a link to /usr/lib in the guest too; /lib64 holds the loader alone
            real = f"/usr{library}" if library.startswith("/lib/") else library
            if real not in archive:
                archive.copy(Path(library), real)
    return said
