"""Debian's source of ksmbd, as `lab ksmbd build` fetches it, edited by tests and restored."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.harness import Lab

NOTIFY = re.compile(r"^int smb2_notify\(.*?^}", re.MULTILINE | re.DOTALL)
SMB2PDU = "fs/smb/server/smb2pdu.c"


@dataclass
class Tree:
    """The source, and what its edited files were before."""

    root: Path
    _originals: dict[Path, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The file that the tests edit most."""
        return self.root / SMB2PDU

    @property
    def original(self) -> str:
        """That file as Debian has it."""
        return self._originals.get(self.file) or self.file.read_text()

    def answer(self, status: str) -> None:
        """Let CHANGE_NOTIFY be answered with another status."""

        def changed(match: re.Match[str]) -> str:
            return match[0].replace("STATUS_NOT_IMPLEMENTED", status)

        self.write(NOTIFY.sub(changed, self.original))

    def write(self, text: str) -> None:
        """Save another text of `file`."""
        self.edit(SMB2PDU, self.original, text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace what occurs once in a file of the tree."""
        path = self.root / name
        original = self._originals.setdefault(path, path.read_text())
        assert original.count(old) == 1
        assert old != new
        _save(path, original.replace(old, new))

    def restore(self) -> None:
        """Everything as Debian has it."""
        for path, original in self._originals.items():
            _save(path, original)

    @contextmanager
    def committed(self, subject: str) -> Iterator[None]:
        """With what was edited as a commit on top; the files stay as they are afterwards."""
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(self.root)]
        subprocess.run([*git, "commit", "-qam", subject], check=True)
        try:
            yield
        finally:
            subprocess.run([*git, "reset", "-q", "--soft", "HEAD~1"], check=True)


def _save(path: Path, text: str) -> None:
    """As editors do, by renaming."""
    new = path.with_name("4913.tmp")
    new.write_text(text)
    new.replace(path)


def fetched(lab: Lab) -> Tree:
    """The source; the first build of a lab fetches it."""
    return Tree(Path(lab.json("ksmbd", "build", timeout=1200)["source"]))


def build_and_reload(lab: Lab) -> Any:
    """What `lab ksmbd reload` said of the module that the source makes now."""
    built = lab.json("ksmbd", "build", timeout=600)
    reloaded = lab.json("ksmbd", "reload")
    assert reloaded["identity"] == built["build_id"]
    return reloaded


def running_module(lab: Lab) -> str:
    """The beginning of the build id that the kernel tells; its guest is healthy."""
    (node,) = (n for n in lab.json("status")["nodes"] if n["name"] == "ksmbd")
    assert node["healthy"]
    return str(node["versions"]["ksmbd_build_id"])
