"""What a kernel's reports make of a cell's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lab.crashes.known import Identified
from lab.verdicts.verdict import Outcome, Verdict

FILE = "crash.txt"  # in a cell's folder: its reports, decoded
LEAKS_FILE = "leaks.txt"  # in a server's folder: what was not given back

# The scenario itself went well, or as well as is known.
_WELL = {
    Outcome.PASS,
    Outcome.KNOWN_DEVIATION,
    Outcome.UNEXPECTED_PASS,
    Outcome.UNSUPPORTED,
}


def observed(verdict: Verdict, crashes: Sequence[Identified]) -> Verdict:
    """The verdict before anything known is considered: a server's end gets its cause."""
    verdict = replace(verdict, crashes=tuple(crashes))
    fatal = [item for item in crashes if item.crash.fatal]
    if verdict.outcome is Outcome.SERVER_CRASH and fatal:
        return replace(verdict, reason=f"{verdict.reason}: {fatal[0].words}")
    return verdict


def judged(verdict: Verdict) -> Verdict:
    """A report that is not known fails its cell; an end that is known is a known deviation.

    To be applied after the server's deviations: what explains a scenario's failure does not explain
    what the kernel reported beside it.
    """
    new = [item for item in verdict.crashes if item.known is None]
    if not new:
        return _known_end(verdict)
    words = new[0].words
    if verdict.outcome in _WELL:
        also = "" if verdict.outcome is Outcome.PASS else f" (otherwise: {verdict.outcome})"
        return replace(verdict, outcome=Outcome.FAIL, reason=f"{words}{also}", declared=False)
    if words in verdict.reason:
        return verdict
    return replace(verdict, reason="; ".join(filter(None, (verdict.reason, words))))


def _known_end(verdict: Verdict) -> Verdict:
    if verdict.outcome is not Outcome.SERVER_CRASH:
        return verdict
    for item in verdict.crashes:
        if item.crash.fatal and item.known:
            reason = f"{item.known.reason} ({verdict.reason})"
            return replace(
                verdict, outcome=Outcome.KNOWN_DEVIATION, reason=reason, link=item.known.link
            )
    return verdict


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The different reports of a cell's rounds, each with how many rounds it came in."""
    found: dict[str, dict[str, Any]] = {}
    for verdict in verdicts:
        for item in {each.crash.fingerprint: each for each in verdict.crashes}.values():
            told = found.setdefault(item.crash.fingerprint, {**plain(item), "rounds": 0})
            told["rounds"] += 1
    return list(found.values())


def plain(item: Identified) -> dict[str, Any]:
    """A report for machines."""
    crash, known = item.crash, item.known
    return {
        "kind": str(crash.kind),
        "title": crash.title,
        "fingerprint": crash.fingerprint,
        "functions": crash.functions,
        "fatal": crash.fatal,
        "taints": crash.taints,
        "known": known is not None,
        "reason": known.reason if known else "",
        "link": known.link if known else "",
    }


def text(crashes: Sequence[Identified], decoded: Sequence[str] = ()) -> str:
    """The reports as a file: each with its fingerprint, and what is known, above it."""
    parts = []
    for number, item in enumerate(crashes):
        crash, known = item.crash, item.known
        said = f"known: {known.reason} <{known.link}>" if known else "not in lab/crashes/known.toml"
        body = decoded[number] if number < len(decoded) else crash.text
        head = f"{crash.title}\nfingerprint  {crash.fingerprint}\n{said}\n"
        parts.append(f"{head}\n{body}\n")
    return "\n".join(parts)
