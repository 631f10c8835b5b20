"""`make bench`: measure, write bench/results.json, print tables. `--help` says which parts."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import lab_figures, report

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="samples of each slow figure (5)")
    given = parser.parse_args()
    figures = lab_figures.measure(given.times)
    report.write(RESULTS, "lab", figures, lab_figures.facts())
    report.show("The lab", figures)


if __name__ == "__main__":
    main()
