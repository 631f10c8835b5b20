"""A run's folder made of this folder's captures, with hostile strings where servers speak."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.evidence import column, pcap, run_folder
from lab.evidence.column import Span
from lab.evidence.ladder import Ladder
from lab.tracing.model import Call, Trace, Tree
from tests.evidence.material import PORT, decoded, directory_of, pcap_of

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">&amp;`@all`|\x1b[31m\u202e"
# (server, scenario) → the capture that stands for it
CELLS = {
    ("samba", "H1"): "deaf-explorer",
    ("ksmbd", "H1"): "disabled-explorer",
    ("py", "H1"): "samba-explorer",
    ("samba", "C2"): "samba-changes",
    ("ksmbd", "C2"): "",
    ("py", "C2"): "samba-changes-sealed",
}
VERDICTS: dict[tuple[str, str], tuple[str, bool, str]] = {
    ("samba", "H1"): ("fail", False, f"n2 answered CANCELLED {HOSTILE}"),
    ("ksmbd", "H1"): ("unsupported", True, "CHANGE_NOTIFY answered STATUS_NOT_IMPLEMENTED"),
    ("py", "H1"): ("pass", True, ""),
    ("samba", "C2"): ("known deviation", True, "it is slow"),
    ("ksmbd", "C2"): ("server crash", False, "it ended: kernel BUG at lib/list_debug.c:29"),
    ("py", "C2"): ("pass", True, ""),
}
CRASH = {
    "kind": "bug",
    "title": f"kernel BUG at lib/list_debug.c:29 {HOSTILE}",
    "fingerprint": "bug: __list_add_valid_or_report < smb2_open",
    "functions": "",
    "fatal": True,
    "taints": "",
    "known": True,
    "reason": "a list that is used after free",
    "link": "javascript:alert(2)",
    "rounds": 2,
}
TITLES = {"H1": "Explorer: enter, touch, leave", "C2": "Rename in a directory"}


def make(folder: Path) -> Path:
    for (server, scenario), name in CELLS.items():
        cell = folder / server / scenario
        cell.mkdir(parents=True)
        if name:
            packets = pcap.read(pcap_of(name)).packets
            span = Span(scenario, directory_of(name), packets[0].time - 1, packets[-1].time + 1)
            column.write_cells(folder / server, server, PORT, pcap_of(name), decoded(name), [span])
        observations = [
            {"kind": "begin", "t": 0.0, "directory": "d"},
            {"kind": "pdu", "t": 0.1, "dir": "in", "command": "CHANGE_NOTIFY", "status": HOSTILE},
        ]
        lines = "".join(json.dumps(observed) + "\n" for observed in observations)
        (cell / "observations.jsonl").write_text(lines + '{"kind": "half a li')
        (cell / "server.log").write_text(f"smbd says {HOSTILE}\n" * 3)
    _traced(folder / "py" / "H1")
    (folder / "ksmbd" / "C2" / "crash.txt").write_text(f"kernel BUG {HOSTILE}\n")
    (folder / "matrix.json").write_text(json.dumps(matrix(folder)))
    versions = {"samba": {"smbd": "4.22.8"}, "host": {"kernel": HOSTILE}}
    (folder / "versions.json").write_text(json.dumps(versions))
    return folder


def _traced(cell: Path) -> None:
    """A tree and a line of the log for the first CHANGE_NOTIFY."""
    ladder, trouble = run_folder.read_ladder(cell)
    assert ladder is not None, trouble
    at = first_notify(ladder)
    calls = (
        Call(0, "core.chain.Chain.advance"),
        Call(1, "core.notifying.change_notify", "notifying.py:26", HOSTILE),
    )
    trace = Trace("py", f"by hand, {HOSTILE}.", (Tree(ladder.began, calls, 5, rung=at),), lost=2)
    (cell / run_folder.TRACE).write_text(json.dumps(trace.to_json()))
    moment = datetime.fromtimestamp(ladder.began + ladder.rungs[at].time + 1e-4, UTC)
    with (cell / "server.log").open("a") as log:
        log.write(f"{moment:%Y-%m-%dT%H:%M:%S.%f} INFO notify_server.core.notify_log {HOSTILE}\n")


def first_notify(ladder: Ladder) -> int:
    return next(at for at, rung in enumerate(ladder.rungs) if rung.command == "CHANGE_NOTIFY")


def matrix(folder: Path) -> dict[str, Any]:
    servers = list(dict.fromkeys(server for server, _ in CELLS))
    return {
        "version": 1,
        "folder": str(folder),
        "started": "2026-11-22T16:00:00+00:00",
        "seconds": 12.3,
        "partial": False,
        "exit_code": 1,
        "servers": servers,
        "scenarios": [
            {
                "name": name,
                "title": title,
                "cites": ["MS-SMB2 3.3.5.19"],
                "rests_on": "a capture",
                "provisional": name == "C2",
            }
            for name, title in TITLES.items()
        ],
        "cells": [
            {
                "server": server,
                "scenario": scenario,
                "verdict": verdict,
                "as_expected": expected,
                "reason": reason,
                "link": "javascript:alert(1)" if verdict == "fail" else "https://example.org/x",
                "observed": {"verdict": verdict, "reason": reason},
                "evidence": {"step": 1, "observation": 1, "file": ""},
                "findings": [{"rule": "signed", "text": HOSTILE, "observation": 1}],
                "seconds": 0.25,
                **({"crashes": [CRASH]} if verdict == "server crash" else {}),
            }
            for (server, scenario), (verdict, expected, reason) in VERDICTS.items()
        ],
        "summary": {server: {"pass": 1, "fail": 1} for server in servers},
        "stale_deviations": {
            "samba": [{"scenario": "C1", "reason": HOSTILE, "link": ""}],
            "ksmbd": [],
        },
    }
