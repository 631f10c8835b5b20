"""`lab switch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.cli import names
from lab.cli.output import print_json
from lab.cli.registry import command
from lab.cli.words import Positional

if TYPE_CHECKING:
    from lab.session import Lab
    from lab.switching import Switched


@command(
    "switch",
    positional=Positional("server", look_up=names.servers),
    flags={"json": "print it as JSON"},
    examples=(
        ("lab switch ksmbd", "ksmbd answers at the lab's address from now on"),
        ("lab switch py", "notify_server, the reference"),
        ("lab switch ksmbd@sid", "the flavour that [flavours.sid] in lab.toml declares"),
    ),
)
def switch(context: Any, server: str, json: bool = False) -> int:
    """Make another server the active one, and prove that it answers.

    All servers keep running; the front leads to another one, and the sessions of the old one are
    shut. If the new one does not answer, nothing is switched. A Windows client keeps connections
    to the old server: the lines that drop them are printed.
    """
    from lab.nodes.registry import container
    from lab.session import Lab
    from lab.switching import switch as do_switch

    lab = Lab.open()
    with lab.locked(f"lab switch {server}"):
        lab.require_running("front", server)
        done = do_switch(lab, server, container(lab.engine, "front"))
    if json:
        print_json(
            {
                "old": done.old,
                "new": done.new,
                "sessions_shut": done.sessions_shut,
                "milliseconds": round(done.milliseconds, 1),
                "proof": done.proof.as_json(),
            }
        )
    else:
        _show(lab, done)
    return 0


def _show(lab: Lab, done: Switched) -> None:
    from lab.switching import guid_words, net_use_lines

    front, direct = lab.front_address(), lab.direct_address(done.new)
    shut = "1 session" if done.sessions_shut == 1 else f"{done.sessions_shut} sessions"
    print(f"{done.old or 'none'} -> {done.new}   {shut} shut, {done.milliseconds:.0f} ms")
    for where, (host, port), answer in (
        ("front ", front, done.proof.front),
        ("direct", direct, done.proof.direct),
    ):
        print(
            f"  {where}  {host}:{port:<5}  SMB {answer.dialect_name}  "
            f"ServerGuid {guid_words(answer)}"
        )
    print(f"  the same server: {done.new} answers\n")
    print("A Windows client drops its old connections with:")
    for line in net_use_lines(lab.settings.front.client_address, lab.settings.share.name):
        print(f"  {line}")
