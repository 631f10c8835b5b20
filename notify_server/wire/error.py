"""SMB2 ERROR Response (2.2.2)."""

from __future__ import annotations

from struct import Struct
from typing import Final

_ERROR: Final = Struct("<HBBI")
_CONTEXT: Final = Struct("<II")

ERROR_BODY: Final = _ERROR.pack(9, 0, 0, 0) + b"\0"


def pack_error(data: bytes, *, with_context: bool) -> bytes:
    """ERROR Response body; `with_context` wraps ErrorData as dialect 3.1.1 wants (2.2.2.1)."""
    if not data:
        return ERROR_BODY
    if with_context:
        data = _CONTEXT.pack(len(data), 0) + data
    return _ERROR.pack(9, int(with_context), 0, len(data)) + data
