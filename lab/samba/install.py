"""Put an smbd into the running samba node: only what changed, and prove that it runs.

`.lab/samba/installed/` is mounted into the node where the build tree was in the builder, so smbd
finds its libraries by the paths that the linker wrote down. Empty, the node runs Debian's smbd.
Files are replaced by renaming: an smbd that still runs keeps those it began with.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabFailed
from lab.nodes.model import Node, NodeError, check
from lab.probe import ProbeError, negotiate
from lab.samba.build import TREE_INSIDE, Built
from lab.samba.inside import elf, running
from lab.samba.inside.build_smbd import SYSTEM
from lab.samba.inside.symbols import TABLE
from lab.state import write_atomically

if TYPE_CHECKING:
    from lab.session import Lab

MANIFEST = "installed.json"
SYMBOLS = "symbols.json"
BEFORE = ".before"
SHARED = "bin/shared"
SMBD = "bin/smbd"
ANSWER_DEADLINE_S = 20.0
POLL_S = 0.05


@dataclass(frozen=True)
class Running:
    """The smbd that listens. `mapped`: files of ours that it has in memory → build id."""

    pid: int
    exe: str
    mapped: Mapping[str, str]


@dataclass(frozen=True)
class Installed:
    """What installing did."""

    replaced: tuple[str, ...]
    pid: int
    version: str
    sessions_shut: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            "replaced": list(self.replaced),
            "pid": self.pid,
            "version": self.version,
            "sessions_shut": self.sessions_shut,
            "seconds": round(self.seconds, 2),
        }


def folder(lab: Lab) -> Path:
    """What is mounted into the samba node."""
    return lab.paths.dot_lab / "samba" / "installed"


def manifest(lab: Lab) -> dict[str, Any]:
    """What is installed; {} where it is Debian's smbd."""
    try:
        found: dict[str, Any] = json.loads((folder(lab) / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return found


def symbols(lab: Lab) -> Path:
    """The table of functions of what is installed; there is none for Debian's smbd."""
    return folder(lab) / SYMBOLS


def put(
    target: Path, built: Built, lacking: Mapping[str, Path], changed: list[str] | None = None
) -> list[str]:
    """Bring `target` to what was built; return what was replaced or removed.

    `lacking` are libraries of the system that the node has not: where they go → the copy.
    What is replaced is kept in BEFORE until `roll_back` or the end of the installation. Each name
    is in `changed` before its file is touched, so that what was interrupted can be undone too.
    """
    wanted = {name: built.tree / where for name, (where, _) in built.files.items()} | dict(lacking)
    before = target / BEFORE
    shutil.rmtree(before, ignore_errors=True)
    changed = [] if changed is None else changed
    for name, source in sorted(wanted.items()):
        place = target / name
        if place.exists() and filecmp.cmp(source, place, shallow=False):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        _keep(place, before / name)
        half = place.with_name(f".{place.name}.half")
        shutil.copyfile(source, half)
        half.chmod(0o755)
        changed.append(name)
        os.replace(half, place)
    for name in sorted(_present(target) - wanted.keys()):
        _keep(target / name, before / name)
        changed.append(name)
        (target / name).unlink()
    return changed


def _keep(place: Path, copy: Path) -> None:
    if place.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        os.link(place, copy)


def _present(target: Path) -> set[str]:
    """Files that are installed, as paths below `target`."""
    files = (path for path in (target / "bin").rglob("*") if path.is_file())
    return {path.relative_to(target).as_posix() for path in files}


def roll_back(target: Path, changed: list[str]) -> None:
    """Undo `put`."""
    for name in changed:
        kept = target / BEFORE / name
        if kept.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(kept, target / name)
        else:
            (target / name).unlink(missing_ok=True)
    for half in (target / "bin").rglob(".*.half"):
        half.unlink()
    shutil.rmtree(target / BEFORE, ignore_errors=True)


def ask_running(node: Node) -> Running:
    """Ask the node which smbd listens."""
    # Both files in one go: `running` uses what `elf` defines.
    future = b"from __future__ import annotations\n"
    sources = [Path(str(module.__file__)).read_bytes() for module in (elf, running)]
    script = future + b"\n".join(source.replace(future, b"") for source in sources)
    argv = ["python3", "-IS", "-"]
    done = check(node.run(argv, input=script), node.name, argv)
    return Running(**json.loads(done.text))


def lacking_libraries(node: Node, built: Built) -> dict[str, Path]:
    """Libraries of the builder's Debian that the node does not have."""
    script = 'for path; do [ -e "$path" ] || echo "$path"; done'
    argv = ["sh", "-c", script, "look", *built.system]
    missing = check(node.run(argv), node.name, argv).text.splitlines()
    names = [Path(path).name for path in missing]
    return {f"{SHARED}/{name}": built.tree / SYSTEM / name for name in names}


def stale(found: Running, files: Mapping[str, Any]) -> list[str]:
    """What runs in another version than `files` say, in words; empty if all is as installed."""
    wrong = []
    wanted = {f"{TREE_INSIDE}/{name}": build_id for name, (_, build_id) in files.items()}
    if found.exe != f"{TREE_INSIDE}/{SMBD}":
        wrong.append(f"the smbd that listens is {found.exe or 'none'}")
    for path, build_id in found.mapped.items():
        if path in wanted and wanted[path] != build_id:
            wrong.append(f"{path} has build id {build_id or '(replaced)'}, not {wanted[path]}")
        elif path.endswith(" (deleted)"):
            wrong.append(f"{path} is one from before")
    return wrong


def install(lab: Lab, built: Built, node: Node, asked_by: str) -> Installed:
    """Install into the running node and restart its smbd; what fails is undone."""
    began = time.monotonic()
    target = folder(lab)
    target.mkdir(parents=True, exist_ok=True)
    lacking, changed = lacking_libraries(node, built), list[str]()
    try:
        put(target, built, lacking, changed)
        argv = [f"{TREE_INSIDE}/{SMBD}", "--version"]
        said = node.run(argv)
        if said.returncode != 0:
            raise LabFailed(
                f"the new smbd does not run in the samba node: {said.error_text.strip()}",
                "the one from before goes on; see [samba] configure in lab.toml",
            )
        content = {"asked_by": asked_by, **built.as_json()}
        shut = restart(lab, node) if changed or stale(ask_running(node), built.files) else 0
        found = ask_running(node)
        wrong = stale(found, built.files)
        if wrong:
            raise LabFailed(f"another smbd runs than was installed: {'; '.join(wrong)}")
    except BaseException:
        roll_back(target, changed)
        with suppress(LabFailed):
            restart(lab, node)
        raise
    shutil.rmtree(target / BEFORE, ignore_errors=True)
    write_atomically(target / SYMBOLS, (built.tree / TABLE).read_bytes())
    write_atomically(target / MANIFEST, json.dumps(content, indent=2).encode())
    version = said.text.strip().removeprefix("Version ")
    return Installed(tuple(changed), found.pid, version, shut, time.monotonic() - began)


def remove(lab: Lab, node: Node | None) -> bool:
    """Go back to Debian's smbd; return whether there was another. `node` None: it does not run."""
    target = folder(lab)
    had = bool(manifest(lab)) or (target / "bin").exists()
    for name in (MANIFEST, SYMBOLS, "bin", BEFORE):
        path = target / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if had and node is not None:
        restart(lab, node)
    return had


def restart(lab: Lab, node: Node) -> int:
    """Restart smbd, not the container; return how many sessions through the front were shut.

    Returns when it answers a NEGOTIATE; raise LabFailed if it does not.
    """
    shut = shut_sessions(lab)
    before = ask_running(node).pid
    lab.engine.kill("samba", "SIGHUP")
    end = time.monotonic() + ANSWER_DEADLINE_S
    failure = "it did not end"
    while time.monotonic() < end:
        try:
            if ask_running(node).pid not in (0, before):
                negotiate(*lab.direct_address("samba"), 1.0)
                return shut
        except (ProbeError, NodeError) as error:
            failure = str(error).splitlines()[0]
        time.sleep(POLL_S)
    raise LabFailed(f"smbd does not answer after its restart: {failure}", "lab logs samba")


def shut_sessions(lab: Lab) -> int:
    """Shut what is connected to samba through the front, as `lab switch` does."""
    from lab import switching
    from lab.nodes.registry import container

    containers = lab.engine.containers()
    if "front" not in containers or containers["front"].state != "running":
        return 0
    front = container(lab.engine, "front")
    sessions = switching.servers(front)["samba"].sessions
    if sessions:
        switching.runtime(front, [f"shutdown sessions server {switching.PROXY}/samba"])
    return sessions
