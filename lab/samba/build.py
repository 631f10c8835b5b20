"""Build smbd from a source tree, incrementally, below `.lab/samba/`.

.lab/samba/<key>/   one for each source: tree/ (the copy that is built, with waf's bin/), checkout/
                    (of a git source), build.log, build.json (what came of it), lock
.lab/samba/debian/  Debian's source packages unpacked, Debian's patches applied
.lab/samba/installed/  what the samba node runs (see `install`)
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import lock
from lab.samba import options
from lab.samba.builder import (
    SOURCE_INSIDE,
    Listener,
    Say,
    explain_failure,
    fetched,
    ready_image,
    require_room,
    work,
)
from lab.samba.source import Source
from lab.state import write_atomically

if TYPE_CHECKING:
    from lab.session import Lab

NODE = "samba-build"
# smbd finds its libraries by this path, in the builder and in the node alike.
TREE_INSIDE = "/src/samba"
NEEDED_MIB = 3000


@dataclass(frozen=True)
class Built:
    """An smbd that was built.

    `files`: as smbd finds it below TREE_INSIDE → where it lies below `tree`, and its build id.
    `system`: libraries of the builder's Debian that it loads besides. `seconds` per phase.
    """

    source: str
    patches: tuple[str, ...]
    configure: tuple[str, ...]
    version: str
    tree: Path
    files: Mapping[str, Sequence[str]]
    system: tuple[str, ...]
    seconds: Mapping[str, float]
    log: Path

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "tree": str(self.tree), "log": str(self.log)}


def folder_of(lab: Lab, source: Source) -> Path:
    """Where a source is built."""
    return lab.paths.dot_lab / "samba" / source.key(lab.settings.debian.suite)


def build(
    lab: Lab, source: Source, patches: Sequence[Path], configure: Sequence[str], say: Say
) -> Built:
    """Build it; raise BuildFailed with the tool's own words, Locked while another build runs."""
    from lab.engine.jobs import Mount
    from lab.engine.sdk import Images

    began = time.monotonic()
    folder = folder_of(lab, source)
    tree, unpacked = folder / "tree", folder.parent / "debian"
    for needed in (tree, unpacked):
        needed.mkdir(parents=True, exist_ok=True)
    with lock.held(folder / "lock", "lab samba build"):
        if not (tree / "bin").exists():
            require_room(folder, NEEDED_MIB)
        tag = ready_image(lab, NODE, say)
        (folder / "build.log").unlink(missing_ok=True)
        listener = Listener(folder / "build.log", say)
        try:
            taken = source.folder
            if source.url:
                taken = fetched(lab, tag, source, folder, listener)
            inside = [f"/patches/{number:02}-{patch.name}" for number, patch in enumerate(patches)]
            request = {
                "source": SOURCE_INSIDE if taken else "",
                "patches": inside,
                "configure": [*options.CONFIGURE, *configure],
                "flags": options.FLAGS,
                "image": Images().digest(tag),
                "tree": TREE_INSIDE,
                "jobs": os.cpu_count() or 1,
            }
            write_atomically(folder / "request.json", json.dumps(request).encode())
            mounts = [
                Mount(tree, TREE_INSIDE),
                Mount(unpacked, "/unpacked"),
                Mount(folder / "request.json", "/request.json", read_only=True),
                *(Mount(p, i, read_only=True) for p, i in zip(patches, inside, strict=True)),
            ]
            if taken:
                mounts.append(Mount(taken, SOURCE_INSIDE, read_only=True))
            code = work(lab, tag, "build_smbd", ["/request.json"], mounts, listener)
        finally:
            listener.close()
        # Debian's tarball lies beside what was unpacked of it.
        folders = (path for path in unpacked.glob("samba_*") if path.is_dir())
        shown = str(taken or max(folders, default=unpacked))
        if code != 0 or not listener.result:
            failure = listener.failure or {"text": f"the build ended with exit code {code}"}
            raise explain_failure(f"{source.words} was not built", failure, listener.log, shown)
        result = listener.result
        built = Built(
            source=source.words,
            patches=tuple(map(str, patches)),
            configure=tuple(configure),
            version=result["version"],
            tree=tree,
            files=result["files"],
            system=tuple(result["system"]),
            seconds={**result["seconds"], "total": time.monotonic() - began},
            log=listener.log,
        )
        write_atomically(folder / "build.json", json.dumps(built.as_json(), indent=2).encode())
        return built
