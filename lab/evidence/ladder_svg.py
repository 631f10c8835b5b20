"""A ladder as a picture: one self-contained SVG, readable in light and in dark.

Two lifelines, an arrow a PDU, compounds bracketed at the sender, and for each label (n1, n2, …) a
line that runs beside the arrows from its request through the interim response to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from lab.evidence import ladder_text
from lab.evidence.ladder import DIRECTORY, Ladder, Rung

TEXT_SIZE, LINE = 12, 16
CHAR = 7.25  # of a monospaced font at that size
LEFT, CLIENT, SERVER = 96, 130, 470
COLUMNS = 64  # of the words right of the server's lifeline
TIE_GAP = 9
TIES = 5  # tracks beside each other at the most
WORDS = SERVER + 24 + TIES * TIE_GAP

_FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
# The palettes are chosen for a contrast of 4.5:1 or more against their backgrounds.
STYLE = f"""
.paper{{fill:#fff}}text{{font:{TEXT_SIZE}px {_FONT};fill:#1c2024}}
.dim{{fill:#60646c}}.line{{stroke:#8b8d98;stroke-width:1}}
.req{{stroke:#1a5fb4;fill:#1a5fb4}}.final{{stroke:#1b6e33;fill:#1b6e33}}
.interim{{stroke:#8a5a00;fill:#8a5a00}}.cancel{{stroke:#a3305f;fill:#a3305f}}
.error{{stroke:#b42318;fill:#b42318}}.event{{stroke:#60646c;fill:#60646c}}
.tie{{fill:none;stroke:#8a5a00;stroke-width:1.5;opacity:.8}}.knot{{fill:#8a5a00}}
.wire{{stroke-width:1.5;fill:none}}.head{{stroke:none}}.word{{stroke:none;font-weight:600}}text{{stroke:none!important}}
@media (prefers-color-scheme:dark){{
.paper{{fill:#14161a}}text{{fill:#e4e6eb}}.dim{{fill:#a2a7b0}}.line{{stroke:#5b616b}}
.req{{stroke:#78aeff;fill:#78aeff}}.final{{stroke:#6fcf8b;fill:#6fcf8b}}
.interim{{stroke:#e5b567;fill:#e5b567}}.cancel{{stroke:#f08bb4;fill:#f08bb4}}
.error{{stroke:#ff8f85;fill:#ff8f85}}.event{{stroke:#a2a7b0;fill:#a2a7b0}}
.tie{{stroke:#e5b567}}.knot{{fill:#e5b567}}}}
"""
GOOD = frozenset({"SUCCESS", "PENDING", "CANCELLED", "NOTIFY_CLEANUP", "NOTIFY_ENUM_DIR", ""})


def css_class(rung: Rung) -> str:
    """Which colour a rung has."""
    if rung.stage == "final" and rung.status not in GOOD:
        return "error"
    return {"request": "req", "setup": "event"}.get(rung.stage, rung.stage)


def render(ladder: Ladder) -> str:
    """The SVG document."""
    named = len(ladder.conns) > 1
    heights = [max(2, len(_lines(rung))) * LINE + 6 for rung in ladder.rungs]
    top = 62
    tops = [top + sum(heights[:at]) for at in range(len(heights))]
    bottom = top + sum(heights) + 10
    width = int(WORDS + COLUMNS * CHAR + 12)
    title = f"{ladder.scenario} on {ladder.server}".strip()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + 12}" '
        f'viewBox="0 0 {width} {bottom + 12}" role="img" aria-label={quoteattr(title)}>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{bottom + 12}"/>',
        _text(12, 20, title, "word"),
        _text(CLIENT, 46, "client", "dim", "middle"),
        _text(SERVER, 46, ladder.server or "server", "dim", "middle"),
        _text(LEFT - 10, 46, "ms", "dim", "end"),
        f'<path class="line" d="M{CLIENT} 52V{bottom}M{SERVER} 52V{bottom}"/>',
    ]
    if ladder.directory:
        parts.append(_text(WORDS, 46, f"{DIRECTORY} = {ladder.directory}", "dim"))
    for rung, y in zip(ladder.rungs, tops, strict=True):
        parts += _rung(rung, y + LINE, named)
    parts += _ties(ladder.rungs, tops)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, css: str = "", anchor: str = "") -> str:
    attributes = f' class="{css}"' if css else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:g}" y="{y:g}"{attributes}>{escape(ladder_text.visible(text))}</text>'


def _lines(rung: Rung) -> list[str]:
    """What stands right of the lifelines."""
    said = ", ".join(ladder_text.words(rung))
    lines = ladder_text.wrapped("", ladder_text.role(rung), said, COLUMNS)
    for record in ladder_text.record_lines(rung):
        lines += ladder_text.wrapped("    ", "", record, COLUMNS)
    return lines


def _rung(rung: Rung, y: float, named: bool) -> list[str]:
    css = css_class(rung)
    parts = [_text(LEFT - 10, y + 4, f"{rung.time * 1000:.1f}", "dim", "end")]
    middle = (CLIENT + SERVER) / 2
    name = (
        rung.command if rung.stage in ("setup", "event") else f"{rung.command} #{rung.message_id}"
    )
    if named:
        name = f"{rung.conn}: {name}"
    parts.append(_text(middle, y - 3, name, f"{css} word", "middle"))
    if rung.stage in ("setup", "event"):
        parts.append(
            f'<path class="wire {css}" stroke-dasharray="3 4" d="M{CLIENT} {y + 4}H{SERVER}"/>'
        )
    else:
        a, b = (CLIENT, SERVER) if rung.from_client else (SERVER, CLIENT)
        back = -8 if rung.from_client else 8
        dash = ' stroke-dasharray="6 4"' if rung.stage == "interim" else ""
        parts.append(f'<path class="wire {css}"{dash} d="M{a} {y + 4}H{b + back}"/>')
        parts.append(f'<path class="head {css}" d="M{b} {y + 4}l{back} -4v8z"/>')
    if rung.count > 1:
        x = CLIENT - 8 if rung.from_client else SERVER + 8
        first, last = rung.position == 0, rung.position == rung.count - 1
        start, end = y - 6 if first else y - 2 * LINE, y + 10 if last else y + LINE
        hook = 5 if rung.from_client else -5
        path = f"M{x} {start}V{end}"
        path += f"M{x} {start}h{hook}" if first else ""
        path += f"M{x} {end}h{hook}" if last else ""
        parts.append(f'<path class="wire {css}" d="{path}"/>')
    for at, line in enumerate(_lines(rung)):
        parts.append(_text(WORDS, y + 4 + at * LINE, line, "" if at or not rung.label else css))
    return parts


def _ties(rungs: Sequence[Rung], tops: Sequence[float]) -> list[str]:
    """A vertical line for each exchange of more than one rung, beside those that overlap it."""
    parts: list[str] = []
    free_from = [0.0] * TIES
    for label in dict.fromkeys(rung.label for rung in rungs if rung.label):
        ys = [top + LINE + 4 for rung, top in zip(rungs, tops, strict=True) if rung.label == label]
        if len(ys) < 2:
            continue
        track = next((at for at, free in enumerate(free_from) if free < ys[0]), TIES - 1)
        free_from[track] = ys[-1]
        x = WORDS - 10 - track * TIE_GAP
        parts.append(f'<path class="tie" d="M{x} {ys[0]}V{ys[-1]}"/>')
        parts += [f'<circle class="knot" cx="{x}" cy="{y}" r="2.5"/>' for y in ys]
    return parts
