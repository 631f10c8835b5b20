"""What a run is compared with: an earlier one, kept as a file. Pure: JSON in, findings out.

The gate closes on a *stable new failure* alone: a cell that failed in every round, where the
baseline's did not fail, or failed in another way. What fails now and then is told and lets pass;
what improved is told. A scenario that changed since, or that the baseline does not have, cannot be
compared, and neither can a cell that did not run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import UsageError
from lab.verdicts.verdict import Outcome

VERSION = 2  # 1 told scenarios apart by every word in them
KIND = "notify-lab baseline"
SAVE = "lab baseline save makes one from a run"

Json = Mapping[str, Any]


def of(matrix: Json) -> dict[str, Any]:
    """A baseline from a run's matrix.json."""
    fingerprints = {entry["name"]: entry["fingerprint"] for entry in matrix["scenarios"]}
    return {
        "kind": KIND,
        "version": VERSION,
        "started": matrix["started"],
        "cells": [
            {
                "server": cell["server"],
                "scenario": cell["scenario"],
                "verdict": cell["verdict"],
                "as_expected": cell["as_expected"],
                "reason": cell["reason"],
                "fingerprint": fingerprints[cell["scenario"]],
            }
            for cell in matrix["cells"]
            if cell["verdict"] != Outcome.NOT_RUN
        ],
    }


def load(path: Path) -> dict[str, Any]:
    """Raises `UsageError` on what is no baseline, or one of another version."""
    try:
        plain = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a baseline: {error}", SAVE) from error
    if not isinstance(plain, dict) or plain.get("kind") != KIND:
        raise UsageError(f"{path} is no baseline", SAVE)
    if plain.get("version") != VERSION:
        raise UsageError(
            f"{path} is a baseline of version {plain.get('version')}, this lab reads {VERSION}: "
            "they do not tell in the same way whether a scenario changed",
            f"save it anew: {SAVE}",
        )
    return plain


@dataclass
class Comparison:
    """A line for each cell of note. `compared` counts the cells that could be compared, `skipped`
    those that could not and are as expected anyway."""

    new_failures: list[str] = field(default_factory=list)
    now_and_then: list[str] = field(default_factory=list)
    improved: list[str] = field(default_factory=list)
    incomparable: list[str] = field(default_factory=list)
    compared: int = 0
    skipped: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing newly and stably fails."""
        return not self.new_failures

    def as_json(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "compared": self.compared,
            "skipped": self.skipped,
            "new_failures": self.new_failures,
            "now_and_then": self.now_and_then,
            "improved": self.improved,
            "incomparable": self.incomparable,
        }


def compare(baseline: Json, matrix: Json) -> Comparison:
    """A run's matrix.json against a baseline."""
    known = {(cell["server"], cell["scenario"]): cell for cell in baseline["cells"]}
    fingerprints = {entry["name"]: entry["fingerprint"] for entry in matrix["scenarios"]}
    found = Comparison()
    for cell in matrix["cells"]:
        before = known.get((cell["server"], cell["scenario"]))
        where = f"{cell['scenario']} on {cell['server']}"
        why_not = _incomparable(before, cell, fingerprints[cell["scenario"]])
        if why_not and cell["as_expected"]:
            found.skipped += 1
        elif why_not:
            found.incomparable.append(f"{where}: {why_not}; now {cell['verdict']}")
        elif before is not None:
            found.compared += 1
            _compare_cell(found, where, before, cell)
    return found


def _incomparable(before: Json | None, cell: Json, fingerprint: str) -> str:
    """Why a cell cannot be compared; "" if it can."""
    if before is None:
        return "not in the baseline"
    if cell["verdict"] == Outcome.NOT_RUN:
        return f"was {before['verdict']}"
    if before["fingerprint"] != fingerprint:
        return "the scenario changed since the baseline"
    return ""


def _compare_cell(found: Comparison, where: str, before: Json, cell: Json) -> None:
    said = f"{where}: {before['verdict']} -> {cell['verdict']}"
    if cell["as_expected"]:
        if not before["as_expected"]:
            found.improved.append(said)
        return
    if not before["as_expected"] and before["verdict"] == cell["verdict"]:
        return
    said += f": {cell['reason']}" if cell["reason"] else ""
    stability = cell["stability"]
    if stability["failed"] == stability["rounds"]:
        found.new_failures.append(said)
    else:
        found.now_and_then.append(f"{said} ({stability['failed']} of {stability['rounds']} rounds)")


HEADINGS = (
    ("new_failures", "Newly failing, in every round"),
    ("now_and_then", "Failing now and then"),
    ("improved", "Improved"),
    ("incomparable", "Not compared"),
)


def lines(found: Comparison) -> list[str]:
    """The comparison for people."""
    said = []
    for name, heading in HEADINGS:
        entries = getattr(found, name)
        if entries:
            said += [f"{heading}:", *(f"  {entry}" for entry in entries)]
    if found.skipped:
        said.append(
            f"{found.skipped} cells are as expected, and are not in the baseline or of a scenario "
            "that changed since."
        )
    if not found.compared:
        return [*said, f"Nothing could be compared: {SAVE}."]
    word = "nothing newly fails" if found.holds else f"{len(found.new_failures)} newly failing"
    return [*said, f"Against the baseline ({found.compared} cells compared): {word}."]
