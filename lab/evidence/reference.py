"""Naming one packet of a run, as its report shows it: `RUN/SERVER/SCENARIO:FRAME`.

RUN may be left out (the latest one), and SERVER where it is known from elsewhere. FRAME is the
packet's number in its capture, or `#7` for the first packet with that MessageId.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UsageError
from lab.evidence import compare, run_folder
from lab.evidence.ladder import Ladder

FORM = "[RUN/][SERVER/]SCENARIO:FRAME, as in latest/samba/H1:57 or H1:#7"
_REFERENCE = re.compile(r"(?:(?P<before>.+)/)?(?P<scenario>[^/:]+):(?P<packet>#?\d+)")


@dataclass(frozen=True)
class Packet:
    """One packet that was named, and when it was sent, in seconds of the epoch."""

    cell: Path
    server: str
    scenario: str
    frame: int
    time: float


def find(text: str, server: str, find_run: Callable[[str], Path]) -> Packet:
    """The packet that `text` names; `server` where it names none.

    Raises UsageError with the nearest names, or with the packets that there are.
    """
    matched = _REFERENCE.fullmatch(text)
    if matched is None:
        raise UsageError(f"{text!r} names no packet", FORM)
    run_word, _, named = (matched["before"] or "").rpartition("/")
    run = find_run(run_word)
    matrix = run_folder.read_matrix(run)
    server = compare.known(named or server, matrix["servers"], "server")
    known = [str(entry["name"]) for entry in matrix["scenarios"]]
    scenario = compare.known(matched["scenario"], known, "scenario")
    cell = run / server / scenario
    ladder, trouble = run_folder.read_ladder(cell)
    if ladder is None:
        raise UsageError(f"{scenario} on {server} has no packets: {trouble}")
    return Packet(cell, server, scenario, *_packet(ladder, matched["packet"]))


def _packet(ladder: Ladder, word: str) -> tuple[int, float]:
    number = int(word.removeprefix("#"))
    for rung in ladder.rungs:
        by_id = rung.message_id == number and rung.stage not in ("setup", "event")
        if by_id if word.startswith("#") else rung.frame == number:
            return rung.frame, ladder.began + rung.time
    frames = sorted({rung.frame for rung in ladder.rungs})
    raise UsageError(
        f"{ladder.scenario} on {ladder.server} has no packet {word}",
        f"frames: {', '.join(map(str, frames))}",
    )
