"""Captures as files: what belongs to a connection, and what is missing from it."""

from __future__ import annotations

import struct

import pytest

from lab.evidence import pcap
from tests.evidence.material import NAMES, PORT, pcap_of


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_that_is_read_and_written_is_the_same(name: str) -> None:
    assert pcap.read(pcap_of(name)).to_bytes() == pcap_of(name)


@pytest.mark.parametrize("data", [b"", b"\n\r\r\n" + bytes(40), b"x" * 24])
def test_what_is_no_libpcap_file_is_refused(data: bytes) -> None:
    with pytest.raises(pcap.NotACapture):
        pcap.read(data)


def test_other_byte_order_and_nanoseconds_are_read() -> None:
    header = struct.pack(">IHHiIII", pcap.MAGIC_NS, 2, 4, 0, 0, 65535, 101)
    packet = struct.pack(">IIII", 10, 500_000_000, 3, 3) + b"abc"
    capture = pcap.read(header + packet)
    assert (capture.linktype, capture.packets[0].time) == (101, 10.5)


def test_a_capture_is_one_connection_that_begins_with_syn_and_ends_with_fin() -> None:
    (stream,) = pcap.streams(pcap.read(pcap_of("samba-explorer")), PORT)
    assert stream.from_the_start
    assert stream.closed
    assert stream.missing() == 0


def test_a_packet_taken_out_is_missed_by_its_size() -> None:
    capture = pcap.read(pcap_of("samba-explorer"))
    with_payload = [
        at
        for at, packet in enumerate(capture.packets)
        if (s := pcap.segment(packet, capture.linktype)) and s.payload
    ]
    gone = with_payload[3]
    lost = pcap.segment(capture.packets[gone], capture.linktype)
    assert lost is not None
    packets = capture.packets[:gone] + capture.packets[gone + 1 :]
    (stream,) = pcap.streams(pcap.Pcap(capture.header, capture.linktype, packets), PORT)
    assert stream.missing() == len(lost.payload)


def test_a_retransmission_is_not_missing() -> None:
    capture = pcap.read(pcap_of("samba-explorer"))
    again = pcap.Pcap(capture.header, capture.linktype, capture.packets[:20] + capture.packets[8:])
    (stream,) = pcap.streams(again, PORT)
    assert stream.missing() == 0


def _both() -> pcap.Pcap:
    one, two = pcap.read(pcap_of("samba-explorer")), pcap.read(pcap_of("samba-changes"))
    return pcap.Pcap(one.header, one.linktype, one.packets + two.packets)


def _cut(capture: pcap.Pcap, began: float, ended: float, ports: tuple[int, ...] = ()) -> pcap.Pcap:
    return pcap.cut(capture, pcap.streams(capture, PORT), began, ended, ports)


def test_a_cell_is_cut_out_by_time() -> None:
    mine = pcap.read(pcap_of("samba-changes"))
    began, ended = mine.packets[0].time - 0.001, mine.packets[-1].time + 0.001
    assert _cut(_both(), began, ended).to_bytes() == mine.to_bytes()


def test_a_cell_is_cut_out_by_the_clients_port() -> None:
    mine = pcap.read(pcap_of("samba-explorer"))
    (stream,) = pcap.streams(mine, PORT)
    assert _cut(_both(), 0, 1e12, (stream.client[1],)).to_bytes() == mine.to_bytes()
    assert not _cut(_both(), 0, 1e12, (1,)).packets


def test_a_connection_that_outlives_the_cell_is_not_the_cells() -> None:
    mine = pcap.read(pcap_of("samba-explorer"))
    began = mine.packets[0].time
    early = pcap.Pcap(mine.header, mine.linktype, mine.packets)
    assert not _cut(early, began - 0.1, began + 0.1).packets


@pytest.mark.parametrize(("linktype", "header"), [(101, 0), (113, 16), (276, 20)])
def test_what_the_any_interface_writes_is_read_too(linktype: int, header: int) -> None:
    capture = pcap.read(pcap_of("samba-explorer"))
    lead = {0: b"", 16: bytes(14) + b"\x08\x00", 20: b"\x08\x00" + bytes(18)}[header]
    packets = tuple(
        pcap.Packet(p.time, lead + p.data[14:], p.length, p.raw_header) for p in capture.packets
    )
    (other,) = pcap.streams(pcap.Pcap(capture.header, linktype, packets), PORT)
    (stream,) = pcap.streams(capture, PORT)
    assert other.segments == stream.segments


def test_ip_version_6_is_read() -> None:
    tcp = struct.pack(">HHIIBBHHH", 50000, 445, 7, 0, 5 << 4, pcap.SYN, 0, 0, 0)
    ip = struct.pack(">IHBB", 6 << 28, len(tcp), pcap.TCP, 64) + bytes(32)
    found = pcap.segment(pcap.Packet(0, ip + tcp, 60), 101)
    assert found is not None
    assert (found.source[1], found.target[1], found.sequence) == (50000, 445, 7)
