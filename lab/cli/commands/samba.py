"""`lab samba build`, `lab samba reset`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.cli.output import print_json
from lab.cli.registry import command

if TYPE_CHECKING:
    from lab.samba.build import Built
    from lab.samba.install import Installed


@command(
    "samba.build",
    flags={
        "src": "a source tree of yours, git:URL@REF, or debian-source (else as lab.toml says)",
        "patch": "apply this patch first; may be given several times (else as lab.toml says)",
        "json": "print what was built and installed as JSON",
    },
    metavars={"src": "DIR", "patch": "FILE"},
    repeated=("patch",),
    examples=(
        ("lab samba build", "Debian's source package, or the [samba] source of lab.toml"),
        ("lab samba build --src ~/samba", "your tree; it is only read"),
        ("lab samba build --patch 0001-dump-stack.patch", "with a patch"),
        ("lab samba build --src git:https://git.samba.org/samba.git@master", "a branch"),
    ),
)
def build(
    context: Any, src: str = "", patch: Sequence[str] | None = None, json: bool = False
) -> int:
    """Build smbd from source, and let the samba node run it.

    The first time takes minutes: a container with the compilers, ./configure, and all of it
    compiled. Then only what changed is compiled, and only what changed is replaced in the node:
    smbd is restarted, not the container, and the build ids of what runs are compared with those
    of what was built. Sessions through the front are shut. If the new smbd does not start, the
    one from before goes on. Trees and logs lie below .lab/samba/.
    """
    from lab.samba.wanted import build_and_install
    from lab.session import Lab

    lab = Lab.open()
    with lab.progress.step("build", "Building smbd from source"):
        built, installed = build_and_install(lab, src, patch or (), lab.progress.say)
    if json:
        print_json({"built": built.as_json(), "installed": installed.as_json()})
    else:
        _show(built, installed)
    return 0


def _show(built: Built, installed: Installed) -> None:
    seconds = built.seconds
    print(
        f"smbd {built.version} from {built.source}: "
        f"configure {seconds['configure']:.0f} s, make {seconds['make']:.0f} s"
    )
    replaced = installed.replaced
    names = f": {', '.join(replaced)}" if 0 < len(replaced) <= 6 else ""
    print(f"  replaced in the samba node: {len(replaced)} files{names}")
    print(
        f"  running as pid {installed.pid}, proved by its build ids; "
        f"{installed.sessions_shut} sessions shut, {installed.seconds:.1f} s"
    )


@command(
    "samba.reset",
    examples=(("lab samba reset", "Debian's smbd again"),),
)
def reset(context: Any) -> int:
    """Let the samba node run Debian's smbd again.

    Takes away what `lab samba build` installed. Where lab.toml names another [samba] source, the
    next `lab up` installs that.
    """
    from lab.samba import wanted
    from lab.session import Lab

    lab = Lab.open()
    had = wanted.reset(lab)
    print("the samba node runs Debian's smbd" + ("" if had else ", as before"))
    return 0
