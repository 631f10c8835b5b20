"""Sources of Debian's own kernels: fetched once, unpacked to where one can start to edit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabFailed
from lab.flavours.kernels import Say
from lab.kbuild.image import headers_of
from lab.partial import folder_beside

if TYPE_CHECKING:
    from lab.session import Lab

FETCH_DEADLINE_S = 900.0
KSMBD_PARTS = (
    "fs/smb",
    "fs/nls",
    "scripts/asn1_compiler.c",
    "scripts/checkpatch.pl",
    "scripts/spelling.txt",
    "scripts/const_structs.checkpatch",
    "include/linux/asn1*",
    ".clang-format",
    "COPYING",
)


def debian_ksmbd(lab: Lab, image: str, release: str, say: Say) -> Path:
    """Return ksmbd's part of Debian's linux-source for a kernel, a git repository; fetch it first.

    What is there is never changed again: it may have been edited.
    """
    target = lab.paths.dot_lab / "src" / f"linux-{release}"
    if not target.exists():
        say(f"fetching Debian's source of {release} (150 MB, unpacked only as far as ksmbd needs)")
        _fetch(lab, image, release, target, KSMBD_PARTS)
        say(f"ksmbd's source is in {target}: edit it, `git diff` shows what you changed")
    return target


def debian_kernel(lab: Lab, image: str, suite: str, say: Say) -> Path:
    """Return the whole of a suite's linux-source; fetch it first."""
    target = lab.paths.dot_lab / "src" / f"linux-{suite}-whole"
    if not target.exists():
        say(f"fetching Debian's kernel source of {suite} (150 MB; 1.5 GB unpacked)")
        _fetch(lab, image, "", target, ())
    return target


def put(unpacked: Path, target: Path) -> None:
    """Rename, unless the build of another flavour was first: its tree is as good."""
    try:
        unpacked.rename(target)
    except OSError as error:
        if not target.is_dir():
            raise LabFailed(f"{target} cannot be made: {error.strerror}") from None


def _fetch(lab: Lab, image: str, release: str, target: Path, parts: tuple[str, ...]) -> None:
    """Fetch into a folder beside `target`, and rename it when all of it is there."""
    from lab.engine.jobs import Mount, run_job

    said: list[str] = []
    with folder_beside(target) as partial:
        code = run_job(
            image,
            ["sh", "/usr/local/lib/lab/fetch-source", release and headers_of(release), *parts],
            lab_name=lab.settings.name,
            mounts=[Mount(partial, "/out")],
            network="bridge",
            # apt wants root; the files become the caller's
            environment={"OWNER": f"{os.getuid()}:{os.getgid()}"},
            capabilities=["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID"],
            deadline=FETCH_DEADLINE_S,
            on_line=said.append,
        )
        if code != 0:
            from lab.engine.explain import failed

            raise failed("Debian's kernel source cannot be fetched", "\n".join(said))
        unpacked = next(partial.glob("linux*"), None)
        if unpacked is None:
            raise LabFailed("Debian's linux-source package has no source tree in it")
        put(unpacked, target)
