"""`lab completion`."""

from __future__ import annotations

from typing import Any

from lab.cli.completion import SCRIPTS, SHELLS
from lab.cli.registry import command
from lab.cli.words import Positional


@command(
    "completion",
    positional=Positional("shell", SHELLS),
    examples=(
        ('eval "$(lab completion bash)"', "in ~/.bashrc"),
        ('eval "$(lab completion zsh)"', "in ~/.zshrc, after compinit"),
        ("lab completion fish > ~/.config/fish/completions/lab.fish", "once"),
    ),
)
def completion(context: Any, shell: str) -> int:
    """Print the completion script of a shell."""
    print(SCRIPTS[shell], end="")
    return 0
