"""`lab shell`."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from lab.backends import is_ksmbd
from lab.cli import names
from lab.cli.registry import command
from lab.cli.words import Positional

if TYPE_CHECKING:
    from lab.session import Lab

# Host keys of guests are new at each boot, and the connection stays on the loopback interface.
SSH_OPTIONS = (
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "IdentitiesOnly=yes",
    "PreferredAuthentications=publickey",
    "ConnectTimeout=10",
)


@command(
    "shell",
    positional=Positional("node", look_up=names.nodes),
    examples=(
        ("lab shell samba", "a shell in smbd's container"),
        ("lab shell ksmbd", "a shell in the guest, where ksmbd runs"),
        ("echo 'ls -la /srv/share' | lab shell py", "commands from a pipe"),
    ),
)
def shell(context: Any, node: str) -> int:
    """Open a shell on a node: in its container; for ksmbd, in the guest.

    Commands may come from a pipe; the exit code is the shell's.
    """
    from lab.session import Lab

    lab = Lab.open()
    lab.require_running(node)
    argv = guest_argv(lab, node) if is_ksmbd(node) else container_argv(lab, node)
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - no shell: just this


def container_argv(lab: Lab, node: str) -> list[str]:
    """`docker exec` of a login shell, with a terminal if we have one."""
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    shell = "command -v bash >/dev/null && exec bash || exec sh"
    container = lab.engine.containers()[node].id
    return ["docker", "exec", "--interactive", *terminal, container, "sh", "-c", shell]


def guest_argv(lab: Lab, node: str = "ksmbd") -> list[str]:
    """`ssh` into the guest with the lab's key."""
    from lab.errors import LabFailed
    from lab.nodes.registry import SSH_PORT

    if shutil.which("ssh") is None:
        raise LabFailed(
            "there is no `ssh` command on this host",
            "as root: apt-get install openssh-client (or dnf install openssh-clients)",
        )
    options = [word for option in SSH_OPTIONS for word in ("-o", option)]
    return [
        "ssh",
        *options,
        *("-i", str(lab.secrets.identity)),
        *("-p", str(lab.engine.port(node, SSH_PORT))),
        "root@127.0.0.1",
        *([] if sys.stdin.isatty() else ["sh"]),
    ]
