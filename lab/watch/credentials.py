"""As whom to log on: the password is in a file, the environment or typed, never an argument."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from lab.errors import UsageError

VARIABLE = "LAB_WATCH_PASSWORD"


def password(
    user: str,
    file: str,
    environ: Mapping[str, str],
    *,
    own: Callable[[], str] | None = None,
    ask: Callable[[str], str] | None = None,
) -> str:
    """The first that there is of: the file, the variable, the lab's own secret, the prompt.

    `own` gives the lab's password, for its own share and user; `ask` is the prompt, None for the
    terminal's, if there is a terminal.
    """
    if file:
        return _from_file(Path(file))
    if VARIABLE in environ:
        return environ[VARIABLE]
    if own is not None:
        return own()
    if ask is None and not sys.stdin.isatty():
        raise UsageError(
            f"there is no password for {user!r}, and no terminal to ask on",
            f"--password-file FILE, or {VARIABLE} in the environment",
        )
    return (ask or getpass.getpass)(f"password of {user}: ")


def _from_file(path: Path) -> str:
    """Its first line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"--password-file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--password-file {path}: not UTF-8 text") from None
    if not lines:
        raise UsageError(f"--password-file {path} is empty", "the password is its first line")
    return lines[0]


def check_user(user: str) -> str:
    """The name, perhaps after its domain (`DOMAIN\\NAME`), if there is one."""
    if not user:
        raise UsageError("--user is empty", "--user NAME")
    domain, backslash, name = user.rpartition("\\")
    if not name or (backslash and not domain):
        raise UsageError(f"--user {user!r} lacks a part", r"--user NAME, or --user DOMAIN\NAME")
    return user
