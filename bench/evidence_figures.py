"""What a full run costs, and how its report opens in Chromium."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from bench.lab_figures import lab
from bench.report import Figure
from tests.evidence import browser

ALL_BAR_S = 60.0
WITHOUT_KSMBD_BAR_S = 25.0
REPORT_BAR_MB = 5.0
INTERACTIVE_BAR_S = 1.0
CELL = "py/H1"


def measure(times: int) -> list[Figure]:
    """Needs an engine, with the lab up, and Chromium for the last figure."""
    runs = [_run("--all") for _ in range(times)]
    quick = [_run("--server", "samba,py") for _ in range(times)]
    what = "with captures, ladders and report"
    figures = [
        Figure(
            "matrix, every scenario x 3 servers",
            "s",
            [seconds for seconds, _ in runs],
            ALL_BAR_S,
            f"wall clock of lab run-scenarios --all, {what}",
            {"scenarios": len(_matrix(runs[0][1])["scenarios"])},
        ),
        Figure(
            "matrix, without ksmbd",
            "s",
            [seconds for seconds, _ in quick],
            WITHOUT_KSMBD_BAR_S,
            f"wall clock of lab run-scenarios --server samba,py, {what}",
        ),
        Figure(
            "report of the matrix",
            "MB",
            [(run / "report.html").stat().st_size / 1e6 for _, run in runs],
            REPORT_BAR_MB,
            "size of report.html",
        ),
    ]
    path = browser.find()
    if path is not None:
        samples = [opened(path, run / "report.html") for _, run in runs]
        figures.append(
            Figure(
                "report interactive in Chromium",
                "s",
                samples,
                INTERACTIVE_BAR_S,
                "from Page.navigate until a cell that was asked for shows its ladder",
            )
        )
    return figures


def _run(*words: str) -> tuple[float, Path]:
    began = time.perf_counter()
    told = json.loads(lab("run-scenarios", *words, "--json"))
    return time.perf_counter() - began, Path(told["folder"])


def _matrix(run: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((run / "matrix.json").read_text())
    return plain


def opened(path: str, report: Path) -> float:
    """Seconds until the report has been read, a cell opened, and its ladder is on the screen.

    The browser itself is warm: a first, empty page was open before.
    """
    shown = (
        f"location.hash = '#{CELL}'; new Promise(done => requestAnimationFrame(() => setTimeout("
        "() => done(document.getElementById('detail').innerText.includes('CHANGE_NOTIFY')), 0)))"
    )
    with browser.Page(path) as tab:
        began = time.perf_counter()
        tab.open(report)
        seen = tab.run(shown)
        took = time.perf_counter() - began
        assert seen, "the cell does not show its ladder"
    return took
