"""Captures as files: read, cut to a cell's connections, written; TCP no deeper than its header.

The classic libpcap format as tcpdump writes it, either byte order, micro- or nanoseconds. What the
packets say above TCP is tshark's to decode; this module only tells which packet belongs to which
connection, and whether bytes of a connection are missing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

MAGIC_US, MAGIC_NS = 0xA1B2C3D4, 0xA1B23C4D
FIN, SYN, RST = 0x01, 0x02, 0x04
TCP = 6


class NotACapture(ValueError):
    """The bytes are no libpcap file; the message says why."""


@dataclass(frozen=True)
class Packet:
    """One captured frame; `time` in seconds of the epoch, `length` its size on the wire."""

    time: float
    data: bytes
    length: int
    raw_header: bytes = b""


@dataclass(frozen=True)
class Pcap:
    """A capture file. `cut_short`: the file ends inside a packet."""

    header: bytes
    linktype: int
    packets: tuple[Packet, ...]
    cut_short: bool = False

    def to_bytes(self) -> bytes:
        return self.header + b"".join(p.raw_header + p.data for p in self.packets)


def read(data: bytes) -> Pcap:
    """Raises `NotACapture`."""
    if len(data) < 24:
        raise NotACapture("the file is shorter than a capture's header")
    for order in "<>":
        magic, *_, linktype = struct.unpack(order + "IHHiIII", data[:24])
        if magic in (MAGIC_US, MAGIC_NS):
            break
    else:
        raise NotACapture("the file does not begin as a libpcap capture")
    fraction = 1e9 if magic == MAGIC_NS else 1e6
    packets, at = [], 24
    while at + 16 <= len(data):
        seconds, part, captured, length = struct.unpack(order + "IIII", data[at : at + 16])
        if at + 16 + captured > len(data):
            break
        body = data[at + 16 : at + 16 + captured]
        packets.append(Packet(seconds + part / fraction, body, length, data[at : at + 16]))
        at += 16 + captured
    return Pcap(data[:24], linktype & 0xFFFF, tuple(packets), cut_short=at != len(data))


@dataclass(frozen=True)
class Segment:
    """A TCP segment; addresses as bytes."""

    source: tuple[bytes, int]
    target: tuple[bytes, int]
    sequence: int
    flags: int
    payload: bytes
    payload_length: int  # on the wire: more than len(payload) if the snapshot was too short


def _after(ethertype_at: int, header: int) -> Callable[[bytes], tuple[int, bytes]]:
    def split(frame: bytes) -> tuple[int, bytes]:
        return int.from_bytes(frame[ethertype_at : ethertype_at + 2], "big"), frame[header:]

    return split


def _raw(frame: bytes) -> tuple[int, bytes]:
    return (0x86DD if frame[:1] and frame[0] >> 4 == 6 else 0x0800), frame


# DLT → (EtherType, the packet after the link layer's header)
LINK_TYPES: Mapping[int, Callable[[bytes], tuple[int, bytes]]] = {
    1: _after(12, 14),  # EN10MB; tcpdump on lo has it too
    101: _raw,  # RAW
    113: _after(14, 16),  # LINUX_SLL, `-i any` of old
    276: _after(0, 20),  # LINUX_SLL2
}


def segment(packet: Packet, linktype: int) -> Segment | None:
    """The packet's TCP segment; None if it is something else, or too short to tell."""
    split = LINK_TYPES.get(linktype)
    if split is None:
        return None
    ethertype, ip = split(packet.data)
    parser = _IP.get(ethertype)
    parsed = parser(ip) if parser else None
    if parsed is None:
        return None
    source, target, total, tcp = parsed
    if len(tcp) < 20:
        return None
    sport, dport, sequence, _, offset, flags = struct.unpack(">HHIIBB", tcp[:14])
    header = (offset >> 4) * 4
    return Segment(
        (source, sport), (target, dport), sequence, flags, tcp[header:total], total - header
    )


_Parsed = tuple[bytes, bytes, int, bytes]


def _ipv4(ip: bytes) -> _Parsed | None:
    if len(ip) < 20 or ip[9] != TCP:
        return None
    header = (ip[0] & 0x0F) * 4
    return ip[12:16], ip[16:20], int.from_bytes(ip[2:4], "big") - header, ip[header:]


def _ipv6(ip: bytes) -> _Parsed | None:
    if len(ip) < 40 or ip[6] != TCP:
        return None
    return ip[8:24], ip[24:40], int.from_bytes(ip[4:6], "big"), ip[40:]


_IP: Mapping[int, Callable[[bytes], _Parsed | None]] = {0x0800: _ipv4, 0x86DD: _ipv6}


@dataclass
class Stream:
    """One TCP connection to the server's port, from the client's point of view."""

    client: tuple[bytes, int]
    server: tuple[bytes, int] = (b"", 0)
    packets: list[Packet] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    @property
    def began(self) -> float:
        return self.packets[0].time

    @property
    def ended(self) -> float:
        return self.packets[-1].time

    @property
    def closed(self) -> bool:
        return any(s.flags & (FIN | RST) for s in self.segments)

    @property
    def from_the_start(self) -> bool:
        return any(s.flags & SYN for s in self.sent(by_client=True))

    def sent(self, by_client: bool) -> list[Segment]:
        return [s for s in self.segments if (s.source == self.client) is by_client]

    def first_payload(self, by_client: bool) -> bytes:
        return next((s.payload for s in self.sent(by_client) if s.payload), b"")

    def missing(self) -> int:
        """How many bytes, either way, TCP's sequence numbers say were sent but are not here."""
        return sum(_missing(self.sent(by_client)) for by_client in (True, False))


def _missing(segments: Iterable[Segment]) -> int:
    lost, expected = 0, None
    for s in segments:
        lost += max(0, s.payload_length - len(s.payload))
        if s.flags & RST:
            continue
        if expected is None:
            expected = s.sequence
        ahead = (s.sequence - expected) & 0xFFFFFFFF
        if ahead >= 1 << 31:  # a retransmission
            continue
        lost += ahead
        length = s.payload_length + bool(s.flags & SYN) + bool(s.flags & FIN)
        expected = (s.sequence + length) & 0xFFFFFFFF
    return lost


def streams(capture: Pcap, port: int) -> list[Stream]:
    """The TCP connections to `port`, in the order in which they were opened."""
    found: dict[tuple[tuple[bytes, int], tuple[bytes, int]], Stream] = {}
    every: list[Stream] = []
    for packet in capture.packets:
        s = segment(packet, capture.linktype)
        if s is None or port not in (s.source[1], s.target[1]):
            continue
        client, server = (s.source, s.target) if s.target[1] == port else (s.target, s.source)
        opens_anew = s.flags & SYN and s.source == client
        stream = found.get((client, server))
        if stream is None or (opens_anew and stream.closed):
            stream = found[(client, server)] = Stream(client, server)
            every.append(stream)
        stream.packets.append(packet)
        stream.segments.append(s)
    return every


def cut(
    capture: Pcap,
    connections: Iterable[Stream],
    began: float,
    ended: float,
    client_ports: Collection[int] = (),
) -> Pcap:
    """Of the capture's `connections` those opened in that time, whole.

    Only those from `client_ports` if any are given. Without, a connection that outlives the time by
    more than a second is not the scenario's: scenarios close theirs.
    """
    packets: list[Packet] = []
    for stream in connections:
        if not began <= stream.began <= ended:
            continue
        mine = stream.client[1] in client_ports if client_ports else stream.ended <= ended + 1.0
        if mine:
            packets += stream.packets
    packets.sort(key=lambda packet: packet.time)
    return Pcap(capture.header, capture.linktype, tuple(packets))
