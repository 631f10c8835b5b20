"""FILETIME ([MS-DTYP] 2.3.3)."""

from __future__ import annotations

from typing import Final

_EPOCH: Final = 116444736000000000  # 1970-01-01 in 100 ns units since 1601-01-01


def filetime(seconds: float) -> int:
    """A time in seconds since 1970-01-01 UTC as FILETIME."""
    return _EPOCH + int(seconds * 10_000_000)
