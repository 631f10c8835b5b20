"""ksmbd-tools from source: built as for smbd, and put where a guest's start takes programs from."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import backends, lock
from lab.errors import LabFailed
from lab.flavours.folders import of_flavour
from lab.nodes.model import check
from lab.nodes.registry import backend
from lab.samba.builder import (
    SOURCE_INSIDE,
    Listener,
    Say,
    explain_failure,
    fetched,
    ready_image,
    work,
)
from lab.samba.inside.build_tools import PROGRAM
from lab.samba.source import Source
from lab.state import write_atomically

if TYPE_CHECKING:
    from lab.session import Lab

NODE = "ksmbd-tools-build"
TREE_INSIDE = "/src/ksmbd-tools"
MULTICALL = "ksmbd.tools"  # what ksmbd.mountd and its siblings are links to
LDD_DEADLINE_S = 60.0


@dataclass(frozen=True)
class BuiltTools:
    """The program of ksmbd-tools that was built."""

    source: str
    path: Path
    version: str
    build_id: str
    seconds: float
    log: Path

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "path": str(self.path),
            "version": self.version,
            "build_id": self.build_id,
            "seconds": round(self.seconds, 1),
            "log": str(self.log),
        }


def build(lab: Lab, source: Source, say: Say) -> BuiltTools:
    """Build it below `.lab/ksmbd-tools/`; raise BuildFailed with the tool's own words."""
    from lab.engine.jobs import Mount

    began = time.monotonic()
    folder = lab.paths.dot_lab / "ksmbd-tools" / source.key(lab.settings.debian.suite)
    tree = folder / "tree"
    tree.mkdir(parents=True, exist_ok=True)
    with lock.held(folder / "lock", "lab ksmbd tools"):
        tag = ready_image(lab, NODE, say)
        (folder / "build.log").unlink(missing_ok=True)
        listener = Listener(folder / "build.log", say)
        try:
            taken = source.folder or fetched(lab, tag, source, folder, listener)
            request = {
                "source": SOURCE_INSIDE,
                "tree": TREE_INSIDE,
                "jobs": os.cpu_count() or 1,
            }
            write_atomically(folder / "request.json", json.dumps(request).encode())
            mounts = [
                Mount(tree, TREE_INSIDE),
                Mount(folder / "request.json", "/request.json", read_only=True),
                Mount(taken, SOURCE_INSIDE, read_only=True),
            ]
            code = work(lab, tag, "build_tools", ["/request.json"], mounts, listener)
        finally:
            listener.close()
        if code != 0 or not listener.result:
            failure = listener.failure or {"text": f"the build ended with exit code {code}"}
            raise explain_failure(
                f"{source.words} was not built", failure, listener.log, str(taken)
            )
        result = listener.result
        seconds = time.monotonic() - began
        return BuiltTools(
            source.words,
            tree / PROGRAM,
            result["version"],
            result["build_id"],
            seconds,
            listener.log,
        )


def install(lab: Lab, flavour: str, built: BuiltTools) -> None:
    """Put the program where guests of a flavour take it from, and start one with it.

    Its libraries are those of the ksmbd node's image; LabFailed where that lacks one. A guest that
    does not come to serve is replaced by one with the program of before.
    """
    from lab.kernel import guest

    lacking = missing_libraries(lab, built.path)
    if lacking:
        raise LabFailed(
            f"the ksmbd node lacks what the program loads: {', '.join(lacking)}",
            "leave that part out of its configuration (see its ./configure --help)",
        )
    name, place = backends.named(flavour), _place(lab, flavour)
    place.parent.mkdir(parents=True, exist_ok=True)
    before = place.read_bytes() if place.exists() else b""
    data = built.path.read_bytes()
    try:
        write_atomically(place, data, 0o755)
        guest.replace(lab, name)
        running = _running(lab, name)
        if running != hashlib.sha256(data).hexdigest():
            raise LabFailed(f"{name} runs another ksmbd.mountd than was built (sha256 {running})")
    except BaseException as error:  # Ctrl-C too: nobody has seen the program serve
        if before:
            write_atomically(place, before, 0o755)
        else:
            place.unlink(missing_ok=True)
        failed = isinstance(error, LabFailed)
        why = "the guest does not serve with this program" if failed else "interrupted"
        lab.progress.say(f"{why}; the one before goes back")
        guest.replace(lab, name)
        raise


def remove(lab: Lab, flavour: str) -> bool:
    """Back to Debian's ksmbd-tools, with a new guest; return whether there were others."""
    from lab.kernel import guest

    place = _place(lab, flavour)
    had = place.exists()
    place.unlink(missing_ok=True)
    if had:
        guest.replace(lab, backends.named(flavour))
    return had


def _place(lab: Lab, flavour: str) -> Path:
    return of_flavour(lab.paths, flavour).override / "sbin" / MULTICALL


def _running(lab: Lab, name: str) -> str:
    """The SHA-256 of the program that the guest's ksmbd.mountd is."""
    script = 'set -- $(pidof ksmbd.mountd); sha256sum "/proc/$1/exe"'
    node = backend(lab.engine, lab.paths, name)
    argv = ["sh", "-c", script]
    return check(node.run(argv, deadline=30.0), name, argv).text.partition(" ")[0]


def missing_libraries(lab: Lab, program: Path) -> list[str]:
    """Libraries that a program needs and the ksmbd node's image does not have."""
    from lab.engine.build import tag
    from lab.engine.jobs import Mount, run_job

    lines: list[str] = []
    run_job(
        tag(lab.settings.name, "ksmbd"),
        ["ldd", "/program"],
        deadline=LDD_DEADLINE_S,
        on_line=lines.append,
        lab_name=lab.settings.name,
        mounts=[Mount(program, "/program", read_only=True)],
    )
    return [line.split()[0] for line in lines if "not found" in line]
