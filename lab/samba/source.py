"""Which source: what lab.toml or the command line says, understood. Pure but for `~` and `.`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.declaring import REPOSITORY
from lab.errors import UsageError

DEBIAN = "debian"
DEBIAN_SOURCE = "debian-source"


@dataclass(frozen=True)
class Source:
    """A place to take a source tree from: `folder`, or `url` with `ref`, or Debian's package."""

    folder: Path | None = None
    url: str = ""
    ref: str = ""

    @property
    def words(self) -> str:
        """As it is written in lab.toml."""
        if self.folder is not None:
            return str(self.folder)
        return f"git:{self.url}@{self.ref}" if self.url else DEBIAN_SOURCE

    def key(self, suite: str) -> str:
        """The name of the folder below .lab/ where it is built: one per source and suite."""
        # A reference moves: its builds share a tree, so that only what differs is compiled.
        what = f"git:{self.url}" if self.url else self.words
        return hashlib.sha256(f"{suite}\0{what}".encode()).hexdigest()[:12]


def parse(words: str, root: Path) -> Source | None:
    """Understand a setting or an option; None for Debian's binary package."""
    if words == DEBIAN:
        return None
    if words == DEBIAN_SOURCE:
        return Source()
    if words.startswith("git:"):
        if not re.fullmatch(REPOSITORY, words):
            raise UsageError(
                f"{words}: which branch, tag or commit?",
                "git:URL@REF, as in git:https://git.samba.org/samba.git@master",
            )
        url, _, ref = words.removeprefix("git:").rpartition("@")
        return Source(url=url, ref=ref)
    folder = (root / Path(words).expanduser()).resolve()
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "a source is the top folder of its tree")
    return Source(folder=folder)


def existing(patches: Iterable[str], root: Path) -> tuple[Path, ...]:
    """The paths of patches; UsageError for one that cannot be read."""
    found = []
    for words in patches:
        path = (root / Path(words).expanduser()).resolve()
        if not path.is_file():
            raise UsageError(f"there is no patch {path}", "name files that git format-patch made")
        found.append(path)
    return tuple(found)
