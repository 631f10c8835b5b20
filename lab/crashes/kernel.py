"""A backend's kernel in the lab: what it reports, what is known of it, and its symbols."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING

from lab import backends
from lab.crashes import decode, known
from lab.crashes.console import Console
from lab.crashes.known import Identified, Known
from lab.crashes.leaks import Leaks
from lab.crashes.model import Crash, Frame
from lab.errors import LabError, LabFailed, UsageError
from lab.flavours import folders
from lab.kbuild.kernel import build_folder
from lab.kernel.guest import identities
from lab.kernel.module import read_module
from lab.nodes.model import Node, check

if TYPE_CHECKING:
    from lab.session import Lab

# The kernel's banner differs from build to build: it has the time, or a number.
ASK = "lab-ksmbd identity; cat /proc/version"
TOOL_DEADLINE_S = 60.0
SCAN_DEADLINE_S = 60.0  # scaled; the guest sleeps and scans


@dataclass
class Watched:
    """`lab.verdicts.columns.Kernel` of a ksmbd node."""

    console: Console
    leaks: Leaks
    known: Sequence[Known] = ()
    run_on: Callable[[Path], decode.Run] | None = None
    find_binaries: Callable[[], Mapping[str, Path]] = dict  # by module; "" is the kernel itself
    binaries: Mapping[str, Path] = field(default_factory=dict, init=False)

    def start(self) -> None:
        """Raises LabError or ValueError if the guest cannot be asked."""
        self.console.start()
        self.binaries = self.find_binaries()
        self.leaks.start()

    def reports(self, *, ended: bool) -> Sequence[Identified]:
        return known.identify(self.console.crashes(ended=ended), self.known)

    def finish(self) -> Sequence[Identified]:
        return known.identify(self.leaks.finish(), self.known)

    def decoded(self, crash: Crash) -> str:
        """Never raises: without symbols, or without a tool to read them, the text as it is."""
        lines: dict[Frame, str] = {}
        frames = decode.frames_in(crash.text)
        for module, binary in self.binaries.items():
            asked = [frame for frame in frames if frame.module == module]
            if asked and self.run_on and binary.exists():
                try:
                    lines |= decode.lines_of(f"/symbols/{binary.name}", asked, self.run_on(binary))
                except LabError as error:
                    return f"{crash.text}\n(no lines from {binary}: {error.message})"
        return decode.annotated(crash.text, lines)


def that_run(told: str, modules: Sequence[Path], kernels: Sequence[Path]) -> Mapping[str, Path]:
    """Those of the files that the guest runs, by what it says of itself; others' lines mislead."""
    runs = identities(told)
    banner = next((line for line in told.splitlines() if line.startswith("Linux version ")), "")
    found = {}
    if module := next((path for path in modules if _identity(path) in runs), None):
        found["ksmbd"] = module
    if kernel := next((path for path in kernels if banner and _has(path, banner)), None):
        found[""] = kernel
    return found


def _identity(path: Path) -> str:
    try:
        return read_module(path.read_bytes(), str(path)).identity
    except (OSError, UsageError):
        return ""


def _has(path: Path, text: str) -> bool:
    """Whether a file contains a text; a vmlinux with debug information takes hundreds of MB."""
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return content.find(text.encode()) >= 0
    except (OSError, ValueError):  # there is none, or an empty one
        return False


def kernel_of(lab: Lab, backend: str, node: Node, scale: float) -> Watched | None:
    """What watches a backend's kernel; None where it has none of its own. `node` is its guest."""
    if not backends.is_ksmbd(backend):
        return None
    symbols = folders.of_backend(lab.paths, backend).symbols
    built = build_folder(lab, backends.flavour(backend))

    def shell(line: str) -> str:
        argv = ["sh", "-c", line]
        return check(node.run(argv, deadline=SCAN_DEADLINE_S * scale), backend, argv).text

    return Watched(
        Console(lambda since: lab.engine.logs(backend, since)),
        Leaks(shell, time.sleep, scale),
        known.load(),
        lambda binary: _tools(lab, backend, binary),
        lambda: that_run(shell(ASK), [symbols, *built.glob("fs/**/ksmbd.ko")], [built / "vmlinux"]),
    )


def _tools(lab: Lab, backend: str, binary: Path) -> decode.Run:
    """binutils, in a throw-away container."""
    from lab.engine.jobs import Mount, run_job
    from lab.kbuild.image import ensure_tools_image

    image = ensure_tools_image(lab, backends.flavour(backend), lambda _: None)

    def run(argv: Sequence[str]) -> str:
        said: list[str] = []
        code = run_job(
            image,
            argv,
            lab_name=lab.settings.name,
            mounts=[Mount(binary.parent, "/symbols", read_only=True)],
            deadline=TOOL_DEADLINE_S,
            on_line=said.append,
        )
        if code != 0:
            raise LabFailed(f"{argv[0]} ended with {code}: {' '.join(said[-1:])}")
        return "\n".join(said)

    return run
