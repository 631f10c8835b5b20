"""`lab ksmbd build`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli import ksmbd_node
from lab.cli.output import print_json
from lab.cli.registry import command

if TYPE_CHECKING:
    from lab.kbuild.model import BuiltModule


@command(
    "ksmbd.build",
    flags={
        "flavour": ksmbd_node.HELP,
        "src": "a kernel tree, or an out-of-tree ksmbd; else the flavour's `source`, else Debian's",
        "patch": "apply this to a copy of the source first; may be given several times",
        "json": "print it as JSON",
    },
    metavars={"src": "DIR", "patch": "FILE", "flavour": "NAME"},
    repeated=("patch",),
    examples=(
        ("lab ksmbd build", "from Debian's source, which is fetched to .lab/src/ to be edited"),
        ("lab ksmbd build --src ~/linux", "from a kernel tree of yours"),
        ("lab ksmbd build --src ~/linux --patch 0001-notify.patch", "with a patch on a copy of it"),
        ("lab ksmbd build --flavour sid", "against the kernel of ksmbd@sid"),
    ),
)
def build(
    context: Any,
    flavour: str = "",
    src: str = "",
    patch: Sequence[str] | None = None,
    json: bool = False,
) -> int:
    """Build ksmbd.ko for a flavour's kernel.

    The build runs in a container, with the headers of the kernel that the flavour's guest runs; the
    source is only read. Builds are incremental. The compiler's messages come with your paths. The
    module takes the place of the guest's own when the guest starts anew; `lab ksmbd reload` does
    it at once.
    """
    from lab.kbuild.build import build_module, install
    from lab.session import Lab

    lab = Lab.open()
    chosen = ksmbd_node.flavour_of(lab, flavour)
    with lab.progress.step("module", "Building ksmbd.ko"):
        built = build_module(
            lab,
            chosen,
            source=Path(src).expanduser().resolve() if src else None,
            patches=[Path(file).expanduser().resolve() for file in patch] if patch else None,
            say=lab.progress.say,
        )
        install(lab, chosen, built)
    if json:
        print_json(built.as_json())
    else:
        _show(built)
    return 0


def _show(built: BuiltModule) -> None:
    for line in built.warnings:
        print(line)
    changed = len(built.changed)
    what = "nothing changed" if not changed else f"{changed} file{'s' if changed > 1 else ''} new"
    print(f"{built.path}\n  from       {built.source} ({what})")
    print(f"  for        {built.release}")
    print(f"  srcversion {built.srcversion or 'none'}, build id {built.build_id}")
    print(f"  symbols    {built.symbols}")
