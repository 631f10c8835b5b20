"""The gate's verdict as Markdown, to be pasted under a patch. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.gate.judge import Judged

HEADINGS = (
    ("new_failures", "Newly failing, in every round"),
    ("new_crashes", "New reports of the kernel"),
    ("now_and_then", "Worse now and then (lets pass)"),
    ("improved", "Improved"),
    ("other", "As good or bad as before, in another way"),
    ("not_compared", "Not compared"),
)

NOTHING = "nothing compared"
UNFINISHED = "not finished"


@dataclass(frozen=True)
class Compared:
    """One side, for people: what it is, which module and kernel it ran."""

    what: str
    module: str = ""
    kernel: str = ""

    def as_json(self) -> dict[str, str]:
        return {"what": self.what, "module": self.module, "kernel": self.kernel}


@dataclass
class Verdict:
    """What came of one candidate. `broken` is why it could not even be run: that is a failure.

    Where nothing could be compared it is neither good nor bad: it does not hold, and is not `bad`.
    """

    base: Compared
    candidate: Compared
    judged: Judged = field(default_factory=Judged)
    broken: str = ""
    folders: Sequence[str] = ()

    @property
    def bad(self) -> bool:
        return bool(self.broken) or not self.judged.holds

    @property
    def holds(self) -> bool:
        return not self.bad and self.judged.compared > 0

    @property
    def word(self) -> str:
        return "FAILED" if self.bad else "passed" if self.holds else NOTHING

    def as_json(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "base": self.base.as_json(),
            "candidate": self.candidate.as_json(),
            "broken": self.broken,
            **{name: getattr(self.judged, name) for name, _ in HEADINGS},
            "compared": self.judged.compared,
            "folders": list(self.folders),
        }


def markdown(
    verdicts: Sequence[Verdict],
    scenarios: int,
    rounds: int,
    accelerator: str,
    *,
    finished: bool = True,
) -> str:
    """The whole of it: one candidate, or each commit of a range with the first bad one named.

    Of a run that ended early, the commits that it came to.
    """
    bad = [verdict for verdict in verdicts if verdict.bad]
    open_ones = [verdict for verdict in verdicts if not verdict.holds and not verdict.bad]
    word = (bad or open_ones or verdicts)[0].word if bad or finished else UNFINISHED
    lines = [f"## CHANGE_NOTIFY gate: {word}", ""]
    if len(verdicts) > 1:
        lines += _table_of(verdicts, bad)
    if not finished:
        lines += ["The run ended early: what comes after these is not judged.", ""]
    shown = verdicts if len(verdicts) == 1 else (bad or open_ones)[:1]
    for verdict in shown:
        lines += _sides(verdict) + _findings(verdict)
    times = "once" if rounds == 1 else f"{rounds} times"
    lines.append(f"{scenarios} scenarios, each {times} on either side; guests on {accelerator}.")
    return "\n".join(lines) + "\n"


def _table_of(verdicts: Sequence[Verdict], bad: Sequence[Verdict]) -> list[str]:
    lines = ["| commit | verdict |", "|---|---|"]
    for verdict in verdicts:
        word = _short(verdict) if verdict.bad else verdict.word
        lines.append(f"| {verdict.candidate.what.replace('|', chr(92) + '|')} | {word} |")
    first = f"First bad: **{bad[0].candidate.what}**" if bad else "None is bad."
    if any(verdict.word == NOTHING for verdict in verdicts):
        first += " Of some nothing could be compared."
    return [*lines, "", first, ""]


def _short(verdict: Verdict) -> str:
    if verdict.broken:
        lines = verdict.broken.splitlines()
        return next((line.strip() for line in lines if " error: " in line), lines[0])
    judged = verdict.judged
    return f"{len(judged.new_failures)} newly failing, {len(judged.new_crashes)} new reports"


def _sides(verdict: Verdict) -> list[str]:
    lines = ["| | | module | kernel |", "|---|---|---|---|"]
    for name, side in (("base", verdict.base), ("candidate", verdict.candidate)):
        what = side.what.replace("|", "\\|")
        lines.append(f"| {name} | {what} | {side.module[:12] or '-'} | {side.kernel or '-'} |")
    return [*lines, ""]


def _findings(verdict: Verdict) -> list[str]:
    if verdict.broken:
        return ["### It cannot be run", "", "```", *verdict.broken.splitlines(), "```", ""]
    lines = []
    for name, heading in HEADINGS:
        entries = getattr(verdict.judged, name)
        if entries:
            lines += [f"### {heading}", "", *(f"- {_plain(entry)}" for entry in entries), ""]
    if not lines:
        lines = ["No difference.", ""]
    return [*lines, f"{verdict.judged.compared} cells compared.", ""]


def _plain(entry: str) -> str:
    """One line, its scenario in bold."""
    name, colon, rest = " ".join(entry.split()).partition(":")
    return f"**{name}**{colon}{rest}" if colon and " " not in name else " ".join(entry.split())
