"""A scenario as documentation: what is done, in words, and what is expected where."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.scenarios.model import (
    Expectation,
    ExpectCollected,
    ExpectDelivered,
    ExpectDistinct,
    ExpectField,
    ExpectNoInterim,
    ExpectPending,
    ExpectRecords,
    Match,
    Record,
    Scenario,
)

WIDTH = 96


def describe(scenario: Scenario) -> str:
    """Plain text: heading, purpose, sources, and the numbered steps with their expectations."""
    grade = " (provisional)" if scenario.provisional else ""
    lines = [
        f"{scenario.name}  {scenario.title}{grade}",
        *textwrap.wrap(scenario.about, WIDTH, initial_indent="    ", subsequent_indent="    "),
        f"    Cites {', '.join(scenario.cites)}.",
        f"    Rests on {scenario.rests_on}.",
    ]
    expected: dict[int, list[Expectation]] = {}
    for wanted in scenario.expectations:
        expected.setdefault(wanted.step, []).append(wanted)
    number = 0
    for index, step in enumerate(scenario.steps):
        if step.note:
            number += 1
            lines.append(f"{number:>4}. {step.note}")
        for wanted in expected.get(index, []):
            lines.append(f"      = {_say(wanted)}")
    return "\n".join(lines)


def _say(wanted: Expectation) -> str:
    rule = f"  [{wanted.rule}]" if wanted.rule else ""
    return _SENTENCES[type(wanted)](wanted) + rule


def _say_match(match: Match) -> str:
    value = match.value
    match_words: dict[str, str] = {
        "equals": f"is {value}",
        "at_least": f"is at least {value}",
        "nonzero": "is not 0",
        "bits_set": f"has bits 0x{value:x}" if isinstance(value, int) else "",
        "bits_clear": f"lacks bits 0x{value:x}" if isinstance(value, int) else "",
        "one_of": f"is one of {_listed(value)} ({match.because})",
        "same_as": f"is that of {_listed(value)}",
    }
    return match_words[match.kind]


def _listed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _say_alternatives(alternatives: Sequence[Sequence[Record]], because: str) -> str:
    said = " or ".join(
        ", ".join(f"{action} {name}" for action, name in records) or "nothing"
        for records in alternatives
    )
    return f"{said} ({because})" if because else said


_SENTENCES: Mapping[type[Any], Callable[[Any], str]] = {
    ExpectField: lambda e: f"{e.of} {e.stage}: {e.field} {_say_match(e.match)}",
    ExpectRecords: lambda e: f"{e.of} reports {_say_alternatives(e.alternatives, e.because)}",
    ExpectCollected: lambda e: f"{e.of} reports {_say_alternatives(e.alternatives, e.because)}",
    ExpectPending: lambda e: f"{e.of} is still unanswered",
    ExpectNoInterim: lambda e: f"{e.of} was answered without an interim response",
    ExpectDelivered: lambda e: (
        f"{_listed(e.refs)} together report {_say_alternatives(e.alternatives, e.because)}"
    ),
    ExpectDistinct: lambda e: f"{e.field} differs between {_listed(e.refs)}",
}
