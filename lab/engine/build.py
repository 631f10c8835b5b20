"""Build the nodes' images, those alone whose context changed, two at a time.

A node's whole context lies in `.lab/rendered/<node>/`. Its hash is kept as a label of the image,
so an unchanged node costs one inspect.
"""

from __future__ import annotations

import hashlib
import io
import queue
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.engine import explain, labels
from lab.errors import LabError, LabFailed

Say = Callable[[str], None]

AT_ONCE = 2
# The longest first, so that two at a time end together.
LONGEST_FIRST = ("client", "ksmbd", "samba", "py", "front")
_POLL_S = 0.2  # how soon an interrupt is noticed while builds run


class Builder(Protocol):
    """What building needs of `lab.engine.sdk.Images`."""

    def labels(self, tag: str) -> dict[str, str] | None: ...
    def digest(self, tag: str) -> str: ...
    def build(
        self, context: bytes, tag: str, image_labels: Mapping[str, str]
    ) -> Iterator[tuple[str, str]]: ...
    def prune(self, name: str) -> None: ...


@dataclass(frozen=True)
class ContextFile:
    """A file of a build context."""

    path: str
    data: bytes
    executable: bool


def tag(name: str, node: str) -> str:
    """Return the tag of a node's image."""
    return f"{name}/{node}:latest"


def read_context(folder: Path) -> list[ContextFile]:
    """Read a node's context, without the folders that its .dockerignore names."""
    ignore_file = folder / ".dockerignore"
    lines = ignore_file.read_text(encoding="utf-8").split() if ignore_file.exists() else []
    ignored = tuple(line.rstrip("/") + "/" for line in lines)
    files = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        if path.is_file() and not inside.startswith(ignored):
            executable = bool(path.stat().st_mode & 0o100)
            files.append(ContextFile(inside, path.read_bytes(), executable))
    return files


def context_hash(files: Iterable[ContextFile], base: str) -> str:
    """Hash what an image is made of: names, permissions and content, and the base image's id."""
    digest = hashlib.sha256(base.encode())
    for file in sorted(files, key=lambda file: file.path):
        content = hashlib.sha256(file.data).hexdigest()
        digest.update(f"\0{file.path}\0{int(file.executable)}\0{content}".encode())
    return digest.hexdigest()[:16]


def pack(files: Iterable[ContextFile]) -> bytes:
    """Pack a context as tar; times and owners left out, so that the builder's cache holds."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.size = len(file.data)
            entry.mode = 0o755 if file.executable else 0o644
            archive.addfile(entry, io.BytesIO(file.data))
    return packed.getvalue()


def base_tag(files: Iterable[ContextFile]) -> str:
    """Return the image that the context's Dockerfile starts from."""
    for file in files:
        if file.path == "Dockerfile":
            for line in file.data.decode().splitlines():
                if line.upper().startswith("FROM "):
                    return line.split()[1]
    raise LabFailed("a build context has no Dockerfile with a FROM line", "lab render")


@dataclass(frozen=True)
class Job:
    """An image that has to be built."""

    node: str
    files: list[ContextFile]
    hash: str


def jobs(builder: Builder, rendered_root: Path, nodes: Iterable[str], name: str) -> list[Job]:
    """Return what has to be built: the nodes without an image of their present context."""
    needed = []
    for node in nodes:
        files = read_context(rendered_root / node)
        wanted = context_hash(files, builder.digest(base_tag(files)))
        have = builder.labels(tag(name, node))
        if have is None or have.get(labels.CONTEXT) != wanted:
            needed.append(Job(node, files, wanted))
    order = {node: place for place, node in enumerate(LONGEST_FIRST)}
    return sorted(needed, key=lambda job: order.get(job.node, -1))


def build_one(builder: Builder, job: Job, name: str, log: Path) -> float:
    """Build one image, its output to `log`; return the seconds, raise LabFailed with the cause."""
    start = time.monotonic()
    said: list[str] = []
    image_labels = {labels.NAME: name, labels.NODE: job.node, labels.CONTEXT: job.hash}
    with log.open("w", encoding="utf-8") as file:
        for kind, text in builder.build(pack(job.files), tag(name, job.node), image_labels):
            file.write(text)
            file.flush()
            said.append(text)
            if kind == "error":
                raise explain.failed(
                    f"building the image of {job.node} failed", "".join(said), f"whole log: {log}"
                )
    return time.monotonic() - start


def ensure_images(
    rendered_root: Path,
    nodes: Iterable[str],
    name: str,
    say: Say,
    connect: Callable[[], Builder] | None = None,
) -> dict[str, float]:
    """Build what is missing or changed; return {node: seconds} of what was built.

    The first failure is raised and builds that still run are given up: the engine cancels a build
    whose client is gone, and so it does when we are interrupted.
    """
    if connect is None:
        from lab.engine.sdk import Images

        connect = Images
    builder = connect()
    todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
    needed = jobs(builder, rendered_root, nodes, name)
    for job in needed:
        todo.put(job)
    ended: queue.SimpleQueue[tuple[str, float | Exception]] = queue.SimpleQueue()

    def work() -> None:
        own = connect()  # a connection serves one build at a time
        while True:
            try:
                job = todo.get_nowait()
            except queue.Empty:
                return
            say(f"building {job.node}")
            try:
                seconds = build_one(own, job, name, rendered_root.parent / f"build-{job.node}.log")
                ended.put((job.node, seconds))
            except Exception as error:
                ended.put((job.node, error))
                return

    for _ in range(min(AT_ONCE, len(needed))):
        # Daemon threads: an interrupt or a failure does not wait for the other build.
        threading.Thread(target=work, daemon=True).start()
    built: dict[str, float] = {}
    while len(built) < len(needed):
        try:
            node, result = ended.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if isinstance(result, LabError):
            raise result
        if isinstance(result, Exception):
            raise LabFailed(f"building the image of {node} failed: {result}") from result
        say(f"built {node} in {result:.1f} s")
        built[node] = result
    if built:
        builder.prune(name)
    return built
