"""Responses with bytes overwritten: all down to the picture is still made, and nothing raises."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.evidence import capture, diff, ladder, ladder_svg, ladder_text, pcap, report, tshark
from tests.evidence.material import PORT, built, directory_of, pcap_of

NAME = "samba-changes"


def _damaged(seed: int) -> bytes:
    chance = random.Random(seed)
    whole = pcap.read(pcap_of(NAME))
    packets = []
    for packet in whole.packets:
        data = bytearray(packet.data)
        segment = pcap.segment(packet, whole.linktype)
        if segment and len(segment.payload) > 80 and chance.random() < 0.3:
            begins = len(data) - len(segment.payload)
            for _ in range(chance.choice([1, 4, 30])):
                data[begins + chance.randrange(4, len(segment.payload))] = chance.randrange(256)
        packets.append(pcap.Packet(packet.time, bytes(data), packet.length, packet.raw_header))
    return pcap.Pcap(whole.header, whole.linktype, tuple(packets)).to_bytes()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_capture_still_makes_a_ladder(seed: int, tmp_path: Path) -> None:
    file = tmp_path / "damaged.pcap"
    file.write_bytes(_damaged(seed))
    capture.judge(file.read_bytes(), PORT)
    decoded = tshark.decode(tshark.run_here, str(file), PORT)
    whole = ladder.build(decoded, directory=directory_of(NAME))
    assert whole.rungs
    text = ladder_text.render(whole, ladder_text.MAIL)
    assert max(len(line) for line in text.splitlines()) <= 74
    assert ladder.Ladder.from_json(json.loads(json.dumps(whole.to_json()))).rungs
    ElementTree.fromstring(ladder_svg.render(whole))
    assert "\n" in diff.render(diff.compare(built(NAME), whole))
    assert "<" not in report.embedded_json(report.rungs(whole))
