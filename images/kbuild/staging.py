"""From a source tree to a build tree: which files belong to ksmbd, and copying those that differ.

A build writes objects beside its sources, and the source tree is the user's: so ksmbd's part of it
is copied to a build tree of ours. A file whose content is the same is not touched, so that make
finds only what really changed.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GENERATED = (
    *(".o", ".ko", ".mod", ".mod.c", ".cmd", ".order", ".symvers", ".a", ".d"),
    *(".asn1.c", ".asn1.h"),
)


class NotKsmbd(Exception):
    """The folder holds no source of ksmbd that we know."""


@dataclass(frozen=True)
class Layout:
    """Where ksmbd stands in a tree, and which files its build needs (patterns below the root)."""

    name: str
    server: str
    needs: tuple[str, ...]


# fs/nls and common/ for their headers; the compiler of ASN.1 because kernel headers lack it.
_ASN1 = ("scripts/asn1_compiler.c", "include/linux/asn1*.h")
KERNEL = Layout(
    "a kernel tree",
    "fs/smb/server",
    ("fs/smb/server/**/*", "fs/smb/common/**/*", "fs/nls/*.h", *_ASN1),
)
OLD_KERNEL = Layout(
    "a kernel tree before 6.4",
    "fs/ksmbd",
    ("fs/ksmbd/**/*", "fs/smbfs_common/**/*", "fs/nls/*.h", *_ASN1),
)
OUT_OF_TREE = Layout("an out-of-tree ksmbd", ".", ("**/*",))


def layout_of(root: Path) -> Layout:
    """Tell what kind of tree it is; raise NotKsmbd if it is none."""
    for layout in (KERNEL, OLD_KERNEL):
        if (root / layout.server / "Makefile").is_file():
            return layout
    makefile = root / "Makefile"
    if makefile.is_file() and "ksmbd.o" in makefile.read_text(errors="replace"):
        return OUT_OF_TREE
    raise NotKsmbd(
        "it has neither fs/smb/server/Makefile (a kernel tree) nor a Makefile that makes ksmbd.o "
        "(an out-of-tree ksmbd)"
    )


def is_source(path: Path) -> bool:
    """Leave out what builds and git leave in a tree."""
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and not path.name.endswith(GENERATED)


def files_of(root: Path, layout: Layout) -> Iterator[Path]:
    """Yield the files that the build needs, relative to `root`; raise OSError if it cannot tell."""
    seen = set()
    for pattern in layout.needs:
        for path in _matching(root, pattern):
            inside = path.relative_to(root)
            if inside not in seen and is_source(inside) and path.is_file():
                seen.add(inside)
                yield inside


def _matching(root: Path, pattern: str) -> Iterator[Path]:
    """What Path.glob does, which passes over a folder that it may not read."""
    folder, _, wanted = pattern.rpartition("/")
    start = root / folder.removesuffix("**")
    if not start.is_dir():
        return
    for at, folders, names in os.walk(start, onerror=_refuse):
        deep = folder.endswith("**")
        folders[:] = sorted(name for name in folders if deep and not name.startswith("."))
        yield from (Path(at, name) for name in sorted(fnmatch.filter(names, wanted)))


def _refuse(error: OSError) -> None:
    raise error


def synchronise(source: Path, target: Path, files: list[Path], manifest: Path) -> list[Path]:
    """Make `target` hold `files` of `source`; return those that were written or removed.

    `manifest` remembers what was copied, so that a file that left the source leaves the target,
    while what the build made there stays.
    """
    before = set(manifest.read_text().splitlines()) if manifest.exists() else set()
    changed = []
    for inside in files:
        data = (source / inside).read_bytes()
        place = target / inside
        if place.is_file() and place.read_bytes() == data:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        changed.append(inside)
    for gone in sorted(before - {str(inside) for inside in files}):
        (target / gone).unlink(missing_ok=True)
        changed.append(Path(gone))
    manifest.write_text("".join(f"{inside}\n" for inside in files))
    return changed


def drop_unfinished(tree: Path, marker: Path) -> int:
    """Remove what a build that was killed may have written in part; return how many files.

    `marker` is made when a build begins and removed when it ends; nothing made before it is in
    doubt.
    """
    if not marker.exists():
        return 0
    begun = marker.stat().st_mtime
    doubtful = [
        path
        for path in tree.rglob("*")
        if path.is_file() and path.name.endswith(GENERATED) and path.stat().st_mtime >= begun
    ]
    for path in doubtful:
        path.unlink()
    marker.unlink()
    return len(doubtful)
