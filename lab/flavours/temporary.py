"""Flavours that exist for the length of one command: two builds of one kernel, side by side.

They are not in lab.toml. While the block runs, `lab.settings` has them as if they were; at its
end, however it ends, containers and folders are gone.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lab import backends, render
from lab.errors import LabError, UsageError
from lab.flavours import folders
from lab.flavours.kernels import settings_of
from lab.state import write_atomically

if TYPE_CHECKING:
    from lab.session import Lab


@contextmanager
def temporary(lab: Lab, copies: Mapping[str, str]) -> Iterator[None]:
    """Have for each name of `copies` a node on the kernel of that flavour ("": the default one).

    Each starts with the module of its kernel. The caller holds the lab's lock.
    """
    before = lab.settings
    added = {}
    for name, original in copies.items():
        if re.fullmatch(backends.FLAVOUR, name) is None or name in before.flavours:
            raise UsageError(f"{name!r} is no name for a temporary flavour", backends.FLAVOUR_WORDS)
        found = settings_of(lab, original)
        added[name] = replace(found, copied_from=found.copied_from or original)
    lab.settings = replace(before, flavours=MappingProxyType({**before.flavours, **added}))
    try:
        for name, original in copies.items():
            _prepare(lab, name, original)
        _start(lab, added)
        yield
    finally:
        lab.settings = before
        for name in added:
            _remove(lab, name)
        render.write_compose_environment(lab.paths, before, lab.accelerator)


def _prepare(lab: Lab, name: str, original: str) -> None:
    """The folders of a copy: its configuration, no module of its own, the original's guest."""
    node = backends.named(name)
    for inside, file in render.flavour_files(lab.paths, lab.settings, node):
        write_atomically(lab.paths.rendered / node / inside, file.data, file.mode)
    mine = folders.of_flavour(lab.paths, name)
    theirs = folders.of_flavour(lab.paths, original)
    shutil.rmtree(mine.path, ignore_errors=True)
    mine.override.mkdir(parents=True)
    if theirs.guest.is_dir():
        link_tree(theirs.guest, mine.guest)


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder of files as hard links: a kernel takes 75 MB, and nobody writes to it."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        os.link(file, target / file.name)


def _start(lab: Lab, names: Iterable[str]) -> None:
    from lab.engine.compose import Compose
    from lab.lifecycle.waiting import Waiter

    nodes = [backends.named(name) for name in names]
    paths = lab.paths
    render.write_compose_environment(paths, lab.settings, lab.accelerator)
    started = time.monotonic()
    with lab.progress.step("temporary", f"Starting {', '.join(nodes)}"):
        compose = Compose(
            lab.settings.name, paths.root, paths.compose_env, more=[paths.compose_flavours]
        )
        compose.up([backends.service(node) for node in nodes])
        Waiter(lab, lab.accelerator, "", started, nodes).wait()


def _remove(lab: Lab, name: str) -> None:
    node = backends.named(name)
    with suppress(LabError):  # it was never started
        lab.engine.remove(node)
    shutil.rmtree(folders.of_flavour(lab.paths, name).path, ignore_errors=True)
    shutil.rmtree(lab.paths.rendered / node, ignore_errors=True)
