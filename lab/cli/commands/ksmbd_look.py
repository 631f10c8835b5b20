"""`lab ksmbd console`, `lab ksmbd debug`, `lab ksmbd gdb`: looking into the guest."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from lab.cli import ksmbd_node
from lab.cli.output import print_json
from lab.cli.registry import command
from lab.cli.words import Positional


@command(
    "ksmbd.console",
    flags={
        "flavour": ksmbd_node.HELP,
        "follow": "go on printing what comes, also of the next guest, until Ctrl-C",
        "every_guest": "also what the guests before this one said",
    },
    short={"follow": "-f"},
    metavars={"flavour": "NAME"},
    examples=(
        ("lab ksmbd console", "what the guest's kernel said since it booted"),
        ("lab ksmbd console -f", "and what it goes on to say"),
        ("lab ksmbd console --every-guest | grep -B3 -A30 BUG:", "what the one before died of"),
    ),
)
def console(
    context: Any, flavour: str = "", follow: bool = False, every_guest: bool = False
) -> int:
    """Print the console of the ksmbd guest."""
    from lab import backends
    from lab.kernel import console as kernel_console
    from lab.session import Lab

    lab = Lab.open()
    name = backends.named(ksmbd_node.flavour_of(lab, flavour))
    if not follow:
        print(kernel_console.text(lab, name, every_guest=every_guest), end="")
        return 0
    try:
        for piece in kernel_console.follow(lab, name, every_guest=every_guest):
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        return 0
    return 0


@command(
    "ksmbd.debug",
    positional=Positional("classes", variadic=True),
    flags={"flavour": ksmbd_node.HELP, "json": "print the state as JSON"},
    metavars={"flavour": "NAME"},
    examples=(
        ("lab ksmbd debug", "which classes are on"),
        ("lab ksmbd debug on", "all of them"),
        ("lab ksmbd debug smb vfs", "these, and no others"),
        ("lab ksmbd debug off", "none"),
    ),
)
def debug(context: Any, classes: Sequence[str], flavour: str = "", json: bool = False) -> int:
    """Show or set what ksmbd logs: its debug classes.

    What is set stays over lab ksmbd reload; a new guest begins with what lab.toml says (debug
    under [ksmbd], or of the flavour). The messages go to the guest's console.
    """
    from lab import backends
    from lab.kernel import classes as debug_classes
    from lab.kernel.guest import ASK_DEADLINE_S, node
    from lab.nodes.model import check
    from lab.session import Lab

    lab = Lab.open()
    name = backends.named(ksmbd_node.flavour_of(lab, flavour))
    lab.require_running(name)
    guest = node(lab, name)

    def ask() -> dict[str, bool]:
        argv = ["cat", debug_classes.PATH]
        answer = check(guest.run(argv, deadline=ASK_DEADLINE_S), name, argv)
        return debug_classes.parse(answer.text)

    state = ask()
    if classes:
        wanted = debug_classes.wanted(classes, list(state))
        change = debug_classes.toggles(state, wanted)
        script = f'for class; do echo "$class" >{debug_classes.PATH} || exit 1; done'
        argv = ["sh", "-c", script, "sh", *change]
        check(guest.run(argv, deadline=ASK_DEADLINE_S), name, argv)
        state = ask()  # what the kernel says, not what it was told
        if {word for word, on in state.items() if on} != wanted:
            print(f"lab: {name} did not take it", file=sys.stderr)
            return 3
    if json:
        print_json(state)
        return 0
    on = [word for word, is_on in state.items() if is_on]
    off = [word for word, is_on in state.items() if not is_on]
    print(f"{name}: on: {' '.join(on) or 'none'}; off: {' '.join(off) or 'none'}")
    return 0


@command(
    "ksmbd.gdb",
    flags={
        "flavour": ksmbd_node.HELP,
        "ex": "a command of gdb's, after the connection stands; may be given several times",
        "batch": "end after these commands, without a terminal",
        "deadline": "with --batch: seconds that the commands may take (60)",
    },
    metavars={"flavour": "NAME", "ex": "COMMAND", "deadline": "N"},
    repeated=("ex",),
    examples=(
        ("lab ksmbd gdb", "gdb on the guest, which stands still until `continue`"),
        ("lab ksmbd gdb --batch --ex 'break smb2_notify' --ex c --ex bt", "who calls it"),
    ),
)
def gdb(
    context: Any,
    flavour: str = "",
    ex: Sequence[str] | None = None,
    batch: bool = False,
    deadline: str = "60",
) -> int:
    """Debug the guest's kernel with gdb, by the symbols of the module that it runs.

    The symbols of lab ksmbd build's module are loaded where the kernel put it; of the kernel
    itself, the names of its functions are known. gdb runs in the container that builds modules.
    When gdb ends, the guest runs on.
    """
    from lab import backends
    from lab.errors import UsageError
    from lab.kernel import gdb as kernel_gdb
    from lab.session import Lab

    if not deadline.isdecimal() or int(deadline) == 0:
        raise UsageError(f"--deadline {deadline!r} is no number of seconds", "as in --deadline 120")
    lab = Lab.open()
    chosen = ksmbd_node.flavour_of(lab, flavour)
    lab.require_running(backends.named(chosen))
    return kernel_gdb.run(lab, chosen, ex or (), batch=batch, deadline=float(deadline))
