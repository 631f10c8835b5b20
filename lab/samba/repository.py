"""What a git repository of this host consists of, besides the folder that is its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def folders(repository: Path) -> list[Path]:
    """Its folder, and those that a linked worktree or a shared clone has its objects in.

    With their paths as git has them written down: there it looks for them, in a container too.
    """
    found = [repository]
    for folder in _led_to(repository):
        if folder.is_dir() and not any(folder.is_relative_to(there) for there in found):
            found.append(folder)
    return found


def _led_to(repository: Path) -> Iterator[Path]:
    git = repository / ".git"
    if git.is_file():
        git = _below(repository, _text(git).removeprefix("gitdir:").strip())
        yield (common := _below(git, _text(git / "commondir").strip()))
    else:
        common = git if git.is_dir() else repository
    known: set[Path] = set()
    waiting = [common / "objects"]
    while waiting:
        objects = waiting.pop()
        for line in _text(objects / "info/alternates").splitlines():
            folder = _below(objects, line)
            if line and not line.startswith("#") and folder not in known:
                known.add(folder)
                waiting.append(folder)
                yield folder


def _below(folder: Path, words: str) -> Path:
    """The path that `words` name, seen from there."""
    return Path(os.path.normpath(folder / words))


def _text(file: Path) -> str:
    try:
        return os.fsdecode(file.read_bytes())
    except OSError:
        return ""
