"""H1 on ksmbd (Linux 6.12, emulated) and on py: what was traced, and the ladder beside it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from lab.evidence.ladder import Ladder
from lab.tracing.ksmbd import Mark

PORTS = {"ksmbd": {53088: "windows"}, "py": {58244: "windows"}}
# When ksmbd's trace was marked, before and after: on a machine so busy that the guest's clock, set
# by its time stamp counter, counts ten seconds for one.
MARKS = [
    Mark(1795374934.0815637, 1795374934.6498702),
    Mark(1795374934.649876, 1795374935.4839027),
    Mark(1795374935.4839072, 1795374936.4261127),
    Mark(1795374948.5774162, 1795374949.1813247),
    Mark(1795374949.18133, 1795374949.925616),
    Mark(1795374949.9256217, 1795374950.0364144),
]
_HERE = Path(__file__).with_name("recordings")


def text(server: str) -> str:
    return gzip.decompress((_HERE / f"{server}-h1.txt.gz").read_bytes()).decode()


def ladder(server: str) -> Ladder:
    return Ladder.from_json(json.loads((_HERE / f"{server}-h1.ladder.json").read_text()))
