"""gdb on the guest's kernel, through QEMU's stub.

The stub listens on the loopback of the ksmbd container alone, so gdb runs in a container of the
build image that shares that network. While gdb is attached and not continuing, the guest stands
still, its clock included. QEMU does not let it run again by itself when gdb vanishes, so that is
seen to afterwards.
"""

from __future__ import annotations

import gzip
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lab import backends
from lab.engine import labels, process
from lab.engine.sdk import container_info
from lab.errors import LabFailed
from lab.flavours.folders import FlavourFolder, of_flavour
from lab.kbuild.image import ensure_tools_image
from lab.kernel import guest, symbols
from lab.kernel.module import read_module
from lab.nodes.model import check

if TYPE_CHECKING:
    from lab.session import Lab

STUB = "127.0.0.1:1234"
INSIDE = "/lab"
KERNEL, MODULE, COMMANDS = "kernel", "ksmbd.ko", "commands.gdb"
ASK_DEADLINE_S = 60.0
RESUME_DEADLINE_S = 30.0
# `cat` of each section's file; the shell's * leaves out names with a dot in front.
_SECTIONS = (
    "cd /sys/module/ksmbd/sections && "
    'for name in .[!.]* *; do [ -r "$name" ] && echo "$name $(cat "$name")"; done'
)
_SETTINGS = (
    "set pagination off",
    "set confirm off",
    "set print pretty on",
    "set tcp connect-timeout 10",
)


def prepare(lab: Lab, flavour: str) -> Path:
    """Write what gdb reads into the flavour's folder: symbols, and the commands to begin with."""
    name = backends.named(flavour)
    folder = of_flavour(lab.paths, flavour)
    into = folder.path / "gdb"
    into.mkdir(parents=True, exist_ok=True)
    node = guest.node(lab, name)

    def ask(script: str) -> bytes:
        argv = ["sh", "-c", script]
        return check(node.run(argv, deadline=ASK_DEADLINE_S), name, argv).stdout

    told = ask(f"lab-ksmbd identity; sha1sum </sys/kernel/notes; {_SECTIONS}").decode()
    runs = guest.identities(told)
    begin = [*_SETTINGS]
    if _kernel_symbols(into, told, lambda: gzip.decompress(ask("gzip -1 </proc/kallsyms"))):
        begin.append(f"file {INSIDE}/{KERNEL}")
    if module := _module_that_runs(folder.symbols, runs):
        (into / MODULE).write_bytes(module)
        begin.append(symbols.add_symbol_file(f"{INSIDE}/{MODULE}", symbols.sections_of(told)))
    else:
        lab.progress.say(
            f"no symbols for the module that runs ({' '.join(runs)[:12]}): "
            "lab ksmbd build and lab ksmbd reload give some"
        )
    begin.append(f"target remote {STUB}")
    (into / COMMANDS).write_text("\n".join(begin) + "\n")
    return into


def _kernel_symbols(into: Path, told: str, kallsyms: Callable[[], bytes]) -> bool:
    """Have the kernel's symbols there, asked for once for each kernel; False if it hides them.

    The guest's kernel lies where it was linked (nokaslr), so that its build decides.
    """
    build = next((line.split()[0] for line in told.splitlines() if line.endswith("  -")), "")
    known_for = into / f"{KERNEL}.of"
    if build and known_for.is_file() and known_for.read_text() == build:
        return (into / KERNEL).is_file()
    found = symbols.functions(kallsyms().decode())
    if found:
        (into / KERNEL).write_bytes(symbols.elf(found))
        known_for.write_text(build)
    return bool(found)


def _module_that_runs(path: Path, runs: Sequence[str]) -> bytes | None:
    """The module with its symbols, if it is the one that the guest runs."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    return data if read_module(data, str(path)).identity in runs else None


def command(lab: Lab, flavour: str, folder: Path, gdb: Sequence[str], *flags: str) -> list[str]:
    """`docker run` of gdb beside the guest, in an image that has it."""
    image = ensure_tools_image(lab, flavour, lab.progress.say)
    container = container_info(lab.engine.inspect(backends.named(flavour)))
    return [
        *("docker", "run", "--rm", *flags),
        *("--network", f"container:{container.id}"),
        # Root without capabilities could not read what our umask keeps from others.
        *("--user", f"{os.getuid()}:{os.getgid()}", "--env", "HOME=/tmp"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
        *("--read-only", "--tmpfs", "/tmp"),  # noqa: S108 - the container's own
        *("--label", f"{labels.NAME}={lab.settings.name}", "--label", f"{labels.NODE}="),
        *("--volume", f"{folder}:{INSIDE}:ro"),
        *_source_mount(of_flavour(lab.paths, flavour)),
        *("--entrypoint", "gdb", image, "-nx", "-q", *gdb),
    ]


def _source_mount(folder: FlavourFolder) -> list[str]:
    """The tree that the module was built from, where its debug information says that it is."""
    note = folder.source_note
    source = note.read_text() if note.is_file() else ""
    return ["--volume", f"{source}:{source}:ro"] if source and Path(source).is_dir() else []


def run(lab: Lab, flavour: str, expressions: Sequence[str], *, batch: bool, deadline: float) -> int:
    """gdb on the terminal, or its commands one after another; the guest runs on afterwards."""
    folder = prepare(lab, flavour)
    words = ["-x", f"{INSIDE}/{COMMANDS}"]
    for expression in expressions:
        words += ["-ex", expression]
    # In batch mode without a standard input: at its end gdb would not wait for `continue`.
    flags = ["--init"] if batch else ["--interactive"]
    if not batch and sys.stdin.isatty() and sys.stdout.isatty():
        flags.append("--tty")
    argv = command(lab, flavour, folder, ["--batch", *words] if batch else words, *flags)
    try:
        return _foreground(argv, deadline if batch else None)
    finally:
        resume(lab, flavour, folder)


def _foreground(argv: Sequence[str], deadline: float | None) -> int:
    """Run with our terminal. Ctrl-C is gdb's: it interrupts the guest."""
    sys.stdout.flush()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if deadline is None else None
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL if deadline else None)
        try:
            return child.wait(timeout=deadline)
        except subprocess.TimeoutExpired:
            raise LabFailed(
                f"gdb did not come to the end of its commands within {deadline:g} s: "
                f"{shlex.join(argv[-2:])}",
                "--deadline N gives it more; a breakpoint waits for a request that hits it",
            ) from None
        finally:
            process.end(child, signal.SIGTERM)
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def resume(lab: Lab, flavour: str, folder: Path) -> None:
    """Let a guest run on that gdb left standing."""
    if guest.answers(lab, backends.named(flavour)):
        return
    words = ["--batch", "-ex", f"target remote {STUB}", "-ex", "detach"]
    with suppress(LabFailed):
        process.run(command(lab, flavour, folder, words), deadline=RESUME_DEADLINE_S)
