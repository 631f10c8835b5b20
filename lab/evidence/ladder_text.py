"""A ladder as text: for a terminal, and under 75 columns in plain ASCII for a mailing list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.evidence.ladder import DIRECTORY, Ladder, Rung


@dataclass(frozen=True)
class Style:
    """How wide, and with which signs; `bracket` is first, middle, last and none of a compound."""

    width: int
    request: str
    response: str
    event: str
    bracket: tuple[str, str, str, str]


TERMINAL = Style(100, "─▶", "◀─", "╌╌", ("┌", "│", "└", " "))
MAIL = Style(74, "->", "<-", "--", (".", "|", "'", " "))


def visible(text: str) -> str:
    """Names come from a server: control and direction characters are shown, not obeyed."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def bracket(rung: Rung, signs: tuple[str, str, str, str]) -> str:
    """The rung's place in its compound."""
    if rung.count == 1:
        return signs[3]
    return signs[0] if rung.position == 0 else signs[2 if rung.position == rung.count - 1 else 1]


def words(rung: Rung) -> list[str]:
    """What stands right of the command, the parts that may be broken into lines."""
    parts: list[str] = []
    if rung.stage == "request":
        if rung.all_ff:
            parts.append(f"FileId all FF{f' = {rung.file}' if rung.file else ''}")
        elif rung.file:
            parts.append(rung.file)
    elif rung.stage in ("interim", "final"):
        parts.append(rung.status)
        if rung.stage == "interim":
            parts.append(f"credits {rung.credits}")
    if rung.async_id is not None and rung.stage != "cancel":
        parts.append(f"AsyncId {rung.async_id}")
    parts += rung.details
    return [visible(part) for part in parts]


def record_lines(rung: Rung) -> list[str]:
    """As in "ADDED file1"."""
    return [f"{action} {visible(name)}" for action, name in rung.records]


def role(rung: Rung) -> str:
    """The label and the stage, as in "n1 interim"; of a request the label alone."""
    stage = {"interim": " interim", "final": " final", "cancel": " cancel"}.get(rung.stage, "")
    return f"{rung.label}{stage}" if rung.label else ""


Under = Mapping[int, Sequence[str]]


def render(ladder: Ladder, style: Style = TERMINAL, under: Under | None = None) -> str:
    """The whole ladder, ending in a newline.

    `under` has further lines for below a rung, by its index; at -1 those for above the first. They
    are indented to where a rung's command stands; what is longer than the style is wide goes on
    in the next line, behind the same bars.
    """
    name_width = max((len(conn) for conn in ladder.conns), default=0)
    name_width = min(name_width, 8) if len(ladder.conns) > 1 else 0
    lines = [*_head(ladder, style)]
    margin = " " * (len("    0.0 ") + (name_width + 1 if name_width else 0) + 4)
    for at, rung in enumerate([None, *ladder.rungs], start=-1):
        lines += _rung_lines(rung, style, name_width) if rung else []
        for line in (under or {}).get(at, ()):
            lines += _folded(line, margin, style.width)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _folded(line: str, margin: str, width: int) -> list[str]:
    """The line, and lines for what does not fit, two columns deeper."""
    lead = line[: len(line) - len(line.lstrip(" |│"))]
    room = max(width - len(margin), len(lead) + 20)
    parts: list[str] = []
    while len(line) > room:
        space = line.rfind(" ", room - 24, room)
        at = space if space > len(lead) + 2 else room
        parts.append(line[:at])
        line = f"{lead}  {line[at:].lstrip()}"
    return [margin + part for part in (*parts, line)]


def _head(ladder: Ladder, style: Style) -> Iterable[str]:
    if ladder.scenario or ladder.server:
        yield f"{ladder.scenario} on {ladder.server}".strip()
    if ladder.directory:
        yield f"{DIRECTORY} = {visible(ladder.directory)}; times in milliseconds"
    else:
        yield "times in milliseconds"
    yield ""


def _rung_lines(rung: Rung, style: Style, name_width: int) -> list[str]:
    arrow = style.request if rung.from_client else style.response
    arrow = style.event if rung.stage in ("setup", "event") else arrow
    name = f"{rung.conn[:name_width]:{name_width}} " if name_width else ""
    lead = f"{rung.time * 1000:8.1f} {name}{bracket(rung, style.bracket)}{arrow} "
    if rung.stage == "event":
        who = "by the client" if rung.from_client else "by the server"
        return [f"{lead}{rung.command} {who}"]
    if rung.stage == "setup":
        return wrapped(lead, f"{rung.command}:", ", ".join(rung.details), style.width)
    number = f"#{rung.message_id}"
    lead += f"{rung.command:15} {number:4} "
    lines = wrapped(lead, role(rung), ", ".join(words(rung)), style.width)
    indent = " " * (len(lead) + 2)
    for record in record_lines(rung):
        lines += wrapped(indent, "", record, style.width)
    return lines


def wrapped(lead: str, role: str, text: str, width: int, indent: int | None = None) -> list[str]:
    """`role` and `text` after `lead`; further lines two columns deeper, or at `indent`."""
    lines = [f"{lead}{role} " if role else lead]
    margin = " " * (len(lead) + 2 if indent is None else indent)
    for token in _tokens(text, width - len(margin)):
        if len(lines[-1]) + len(token.rstrip()) > width and lines[-1].strip():
            lines.append(margin)
        lines[-1] += token
    return [line.rstrip() for line in lines]


def _tokens(text: str, widest: int) -> list[str]:
    """Where a line may be broken: after a comma or a bar; anywhere in what is wider than a line."""
    tokens: list[str] = []
    for part in re.split(r"(?<=, )|(?<=\|)", text):
        part = part[:-1] + " | " if part.endswith("|") else part
        tokens += [part[at : at + widest] for at in range(0, len(part), widest)]
    return tokens
