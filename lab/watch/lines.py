"""Events as lines: coloured for people, JSON for machines. Pure; the time is an argument."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from lab.watch import filters, ladder
from lab.watch.events import Changed, Event, Lost, Oddity, Overflowed, Pdu, Watching

RED, GREEN, YELLOW, BLUE, CYAN, DIM, BOLD = "31", "32", "33", "34", "36", "2", "1"

# Action → (word, colour). A rename comes as two records, old name first.
ACTIONS = {
    "ADDED": ("added", GREEN),
    "REMOVED": ("removed", RED),
    "MODIFIED": ("modified", YELLOW),
    "RENAMED_OLD_NAME": ("renamed from", BLUE),
    "RENAMED_NEW_NAME": ("renamed to", BLUE),
    "ADDED_STREAM": ("stream added", GREEN),
    "REMOVED_STREAM": ("stream removed", RED),
    "MODIFIED_STREAM": ("stream modified", YELLOW),
}
ACTION_WIDTH = max(len(word) for word, _ in ACTIONS.values())
NAME_WIDTH = 32
SHOWN_CLASSES = 3
DIALECTS = {0x0202: "2.0.2", 0x0210: "2.1", 0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1"}


def visible(text: str) -> str:
    """Names come from a server: control and direction characters are shown, not obeyed."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def class_words(classes: tuple[str, ...]) -> str:
    """A few classes by name; many as what they are together."""
    if set(classes) == {"file-name", "dir-name"}:
        return "name"
    if len(classes) > SHOWN_CLASSES:
        return "data or metadata"
    return "|".join(classes)


class Text:
    """One line an event, for people."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, event: Event, now: datetime) -> str:
        stamp = self._paint(now.astimezone().strftime("%H:%M:%S.%f")[:-3], DIM)
        return f"{stamp} {TEXTS[type(event)](self._paint, event)}".rstrip()

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text


Paint = Callable[[str, str], str]


def _changed(paint: Paint, event: Changed) -> str:
    word, colour = ACTIONS.get(event.action, (f"action {event.action}", BOLD))
    name = visible(event.name.replace("\\", "/"))
    classes = paint(class_words(event.classes), DIM)
    return f"{paint(f'{word:<{ACTION_WIDTH}}', colour)} {name:<{NAME_WIDTH}} {classes}".rstrip()


def _overflowed(paint: Paint, event: Overflowed) -> str:
    return paint(f"too many changes: list again ({event.status})", RED)


def _watching(paint: Paint, event: Watching) -> str:
    wanted = (
        "everything" if event.filter == filters.ALL else ", ".join(filters.in_words(event.filter))
    )
    scope = "with all below it" if event.recursive else "not below it"
    safe = f"sealed with {event.cipher}" if event.cipher else f"signed with {event.signing}"
    server = f" ({event.server})" if event.server else ""
    dialect = DIALECTS.get(event.dialect, f"0x{event.dialect:04x}")
    head = "watching again" if event.again else "watching"
    how = f"SMB {dialect}, {safe}"
    gap = "; changes in between are unknown: list again" if event.again else ""
    return paint(
        f"{head} {visible(event.where)}{server} for {wanted}, {scope}; {how}{gap}",
        CYAN,
    )


def _lost(paint: Paint, event: Lost) -> str:
    return paint(f"not watching: {visible(event.why)}; trying again in {event.delay:.1f} s", RED)


def _pdu(paint: Paint, event: Pdu) -> str:
    return paint(visible(ladder.rung(event.observed)), DIM)


def _oddity(paint: Paint, event: Oddity) -> str:
    return paint(visible(event.text), RED)


TEXTS: dict[type[Any], Callable[[Paint, Any], str]] = {
    Changed: _changed,
    Overflowed: _overflowed,
    Watching: _watching,
    Lost: _lost,
    Pdu: _pdu,
    Oddity: _oddity,
}


def as_json(event: Event, now: datetime) -> str:
    """One JSON object a line: `time` (UTC), `event`, and what that event has to say."""
    moment = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return json.dumps({"time": moment, "event": NAMES[type(event)], **_values(event)})


NAMES: dict[type[Any], str] = {
    Changed: "change",
    Overflowed: "overflow",
    Watching: "watching",
    Lost: "lost",
    Pdu: "pdu",
    Oddity: "oddity",
}


def _values(event: Event) -> dict[str, Any]:
    if isinstance(event, Pdu):
        kept = ("dir", "command", "stage", "status", "header", "body", "signature_ok")
        told = {key: event.observed[key] for key in kept if key in event.observed}
        # Tokens of the logon are nobody's business outside of it.
        hidden = ("security_buffer", "contexts")
        body = {k: v for k, v in told.get("body", {}).items() if k not in hidden}
        return {**told, **({"body": body} if "body" in told else {})}
    values = asdict(event)
    if isinstance(event, Watching):
        values["filter"] = filters.in_words(event.filter)
        values["dialect"] = DIALECTS.get(event.dialect, f"0x{event.dialect:04x}")
    return values
