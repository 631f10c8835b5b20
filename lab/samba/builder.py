"""Run the scripts of `lab.samba.inside` in a builder's container; tell progress, keep the log."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lab as package
from lab import render
from lab.engine import explain
from lab.errors import LabFailed
from lab.samba import repository
from lab.samba.inside.fetch_git import EXTRA_CERTIFICATES
from lab.samba.inside.talk import MARK
from lab.samba.progress_lines import percent, step
from lab.samba.source import Source

if TYPE_CHECKING:
    from lab.engine.jobs import Mount
    from lab.session import Lab

Say = Callable[[str], None]

PACKAGE_INSIDE = "/opt/lab"
SOURCE_INSIDE = "/source"
EVERY_S = 15.0  # between two lines of progress
CONTEXT_LINES = 12
DEADLINE_S = 7200.0
FETCH_DEADLINE_S = 1800.0
PHASES = {
    "fetch": "fetching",
    "copy": "copying the source",
    "configure": "configuring",
    "make": "compiling",
}


class BuildFailed(LabFailed):
    """A source tree did not become a program; the message has the tool's own words."""


@dataclass
class Listener:
    """Takes a job's lines: the marked ones for us, the others for the log."""

    log: Path
    say: Say
    clock: Callable[[], float] = time.monotonic
    result: Mapping[str, Any] = field(default_factory=dict)
    failure: Mapping[str, Any] = field(default_factory=dict)
    phase: str = ""
    _told: float = 0.0

    def __post_init__(self) -> None:
        self._file = self.log.open("a", encoding="utf-8", buffering=1)

    def hear(self, line: str) -> None:
        """One line of the job."""
        if line.startswith(MARK + "{"):
            self._understand(json.loads(line.removeprefix(MARK)))
            return
        self._file.write(line + "\n")
        now = self.clock()
        doing = step(line)
        if doing and now - self._told >= EVERY_S:
            self._told = now
            self.say(f"{PHASES.get(self.phase, self.phase)}: {percent(line)} % ({doing})")

    def _understand(self, told: Mapping[str, Any]) -> None:
        kind = told["kind"]
        if kind == "phase":
            self.phase = told["name"]
            self._told = self.clock()
            self.say(PHASES.get(self.phase, self.phase))
        elif kind == "note":
            self.say(told["text"])
        elif kind == "failed":
            self.failure = told
        elif kind == "result":
            self.result = told

    def close(self) -> None:
        self._file.close()


def explain_failure(doing: str, failure: Mapping[str, Any], file: Path, tree: str) -> BuildFailed:
    """The error for a failed build: the compiler's text where there is some, else the last lines.

    `file` is the log; `tree` what the user calls the tree: waf names files as seen from
    bin/default.
    """
    log = file.read_text(encoding="utf-8", errors="replace")
    where = f"the whole log: {file}"
    if failure.get("phase") not in ("configure", "make"):
        return BuildFailed(f"{doing}: {failure.get('text', 'it ended without a word')}", where)
    errors = compiler_errors(log, tree)
    if errors:
        return BuildFailed(f"{doing}: the compiler says\n" + "\n".join(errors), where)
    known = explain.find(explain.last_lines(log, 200))
    if known:
        return BuildFailed(f"{doing}: {known[0]}", known[1])
    return BuildFailed(f"{doing}: {failure['text']}\n{explain.last_lines(log)}", where)


def compiler_errors(log: str, tree: str) -> list[str]:
    """The compiler's errors with the lines around them, paths as in the user's tree."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if re.search(r":\d+:\d+: (fatal )?error: ", line):
            begin = number - 1 if number and "In function" in lines[number - 1] else number
            shown = lines[begin : begin + CONTEXT_LINES]
            shown = shown[: shown.index("")] if "" in shown else shown
            return [
                re.sub(r"(^|\s)\.\./\.\./", rf"\g<1>{tree}/", shown_line) for shown_line in shown
            ]
    return []


def ready_image(lab: Lab, node: str, say: Say) -> str:
    """Make the builder's image unless it is there; return its tag."""
    from lab.engine.base import ensure_base
    from lab.engine.build import ensure_images, tag

    render.render(lab.paths, lab.settings, lab.environ)
    ensure_base(lab.settings.debian.suite, lab.settings.debian.mirror, say)
    ensure_images(lab.paths.rendered, [node], lab.settings.name, say)
    return tag(lab.settings.name, node)


def require_room(folder: Path, mib: int) -> None:
    """Raise LabFailed if the disk cannot hold what is to come."""
    free = shutil.disk_usage(folder).free >> 20
    if free < mib:
        raise LabFailed(
            f"a build needs about {mib} MiB, and {folder} has {free} MiB left",
            "free some space; builds that are not needed any more can be removed there",
        )


def package_mount() -> Mount:
    """Our own package, in a container whose PYTHONPATH is PACKAGE_INSIDE."""
    from lab.engine.jobs import Mount

    return Mount(Path(next(iter(package.__path__))), f"{PACKAGE_INSIDE}/lab", read_only=True)


def work(
    lab: Lab,
    tag: str,
    script: str,
    arguments: Sequence[str],
    mounts: Sequence[Mount],
    listener: Listener,
    *,
    network: str = "none",
    deadline: float = DEADLINE_S,
) -> int:
    """Run one of our scripts in the builder, as the user, so that the user owns what it makes."""
    from lab.engine.jobs import Mount, run_job

    extra = lab.paths.rendered / "samba-build" / "ca" / "extra.crt"
    environment = {"PYTHONPATH": PACKAGE_INSIDE, "HOME": "/tmp", "PYTHONUNBUFFERED": "1"}  # noqa: S108
    shared = [package_mount()]
    if network != "none" and extra.exists():
        shared.append(Mount(extra, EXTRA_CERTIFICATES, read_only=True))
    return run_job(
        tag,
        ["nice", "python3", "-m", f"lab.samba.inside.{script}", *arguments],
        lab_name=lab.settings.name,
        mounts=[*shared, *mounts],
        user=f"{os.getuid()}:{os.getgid()}",
        network=network,
        environment=environment,
        deadline=deadline,
        on_line=listener.hear,
    )


def fetched(lab: Lab, tag: str, source: Source, folder: Path, listener: Listener) -> Path:
    """Check a git source out below `folder`, and return where."""
    from lab.engine.jobs import Mount

    checkout = folder / "checkout"
    checkout.mkdir(parents=True, exist_ok=True)
    mounts = [Mount(checkout, "/checkout")]
    local = Path(source.url).is_absolute() and Path(source.url).is_dir()
    if local:
        found = repository.folders(Path(source.url))
        mounts += [Mount(part, str(part), read_only=True) for part in found]
    code = work(
        lab,
        tag,
        "fetch_git",
        [source.url, source.ref, "/checkout"],
        mounts,
        listener,
        network="none" if local else "bridge",
        deadline=FETCH_DEADLINE_S,
    )
    if code != 0:
        raise BuildFailed(
            str(listener.failure.get("text", "the repository cannot be fetched")),
            "check the address and the reference; a folder of yours works without a network: "
            'source = "/path"',
        )
    return checkout
