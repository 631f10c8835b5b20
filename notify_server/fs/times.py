"""FILETIMEs and nanoseconds since 1970 ([MS-DTYP] 2.3.3)."""

from __future__ import annotations

from typing import Final

_EPOCH: Final = 116_444_736_000_000_000  # 1970-01-01 in 100 ns since 1601-01-01
_LATEST: Final = (1 << 63) - 1

KEEP: Final = 0
"""Leave the time as it is."""
HOLD: Final = -1
"""Leave it, and do not let operations on this handle change it."""
RELEASE: Final = -2
"""Let operations change it again."""


def from_ns(ns: int) -> int:
    """A time that a FILETIME cannot say becomes the nearest that it can."""
    return min(max(0, ns // 100 + _EPOCH), _LATEST)


def to_ns(filetime: int) -> int:
    return (min(filetime, _LATEST) - _EPOCH) * 100


def signed(filetime: int) -> int:
    """A FILETIME of the wire, where -1 and -2 have meanings of their own."""
    return filetime - (1 << 64) if filetime >= 1 << 63 else filetime
