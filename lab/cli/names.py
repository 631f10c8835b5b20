"""The names that arguments may be and that depend on the lab: its servers and nodes."""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import UsageError
from lab.paths import find_root
from lab.settings import Settings, load


def _settings() -> Settings:
    """The lab's settings; defaults where they are wrong, which the command itself will say."""
    try:
        return load(find_root(Path.cwd(), os.environ).root, os.environ)
    except UsageError:
        return Settings()


def servers() -> tuple[str, ...]:
    """Every server under test, flavours included."""
    return _settings().backends


def nodes() -> tuple[str, ...]:
    """Every node."""
    return _settings().nodes


def ksmbd_nodes() -> tuple[str, ...]:
    """The nodes that run ksmbd."""
    from lab.backends import is_ksmbd

    return tuple(name for name in servers() if is_ksmbd(name))
