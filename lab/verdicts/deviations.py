"""What a server is known to do differently, and why: one TOML file for each server.

    [unsupported]                       # the server does not implement CHANGE_NOTIFY at all
    statuses = ["STATUS_NOT_IMPLEMENTED"]
    reason = "..."
    link = "..."

    [[cannot]]                          # what the server cannot be set up to do: not run
    need = "sessions that expire"       # one of a scenario's `needs`
    reason = "..."
    link = "..."

    [[deviation]]
    scenario = "E4"                     # or "*", with `finding`
    outcome = "fail"                    # or "timeout", "server crash"
    match = "sub\\\\\\\\file2"              # regular expression, found in the reason
    reason = "..."
    link = "..."
    sometimes = false                   # true: comes and goes; a pass, too, is the deviation

    [[deviation]]
    scenario = "*"
    finding = "signature"               # a row of lab.verdicts.wire.RULES
    reason = "..."
    link = "..."

The file of a flavour, `ksmbd@sid.toml`, may begin with

    inherit = "ksmbd"                   # its server's entries as well, after its own

and then has that file's entries too, but for those about a scenario that it speaks of itself, and
its `[unsupported]`, unless it has one. A flavour without a file has those of its server.

A cell whose verdict a deviation explains becomes a *known deviation*; one that passes in spite of
its deviation is an *unexpected pass*, which is an error. A new way to fail is no known deviation.
One that comes and goes makes its cell a known deviation every time, so that runs can be compared;
what was observed stands beside it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.errors import UsageError
from lab.verdicts.verdict import Finding, Outcome, Verdict

DIRECTORY = Path(__file__).parent.parent / "scenarios" / "deviations"
OUTCOMES = (Outcome.FAIL, Outcome.TIMEOUT, Outcome.SERVER_CRASH)


@dataclass(frozen=True)
class Deviation:
    """One entry; exactly one of `outcome` and `finding` is set."""

    scenario: str
    reason: str
    link: str
    outcome: Outcome | None = None
    match: str = ""
    finding: str = ""
    sometimes: bool = False

    def explains(self, scenario: str, verdict: Verdict) -> bool:
        return (
            self.scenario == scenario
            and self.outcome is verdict.outcome
            and re.search(self.match, verdict.reason) is not None
        )

    def explains_finding(self, scenario: str, finding: Finding) -> bool:
        return (
            self.scenario in ("*", scenario)
            and self.finding == finding.rule
            and re.search(self.match, finding.text) is not None
        )


@dataclass(frozen=True)
class Unsupported:
    """The server is known not to implement CHANGE_NOTIFY: it answers one of these statuses."""

    statuses: tuple[str, ...]
    reason: str
    link: str


@dataclass(frozen=True)
class Cannot:
    """What the server cannot be set up to do; a scenario that needs it is not run."""

    need: str
    reason: str
    link: str


@dataclass(frozen=True)
class Deviations:
    """All that is known about one server."""

    entries: tuple[Deviation, ...] = ()
    unsupported: Unsupported | None = None
    cannot: tuple[Cannot, ...] = ()
    source: str = field(default="", compare=False)

    def apply(self, scenario: str, verdict: Verdict) -> tuple[Verdict, frozenset[int]]:
        """The verdict in the light of what is known, and the indices of the entries it showed."""
        seen: set[int] = set()
        unexplained = []
        for finding in verdict.findings:
            entry = self._first(_explains_finding(scenario, finding))
            if entry is None:
                unexplained.append(finding)
            else:
                seen.add(entry)
        if verdict.outcome is Outcome.UNSUPPORTED:
            return self._judge_unsupported(verdict), frozenset(seen)
        verdict = _without_known_findings(verdict, unexplained, bool(seen))
        entry = self._first(lambda known: known.explains(scenario, verdict))
        if entry is not None:
            known = self.entries[entry]
            reason = f"{known.reason} ({verdict.reason})"
            verdict = replace(
                verdict, outcome=Outcome.KNOWN_DEVIATION, reason=reason, link=known.link
            )
            return verdict, frozenset(seen | {entry})
        if verdict.outcome is Outcome.PASS:
            verdict = self._judge_pass(scenario, verdict)
        return verdict, frozenset(seen)

    def lacks(self, needs: Iterable[str]) -> Cannot | None:
        """The first of `needs` that this server cannot be set up for."""
        wanted = set(needs)
        return next((known for known in self.cannot if known.need in wanted), None)

    def _first(self, wanted: Callable[[Deviation], bool]) -> int | None:
        return next((i for i, entry in enumerate(self.entries) if wanted(entry)), None)

    def _judge_unsupported(self, verdict: Verdict) -> Verdict:
        if verdict.declared:
            return verdict
        known = self.unsupported
        if known is None or not any(status in verdict.reason for status in known.statuses):
            return verdict
        return replace(
            verdict,
            declared=True,
            reason=f"{verdict.reason}: {known.reason}",
            link=known.link,
        )

    def _judge_pass(self, scenario: str, verdict: Verdict) -> Verdict:
        for entry in self.entries:
            if entry.scenario == scenario and entry.outcome and entry.sometimes:
                return replace(
                    verdict,
                    outcome=Outcome.KNOWN_DEVIATION,
                    reason=f"{entry.reason} (not this time: it passed)",
                    link=entry.link,
                )
            if entry.scenario == scenario and entry.outcome:
                return replace(
                    verdict,
                    outcome=Outcome.UNEXPECTED_PASS,
                    reason=f"passes, but {self.source or 'the deviations'} says: {entry.reason}",
                    link=entry.link,
                )
        return verdict

    def stale(
        self, seen: Iterable[int], scenarios: Iterable[str], *, whole: bool = False
    ) -> tuple[Deviation, ...]:
        """Entries that a run of these scenarios should have shown, and did not.

        Those for "*" show somewhere: only a run of the `whole` catalogue can miss them.
        """
        shown, ran = set(seen), set(scenarios)
        return tuple(
            entry
            for index, entry in enumerate(self.entries)
            if index not in shown and (entry.scenario in ran or (whole and entry.scenario == "*"))
        )

    def with_inherited(self, other: Deviations) -> Deviations:
        """These, and what `other` says of scenarios that these do not speak of."""
        own = {entry.scenario for entry in self.entries}
        inherited = tuple(entry for entry in other.entries if entry.scenario not in own)
        return replace(
            self,
            entries=self.entries + inherited,
            unsupported=self.unsupported or other.unsupported,
            cannot=self.cannot + other.cannot,
        )


def _explains_finding(scenario: str, finding: Finding) -> Callable[[Deviation], bool]:
    return lambda entry: entry.explains_finding(scenario, finding)


def _without_known_findings(
    verdict: Verdict, unexplained: list[Finding], some_known: bool
) -> Verdict:
    """A failure that rests on findings alone stands only on those that nothing explains."""
    if verdict.outcome is not Outcome.FAIL or not verdict.reason.startswith("wire: "):
        return verdict
    if unexplained:
        return replace(verdict, reason=f"wire: {unexplained[0].text}", at=unexplained[0].at)
    return replace(verdict, outcome=Outcome.PASS, reason="", at=-1) if some_known else verdict


def load(server: str, directory: Path = DIRECTORY) -> Deviations:
    """The deviations of one server or flavour (`ksmbd@sid`); none if no file speaks of it.

    Raises `UsageError`.
    """
    own = directory / f"{server}.toml"
    kind, _, flavour = server.partition("@")
    if own.exists():
        return _read(own)
    return load(kind, directory) if flavour else Deviations()


def _read(path: Path) -> Deviations:
    try:
        plain = tomllib.loads(path.read_text())
        parent = plain.pop("inherit", "")
        found = parse(plain, path.name)
        if not parent:
            return found
        other = path.with_name(f"{parent}.toml")
        if parent == path.stem or not other.exists():
            raise ValueError(f"inherit = {parent!r}: there is no {other.name} to inherit from")
    except (tomllib.TOMLDecodeError, re.error, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}", "See lab/verdicts/deviations.py.") from error
    return found.with_inherited(_read(other))


def parse(plain: Mapping[str, Any], source: str) -> Deviations:
    """Raises KeyError, TypeError or ValueError on anything that is not as documented above."""
    unknown = set(plain) - {"unsupported", "cannot", "deviation"}
    if unknown:
        raise ValueError(f"unknown table {sorted(unknown)[0]!r}")
    unsupported = None
    if "unsupported" in plain:
        table = dict(plain["unsupported"])
        table["statuses"] = tuple(table["statuses"])
        unsupported = Unsupported(**table)
    entries = tuple(_entry(dict(table)) for table in plain.get("deviation", []))
    cannot = tuple(Cannot(**table) for table in plain.get("cannot", []))
    return Deviations(entries, unsupported, cannot, source)


def _entry(table: dict[str, Any]) -> Deviation:
    if ("outcome" in table) == ("finding" in table):
        raise ValueError(f"{table}: one of `outcome` and `finding` is needed")
    if "outcome" in table:
        table["outcome"] = Outcome(table["outcome"])
        if table["outcome"] not in OUTCOMES:
            raise ValueError(f"{table['outcome']!r} is no outcome that can be known")
    entry = Deviation(**table)
    re.compile(entry.match)
    if not entry.reason.strip() or not entry.link.strip():
        raise ValueError(f"{entry.scenario}: a reason and a link are needed")
    return entry
