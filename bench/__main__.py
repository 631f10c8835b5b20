"""Measure, write bench/results.json, print tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import (
    evidence_figures,
    kernel_figures,
    lab_figures,
    notify_figures,
    report,
    samba_figures,
    watch_figures,
)

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=…",
        description="Measure the lab's and the server's figures. Brings the lab up; leaves it up.",
    )
    parser.add_argument(
        "part",
        nargs="?",
        choices=("all", "lab", "evidence", "kernel", "server", "watch", "samba"),
        default="all",
        help="samba (compiles smbd: minutes to hours) is not part of all",
    )
    parser.add_argument("--times", type=int, default=5, help="samples of the lab's figures (5)")
    parser.add_argument("--n", type=int, default=2000, help="samples of each latency (2000)")
    parser.add_argument("--seconds", type=int, default=60, help="of the sustained load (60)")
    parser.add_argument("--directories", type=int, default=100_000, help="of the tree (100000)")
    given = parser.parse_args()
    if given.part in ("all", "lab"):
        figures = lab_figures.measure(given.times)
        report.write(RESULTS, "lab", figures, lab_figures.facts())
        report.show("The lab", figures)
    if given.part in ("all", "evidence"):
        lab_figures.lab("up")
        figures = evidence_figures.measure(min(given.times, 3))
        report.write(RESULTS, "evidence", figures, lab_figures.facts())
        report.show("The full matrix and its report", figures)
    if given.part in ("all", "kernel"):
        figures = kernel_figures.measure(given.times)
        report.write(RESULTS, "kernel", figures, lab_figures.facts())
        report.show("The development loop of ksmbd", figures)
    if given.part in ("all", "server"):
        lab_figures.lab("up")
        figures, failures = notify_figures.measure(given.n, given.seconds, given.directories)
        report.write(RESULTS, "server", figures, lab_figures.facts())
        report.show("notify_server beside smbd", figures)
        if failures:
            sys.exit("not measured:\n" + "\n".join(failures))
    if given.part == "samba":
        figures = samba_figures.measure(given.times)
        report.write(RESULTS, "samba", figures, {})
        report.show("smbd from source", figures)
    if given.part in ("all", "watch"):
        figures = watch_figures.measure()
        report.write(RESULTS, "watch", figures, {})
        report.show("lab watch", figures)


if __name__ == "__main__":
    main()
