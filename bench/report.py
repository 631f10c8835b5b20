"""Samples of one figure, their median and spread, and the table that shows them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass
class Figure:
    """One figure: its samples in one unit, and the bar that it is held against.

    `bar` is the largest median that is good enough, in the same unit; None where there is none.
    """

    name: str
    unit: str
    samples: list[float]
    bar: float | None = None
    how: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """The 99th percentile by rank; the largest sample where there are fewer than 100."""
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]

    def as_json(self) -> dict[str, Any]:
        kept = self.samples if len(self.samples) <= 50 else []
        return {
            "name": self.name,
            "unit": self.unit,
            "n": len(self.samples),
            "median": round(self.median, 4),
            "p99": round(self.p99, 4),
            "min": round(min(self.samples), 4),
            "max": round(max(self.samples), 4),
            "bar": self.bar,
            "how": self.how,
            **({"samples": [round(value, 4) for value in kept]} if kept else {}),
            **self.extra,
        }


def timed(work: Callable[[], object], times: int) -> list[float]:
    """Wall-clock seconds of each of `times` calls."""
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        samples.append(time.perf_counter() - start)
    return samples


def machine() -> dict[str, Any]:
    """The machine, as far as a figure depends on it."""
    with open("/proc/meminfo") as meminfo:
        memory = int(meminfo.readline().split()[1]) // 1024
    return {
        "cores": os.cpu_count(),
        "memory_mib": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def write(path: Path, part: str, figures: Sequence[Figure], facts: dict[str, Any]) -> None:
    """Put one part's figures into the results file; the other parts stay as they are."""
    results = json.loads(path.read_text()) if path.exists() else {}
    results[part] = {
        "machine": {**machine(), **facts},
        "figures": [figure.as_json() for figure in figures],
    }
    path.write_text(json.dumps(results, indent=1) + "\n")


def show(title: str, figures: Sequence[Figure]) -> None:
    """The table on the terminal."""
    table = Table(title=title, title_justify="left")
    for column, justify in (
        ("figure", "left"),
        ("n", "right"),
        ("median", "right"),
        ("p99", "right"),
        ("bar", "right"),
        ("", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        verdict = "" if figure.bar is None else ("met" if figure.median <= figure.bar else "MISSED")
        table.add_row(
            figure.name,
            str(len(figure.samples)),
            f"{figure.median:.3g} {figure.unit}",
            f"{figure.p99:.3g}",
            "" if figure.bar is None else f"≤ {figure.bar:g}",
            verdict,
        )
    Console().print(table)
