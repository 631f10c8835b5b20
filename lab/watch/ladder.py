"""One line a PDU, from what this client itself sent and received: no capture, no tshark."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from lab.scenarios.model import Command
from lab.watch import filters

HEADER_SIZE = 64
WATCH_TREE = 0x1
ARROWS = {"out": "─▶", "in": "◀─"}


def rung(observed: dict[str, Any]) -> str:
    """`─▶ CHANGE_NOTIFY #7 filter file-name, length 65536`, without time and colour."""
    header = observed["header"]
    parts = [f"{ARROWS[observed['dir']]} {observed['command']:<15} #{header['message_id']}"]
    if observed["dir"] == "out":
        parts += _request(observed)
    else:
        parts += _response(observed)
    return " ".join(parts)


def _request(observed: dict[str, Any]) -> list[str]:
    words = []
    if "async_id" in observed["header"]:
        words.append(f"AsyncId {observed['header']['async_id']}")
    describe = DETAILS.get(observed["command"])
    if describe is not None:
        words += describe(bytes.fromhex(observed["raw"]))
    return [", ".join(words)] if words else []


def _response(observed: dict[str, Any]) -> list[str]:
    header, body = observed["header"], observed["body"]
    stage = "" if observed["stage"] == "final" else f"{observed['stage']} "
    words = [stage + observed["status"].removeprefix("STATUS_")]
    if "async_id" in header:
        words.append(f"AsyncId {header['async_id']}")
    if header["credits"]:
        words.append(f"credits {header['credits']}")
    if "records" in body:
        count = len(body["records"])
        words.append(f"{count} record{'' if count == 1 else 's'}")
    if "malformed" in body:
        words.append(f"malformed: {body['malformed']}")
    if observed["signature_ok"] is False:
        words.append("WRONG SIGNATURE")
    return [", ".join(words)]


def _create(pdu: bytes) -> list[str]:
    access = struct.unpack_from("<I", pdu, HEADER_SIZE + 24)[0]
    offset, length = struct.unpack_from("<HH", pdu, HEADER_SIZE + 44)
    name = pdu[offset : offset + length].decode("utf-16-le", errors="replace")
    return [f'"{name}"', f"access 0x{access:08x}"]


def _tree_connect(pdu: bytes) -> list[str]:
    offset, length = struct.unpack_from("<HH", pdu, HEADER_SIZE + 4)
    return [pdu[offset : offset + length].decode("utf-16-le", errors="replace")]


def _change_notify(pdu: bytes) -> list[str]:
    flags, length = struct.unpack_from("<HI", pdu, HEADER_SIZE + 2)
    value = struct.unpack_from("<I", pdu, HEADER_SIZE + 24)[0]
    words = "|".join(filters.in_words(value)) if value != filters.ALL else "all"
    tree = ["WATCH_TREE"] if flags & WATCH_TREE else []
    return [f"filter 0x{value:x} {words}", *tree, f"length {length}"]


DETAILS: dict[str, Callable[[bytes], list[str]]] = {
    Command.CREATE.name: _create,
    Command.TREE_CONNECT.name: _tree_connect,
    Command.CHANGE_NOTIFY.name: _change_notify,
}
