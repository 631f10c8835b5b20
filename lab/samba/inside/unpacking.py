"""Debian's source packages, which the builders' images carry."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.samba.inside.talk import note
from lab.samba.inside.tree import Failed, output_of

PACKED = Path("/usr/local/src")
UNPACKED = Path("/unpacked")


def unpacked_debian(package: str) -> Path:
    """A source package unpacked, with Debian's patches; done once for each version."""
    (description,) = (PACKED / package).glob("*.dsc")
    folder = UNPACKED / description.stem
    if not folder.exists():
        note(f"unpacking Debian's source package {description.stem}")
        half = UNPACKED / f".{description.stem}.half"
        shutil.rmtree(half, ignore_errors=True)
        code, said = output_of(["dpkg-source", "--no-check", "-x", str(description), str(half)])
        if code != 0:
            raise Failed(f"the source package cannot be unpacked:\n{said[-500:]}")
        half.rename(folder)
    return folder
