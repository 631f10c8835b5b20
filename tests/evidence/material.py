"""The captures of this folder, as two versions of tshark decoded them; and PDUs made up."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path
from typing import Any

from lab.evidence import ladder, tshark
from lab.evidence.ladder import Ladder
from lab.evidence.pdu import Pdu, TcpEvent

CAPTURES = Path(__file__).with_name("captures")
PORT = 24450
NAMES = sorted(path.stem for path in CAPTURES.glob("*.pcap"))
VERSIONS = ("4.0", "4.4")


def pcap_of(name: str) -> bytes:
    return (CAPTURES / f"{name}.pcap").read_bytes()


def pdml(name: str, version: str = "4.4") -> bytes:
    return gzip.decompress((CAPTURES / f"{name}.tshark-{version}.pdml.gz").read_bytes())


@functools.cache
def decoded(name: str, version: str = "4.4") -> tuple[Pdu | TcpEvent, ...]:
    return tuple(tshark.parse(pdml(name, version), PORT))


def pdus(name: str, version: str = "4.4") -> list[Pdu]:
    return [event for event in decoded(name, version) if isinstance(event, Pdu)]


def directory_of(name: str) -> str:
    first = next(pdu.name for pdu in pdus(name) if pdu.name)
    return first.partition("\\")[0]


@functools.cache
def built(name: str) -> Ladder:
    server, _, scenario = name.partition("-")
    return ladder.build(
        decoded(name), server=server, scenario=scenario, directory=directory_of(name)
    )


def pdu(**fields: Any) -> Pdu:
    """A CHANGE_NOTIFY, or what the fields say; a status makes it a response."""
    values: dict[str, Any] = {"frame": 1, "time": 0.0, "stream": 0, "client_port": 50000}
    values |= {"command": 15, "flags": 0}
    values |= fields
    if values.get("status") is not None:
        values["flags"] |= 1
        values.setdefault("status_name", "STATUS_SUCCESS")
    return Pdu(**values)
