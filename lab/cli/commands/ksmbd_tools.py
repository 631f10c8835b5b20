"""`lab ksmbd tools`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab import backends
from lab.cli import ksmbd_node
from lab.cli.output import print_json
from lab.cli.registry import command


@command(
    "ksmbd.tools",
    flags={
        "src": "a source tree of yours, or git:URL@REF (else [ksmbd] tools_source of lab.toml)",
        "flavour": ksmbd_node.HELP,
        "original": "back to Debian's ksmbd-tools",
        "json": "print what was built as JSON",
    },
    metavars={"src": "DIR", "flavour": "NAME"},
    examples=(
        ("lab ksmbd tools --src ~/ksmbd-tools", "your tree; it is only read"),
        ("lab ksmbd tools --src git:https://example.org/ksmbd-tools.git@master", "a branch"),
        ("lab ksmbd tools --original", "Debian's own again"),
    ),
)
def tools(
    context: Any, src: str = "", flavour: str = "", original: bool = False, json: bool = False
) -> int:
    """Build ksmbd-tools (ksmbd.mountd and its siblings) from source, and start a guest with them.

    autogen.sh, ./configure and make run in a container; the guest's libraries are Debian's. A new
    guest takes the place of the one that runs, with your program instead of Debian's; if it does
    not serve, the program of before goes back. Trees and logs lie below .lab/ksmbd-tools/.
    """
    from lab.errors import UsageError
    from lab.samba import tools as building
    from lab.samba.source import parse
    from lab.session import Lab

    if original and src:
        raise UsageError("--original goes without --src", "it takes your program out")
    lab = Lab.open()
    chosen = ksmbd_node.flavour_of(lab, flavour)
    name = backends.named(chosen)
    built = None
    if not original:
        root = Path.cwd() if src else lab.paths.root
        source = parse(src or lab.settings.ksmbd.tools_source, root)
        if source is None:
            raise UsageError(
                "which source? [ksmbd] tools_source is debian: the binary package",
                "lab ksmbd tools --src DIR, or --original for Debian's",
            )
        if not (source.folder or source.url):
            raise UsageError(
                f"--src {src}: that is for smbd only", "lab ksmbd tools --src DIR, or git:URL@REF"
            )
        with lab.progress.step("build", "Building ksmbd-tools"):
            built = building.build(lab, source, lab.progress.say)
    with lab.locked("lab ksmbd tools"), lab.progress.step("guest", "Starting a guest with them"):
        lab.require_running(name)
        if built is None:
            building.remove(lab, chosen)
        else:
            building.install(lab, chosen, built)
    if json:
        print_json({"built": built.as_json() if built else None, "node": name})
    elif built is None:
        print(f"{name} runs Debian's ksmbd-tools")
    else:
        print(f"{name} runs ksmbd-tools {built.version} from {built.source}")
        print(f"  build id {built.build_id}, built in {built.seconds:.1f} s; log {built.log}")
    return 0
