"""`lab ksmbd reload`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli import ksmbd_node
from lab.cli.output import print_json
from lab.cli.registry import command

if TYPE_CHECKING:
    from lab.kernel.reload import Reloaded


@dataclass(frozen=True)
class Given:
    """A module file of the user's, as it came from the linker: what symbols it has are in it."""

    path: Path
    source: str = ""

    @property
    def symbols(self) -> Path:
        return self.path


@command(
    "ksmbd.reload",
    flags={
        "flavour": ksmbd_node.HELP,
        "module": "this ksmbd.ko, instead of the one that lab ksmbd build made",
        "original": "back to the module of the kernel itself",
        "new_guest": "do not try to unload: start a new guest",
        "json": "print how it went as JSON",
    },
    metavars={"flavour": "NAME", "module": "FILE"},
    examples=(
        ("lab ksmbd reload", "what lab ksmbd build made last"),
        ("lab ksmbd reload --module ~/linux/fs/smb/server/ksmbd.ko", "one that you built"),
        ("lab ksmbd reload --original", "Debian's own again"),
    ),
)
def reload(
    context: Any,
    flavour: str = "",
    module: str = "",
    original: bool = False,
    new_guest: bool = False,
    json: bool = False,
) -> int:
    """Exchange the ksmbd module that the guest runs.

    Ends all sessions, unloads, loads, starts ksmbd-tools again, waits for a NEGOTIATE, and asks
    the kernel which module it runs now. Where that does not do (the old module does not end, the
    kernel had an oops, the new one crashes it), a new guest starts with the module. One that does
    not load, or crashes its guest as well, is an error, and what ran before is put back.
    """
    from lab import backends
    from lab.errors import UsageError
    from lab.kernel.reload import original_module, reload_module
    from lab.session import Lab

    if original and (module or new_guest):
        raise UsageError(
            "--original goes with neither --module nor --new-guest",
            "it takes your module out, and always starts a new guest",
        )
    lab = Lab.open()
    chosen = ksmbd_node.flavour_of(lab, flavour)
    with lab.locked("lab ksmbd reload"), lab.progress.step("reload", "Exchanging the module"):
        # It must be there; one that does not run, its kernel crashed maybe, is what this can mend.
        lab.engine.inspect(backends.named(chosen))
        if original:
            done = original_module(lab, chosen)
        else:
            built = Given(Path(module).expanduser().resolve()) if module else None
            done = reload_module(lab, chosen, built, new_guest=new_guest)
    if json:
        print_json(done.as_json())
    else:
        print(words(done))
    return 0


def words(done: Reloaded) -> str:
    """`ksmbd 5e85d3d0aa77 for 6.12.1 loaded in 2.1 s (unload 0.6, load 0.8, start 0.7)`."""
    shown = done.identity[:12] or "of the kernel's own"
    release = f" for {done.release}" if done.release else ""
    if done.how == "guest":
        return f"ksmbd {shown}{release} in a new guest, {done.seconds:.1f} s: {done.why}"
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in done.phases.items())
    return f"ksmbd {shown}{release} loaded in {done.seconds:.1f} s ({phases})"
