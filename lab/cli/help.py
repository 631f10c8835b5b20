"""What `lab`, `lab --help` and `lab COMMAND --help` print. They teach: each shows examples."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from lab.cli.words import Command, Commands, groups

WIDTH = 88

HEAD = """\
usage: lab COMMAND [ARGUMENTS]

A lab for SMB2 CHANGE_NOTIFY: Samba, ksmbd and a reference server side by side behind one
address, and scenarios that tell where they differ."""

START = (
    ("lab up", "bring everything up (the first time builds images: minutes)"),
    ("lab run-scenarios --all", "every scenario against every server, as a matrix"),
    ("lab switch ksmbd", "make ksmbd the server behind the lab's address"),
    ("lab run-scenarios C1 C2", "two scenarios against the active server"),
    ("lab down --volumes", "remove everything the lab made"),
)

TAIL = """\
`lab COMMAND --help` explains a command. Settings: lab.toml, see lab.toml.example.
Shell completion: `lab completion bash` (zsh, fish) says how.
Exit codes: 0 as expected, 1 a scenario newly fails, 2 usage or settings, 3 the lab failed."""


def overview(commands: Commands) -> str:
    """The help of `lab` itself."""
    rows = [(command.typed, command.summary) for command in commands.values()]
    return "\n".join(
        [HEAD, "", "Commands:", *_columns(rows), "", "To start:", *_columns(START), "", TAIL]
    )


def subject(name: str, commands: Commands) -> str:
    """The help of a command, or of a group of commands."""
    if name in groups(commands):
        rows = [(c.typed, c.summary) for c in commands.values() if c.name.startswith(name + ".")]
        return "\n".join([f"usage: lab {name} VERB [ARGUMENTS]", "", *_columns(rows)])
    return _command(commands[name])


def _command(command: Command) -> str:
    lines = [*_usage(command), "", command.summary + "."]
    if command.description:
        lines += ["", *command.description.splitlines()]
    rows = [
        (
            ", ".join(reversed(flag.names)) + (f" {flag.metavar}" if flag.takes_value else ""),
            flag.help,
        )
        for flag in command.flags
    ]
    lines += ["", "Options:", *_columns([*rows, ("-h, --help", "this text")])]
    if command.examples:
        lines += ["", "Examples:", *_columns(command.examples)]
    return "\n".join(lines)


def _usage(command: Command) -> list[str]:
    """The usage, wrapped between its words (`[--since WHEN]` is one) and after a `|`."""
    lead = f"usage: lab {command.typed} "
    words = re.findall(r"\[[^]]*\]|\S+", f"usage: {command.usage}"[len(lead) :])
    lines = [lead.rstrip()]
    for word in words:
        for number, piece in enumerate(re.findall(r"[^|]+\|?", word)):
            space = "" if number else " "
            if len(lines[-1]) + len(space) + len(piece) > WIDTH:
                lines.append(" " * (len(lead) - 1))
                space = " "
            lines[-1] += f"{space}{piece}"
    return lines


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Two columns; the second is wrapped."""
    width = max(len(left) for left, _ in rows)
    lines = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, max(WIDTH - width - 4, 30)) or [""]
        lines.append(f"  {left:<{width}}  {wrapped[0]}".rstrip())
        lines += [" " * (width + 4) + line for line in wrapped[1:]]
    return lines
