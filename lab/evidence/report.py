"""`report.html`: a run in one file that needs no network, no server, and nothing beside it.

The page's data is JSON inside it, from which a script builds what is looked at, by text nodes only:
names and logs come from servers under test, and may hold anything. The Content-Security-Policy
allows that one script, by its hash, and no other.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
from markupsafe import Markup

from lab.evidence import diff, ladder_svg, ladder_text, run_folder, server_log
from lab.evidence.column import CAPTURE, LADDER_SVG, LADDER_TEXT
from lab.evidence.ladder import Ladder, Rung
from lab.evidence.run_folder import CellFolder, Json, Run
from lab.tracing import recording
from lab.tracing import text as trace_text

NAME = "report.html"
MAX_BYTES = 5_000_000
EMBEDDED_CAPTURES = 1_500_000  # of base64, all together; beyond it they are linked
LOG_BUDGET = 1_200_000  # characters of all logs together
LOG_AT_MOST = 16_000  # of one
OBSERVATIONS_AT_MOST = 250
RUNGS_AT_MOST = 600
TREE_DEPTH = 8
TREE_BUDGET = 250_000  # characters of one cell's trees
LINES_AT_MOST, LINE_AT_MOST = 60, 400  # log lines below one packet, characters of one
_HERE = Path(__file__).parent


def write(run_dir: Path, reproduce: str = "lab run-scenarios {scenario} --server {server}") -> Path:
    """Write the report of the run in `run_dir`. `reproduce` is the command for one cell."""
    html = render(run_folder.read(run_dir), reproduce)
    path = run_dir / NAME
    path.write_text(html, "utf-8")
    return path


def render(run: Run, reproduce: str = "lab run-scenarios {scenario} --server {server}") -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (_HERE / "report.js").read_text("utf-8")
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        matrix=run.matrix,
        cells={(cell["server"], cell["scenario"]): cell for cell in run.matrix["cells"]},
        reference=run.reference,
        versions=run.versions,
        words=sorted({cell["verdict"] for cell in run.matrix["cells"]}),
        css=(_HERE / "report.css").read_text("utf-8"),
        script=script,
        script_hash=hashed,
        data=embedded_json(data(run, reproduce)),
    )


def _shown(value: Any) -> Any:
    """What the template prints: text from the run has its control characters shown."""
    ours = isinstance(value, Markup) or not isinstance(value, str)
    return value if ours else ladder_text.visible(value)


def embedded_json(value: Any) -> str:
    """JSON that no HTML parser can mistake for markup, whatever its strings are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", errors="replace").decode()


# -- the page's data ----------------------------------------------------------------------------


def data(run: Run, reproduce: str) -> dict[str, Any]:
    """All that the script shows, as plain JSON."""
    listed = run.matrix["cells"]
    log_each = min(LOG_AT_MOST, LOG_BUDGET // max(1, len(listed)))
    captures = _captures(run)
    return {
        "run": run.path.name,
        "reference": run.reference,
        "servers": run.servers,
        "scenarios": {entry["name"]: entry for entry in run.matrix["scenarios"]},
        "cells": {
            f"{cell['server']}/{cell['scenario']}": _cell(
                run, cell, log_each, captures[cell["server"], cell["scenario"]], reproduce
            )
            for cell in listed
        },
    }


def _cell(run: Run, cell: Json, log_each: int, capture: Json, reproduce: str) -> dict[str, Any]:
    server, scenario = str(cell["server"]), str(cell["scenario"])
    folder = run.cells[server, scenario]
    reference = run.cells.get((run.reference, scenario))
    plain: dict[str, Any] = {
        "verdict": cell["verdict"],
        "expected": cell["as_expected"],
        "reason": ladder_text.visible(str(cell["reason"])),
        "link": safe_link(str(cell.get("link", ""))),
        "seconds": cell["seconds"],
        "observed": {
            key: ladder_text.visible(str(text)) for key, text in cell.get("observed", {}).items()
        },
        "findings": [
            f"{finding['rule']}: {ladder_text.visible(str(finding['text']))}"
            for finding in cell.get("findings", ())
        ],
        "crashes": [_crash(crash) for crash in cell.get("crashes", ())],
        "observations": [
            observation_line(observed) for observed in folder.observations[:OBSERVATIONS_AT_MOST]
        ],
        "more": max(0, len(folder.observations) - OBSERVATIONS_AT_MOST),
        "decided": cell.get("evidence", {}).get("observation", -1),
        "logs": {name: printable_tail(text, log_each) for name, text in folder.logs.items()},
        "capture": capture,
        "files": _files(run, folder),
        "reproduce": reproduce.format(scenario=scenario, server=server),
    }
    if folder.ladder is None:
        return plain | {"missing": folder.ladder_trouble}
    plain["ladder"] = rungs(folder.ladder)
    plain |= _under(folder, folder.ladder, log_each)
    if server != run.reference and reference is not None and reference.ladder is not None:
        plain["diff"] = _difference(reference.ladder, folder.ladder)
    return plain


def _crash(crash: Json) -> dict[str, str]:
    """What the kernel reported: its words, its fingerprint, and whether it is known."""
    known = f"known: {crash['reason']}" if crash.get("known") else "not known"
    rounds = int(crash.get("rounds", 1))
    told = {
        "title": str(crash["title"]),
        "fingerprint": str(crash["fingerprint"]),
        "known": known if rounds == 1 else f"{known}, in {rounds} rounds",
    }
    link = safe_link(str(crash.get("link", "")))
    return {key: ladder_text.visible(text) for key, text in told.items()} | {"link": link}


def _under(folder: CellFolder, ladder: Ladder, at_most: int) -> dict[str, Any]:
    """What stands below the packets: `trees` and `lines` by the index of the rung, as text."""
    found: dict[str, Any] = {}
    trace = recording.read(folder.path)
    if trace is not None:
        shown = trace_text.by_rung(trace_text.shortened(trace, TREE_DEPTH), ladder)
        left = TREE_BUDGET
        lost = f" {trace.lost} events were lost." if trace.lost else ""
        found["traced"] = ladder_text.visible(trace.how) + lost
        found["trees"] = {}
        for at, trees in sorted(shown.items()):
            kept = [
                [
                    f"{heading}: {gist}" if heading else gist,
                    "\n".join(trace_text.tree_lines(tree, "")),
                ]
                for heading, tree in trees
                for gist in [trace_text.gist(folder.path.parent.name, tree)]
            ]
            left -= sum(len(text) for _, text in kept)
            if left < 0:
                found["traced"] += f" The page is full: more in {run_folder.TRACED_LADDER}."
                break
            found["trees"][at] = kept
    lines: dict[int, list[str]] = {}
    for at, several in sorted(server_log.under(folder.log_lines, ladder).items()):
        at_most -= sum(map(len, several[:LINES_AT_MOST]))
        if at_most < 0:
            break
        more = len(several) - LINES_AT_MOST
        rest = [f"… and {more} more lines"] if more > 0 else []
        lines[at] = [line[:LINE_AT_MOST] for line in several[:LINES_AT_MOST]] + rest
    return found | ({"lines": lines} if lines else {})


def _difference(reference: Ladder, mine: Ladder) -> dict[str, Any]:
    """The rows, cut where the ladders are, and the words for the first that differs."""
    difference = diff.compare(reference, mine)
    plain = difference.to_json()
    plain["rows"] = [
        row for row in plain["rows"] if row[1] < RUNGS_AT_MOST and row[2] < RUNGS_AT_MOST
    ]
    plain["says"] = (
        diff.describe(difference.rows[difference.first], difference)
        if difference.rule
        else diff.verdict(difference)[0]
    )
    return plain


def rungs(ladder: Ladder) -> dict[str, Any]:
    """A ladder for the page: rows of strings, ready to be shown."""
    return {
        "directory": ladder_text.visible(ladder.directory),
        "named": len(ladder.conns) > 1,
        "rungs": [_rung(rung) for rung in ladder.rungs[:RUNGS_AT_MOST]],
        "more": max(0, len(ladder.rungs) - RUNGS_AT_MOST),
    }


def _rung(rung: Rung) -> list[Any]:
    """[ms, conn, bracket, colour, command, label, words, records, id, from client, frame]"""
    said = ", ".join(ladder_text.words(rung)).replace("|", " | ")
    if rung.stage == "event":
        said = "by the client" if rung.from_client else "by the server"
    return [
        round(rung.time * 1000, 1),
        ladder_text.visible(rung.conn),
        ladder_text.bracket(rung, ladder_text.TERMINAL.bracket).strip(),
        ladder_svg.css_class(rung),
        rung.command,
        ladder_text.role(rung),
        said,
        ladder_text.record_lines(rung),
        "" if rung.stage in ("setup", "event") else rung.message_id,
        int(rung.from_client),
        rung.frame,
    ]


_LINE_KEYS = (
    "conn",
    "ref",
    "stage",
    "command",
    "status",
    "index",
    "why",
    "text",
    "argv",
    "records",
)


def observation_line(observed: Json) -> str:
    """One line for an observation of the interpreter: what a reader looks for, no raw bytes."""
    parts = [f"{float(observed.get('t', 0)):8.4f}", str(observed.get("kind", "?"))]
    if "dir" in observed:
        parts.append({"in": "←", "out": "→"}.get(str(observed["dir"]), ""))
    parts += [str(observed[key]) for key in _LINE_KEYS if observed.get(key) not in (None, "")]
    body = observed.get("body")
    if isinstance(body, Mapping) and isinstance(body.get("records"), Sequence):
        listed = [record for record in body["records"] if isinstance(record, Mapping)]
        parts += [f"{record.get('action')} {record.get('name')}" for record in listed[:20]]
    if observed.get("signature_ok") is False:
        parts.append("WRONG SIGNATURE")
    if "traceback" in observed:
        parts.append(str(observed["traceback"]))
    return ladder_text.visible(" ".join(parts))[:400]


_UNPRINTABLE = re.compile(
    r"[^\n\t\x20-\x7e\u00a0-\uffff]|[\u200b-\u200f\u202a-\u202e\u2066-\u2069]"
)


def printable_tail(text: str, at_most: int) -> str:
    """The end of a log, whole lines, with escape sequences shown instead of obeyed."""
    clean = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if len(clean) <= at_most:
        return clean
    tail = clean[-at_most:]
    tail = tail.partition("\n")[2] or tail
    return f"… {len(clean) - len(tail)} characters before this are in the run's folder\n{tail}"


def safe_link(link: str) -> str:
    """A link to the web, or none: `javascript:` and the like are none."""
    return link if urlsplit(link).scheme in ("http", "https") else ""


def _files(run: Run, folder: CellFolder) -> list[str]:
    """The cell's files beside the report that are worth a link, as relative addresses."""
    names = (LADDER_TEXT, run_folder.TRACED_LADDER, LADDER_SVG, run_folder.OBSERVATIONS)
    return [
        (folder.path / name).relative_to(run.path).as_posix()
        for name in names
        if (folder.path / name).exists()
    ]


def _captures(run: Run) -> dict[tuple[str, str], Json]:
    """Captures inside the page, compressed (Wireshark opens them so), while the budget lasts."""
    left = EMBEDDED_CAPTURES
    captures: dict[tuple[str, str], Json] = {}
    for (server, scenario), folder in run.cells.items():
        if not folder.capture:
            captures[server, scenario] = {}
            continue
        packed = base64.b64encode(gzip.compress(folder.capture, 9, mtime=0)).decode()
        name = f"{server}-{scenario}.pcap"
        if len(packed) <= left:
            left -= len(packed)
            captures[server, scenario] = {"name": f"{name}.gz", "gz": packed}
        else:
            path = (folder.path / CAPTURE).relative_to(run.path).as_posix()
            captures[server, scenario] = {"name": name, "href": path}
    return captures
