"""Two ladders of one scenario side by side, and the first PDU in which they differ.

Times, ids and GUIDs are no difference, nor is the name of the scenario's directory. What aligns two
ladders is what the client asked: its requests are matched in order, connection by connection, and
then each one's interim and final response. Which of two connections was faster, or whether a
pending request was answered before or after the request that ended it, is a race and shown as
*moved*; a difference is another answer, a missing one, or one too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any

from lab.evidence import ladder_text
from lab.evidence.ladder import DIRECTORY, Ladder, Rung
from lab.evidence.ladder_text import MAIL, TERMINAL, Style
from lab.evidence.rules import Gap, Rule, touched


class Kind(StrEnum):
    """How a row's two sides compare."""

    SAME = "same"
    MOVED = "moved"
    DIFFERS = "differs"
    LEFT_ONLY = "left only"
    RIGHT_ONLY = "right only"


NO_DIFFERENCE = frozenset({Kind.SAME, Kind.MOVED})


@dataclass(frozen=True)
class Row:
    """A rung of the left ladder beside its counterpart; `fields` are those that differ."""

    kind: Kind
    left: Rung | None
    right: Rung | None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """All rows; `first` is the index of the first that differs (-1: none), `rule` its rule."""

    left: Ladder
    right: Ladder
    rows: tuple[Row, ...]
    first: int
    rule: Rule | None

    @property
    def same(self) -> bool:
        return self.first < 0

    def to_json(self) -> dict[str, Any]:
        """Rows as indices into the two ladders, to stand beside their rungs in a report."""
        at_left = {id(rung): at for at, rung in enumerate(self.left.rungs)}
        at_right = {id(rung): at for at, rung in enumerate(self.right.rungs)}
        return {
            "rows": [
                [
                    str(row.kind),
                    -1 if row.left is None else at_left[id(row.left)],
                    -1 if row.right is None else at_right[id(row.right)],
                    list(row.fields),
                ]
                for row in self.rows
            ],
            "first": self.first,
            "rule": None
            if self.rule is None
            else {"section": self.rule.section, "says": self.rule.says},
        }


# -- normalising --------------------------------------------------------------------------------


def normal(rung: Rung, directory: str) -> dict[str, Any]:
    """What of a rung is compared: no times, ids, GUIDs, credits beyond "some or none"."""
    response = rung.stage in ("interim", "final")
    return {
        "command": rung.command,
        "stage": rung.stage,
        "direction": rung.from_client,
        "status": rung.status,
        "file": rung.file,
        "FileId all FF": rung.all_ff,
        "asynchronous": rung.async_id is not None and rung.stage != "cancel",
        "credits": rung.credits > 0 if rung.stage == "interim" else True,
        "details": () if rung.stage in ("setup", "cancel") else rung.details,
        "records": tuple((action, _fold(name, directory)) for action, name in rung.records),
        "compound": (rung.position, rung.count) if not response else None,
    }


def _fold(name: str, directory: str) -> str:
    """A record's name is relative to its watch: the scenario's directory may be any part of it."""
    parts = name.split("\\")
    return "\\".join(DIRECTORY if directory and part == directory else part for part in parts)


def differing(left: Rung, right: Rung, directories: tuple[str, str]) -> tuple[str, ...]:
    """The names of the fields in which two rungs differ."""
    a, b = normal(left, directories[0]), normal(right, directories[1])
    return tuple(name for name in a if a[name] != b[name])


# -- aligning -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """A request (or an event) of the client, and all that belongs to it, by stage."""

    conn: int
    key: tuple[Any, ...]
    rungs: tuple[Rung, ...]


def _groups(ladder: Ladder) -> list[_Group]:
    """Exchanges in the order of their requests; what belongs to none stands alone."""
    order: dict[tuple[int, Any], list[Rung]] = {}
    conns = ladder.conns
    for at, rung in enumerate(ladder.rungs):
        conn = conns.index(rung.conn)
        belongs = rung.exchange if rung.exchange >= 0 else f"alone {at}"
        if rung.stage == "cancel":
            belongs = f"cancel {at}"
        order.setdefault((conn, belongs), []).append(rung)
    return [
        _Group(conn, _key(rungs[0], ladder.directory), tuple(rungs))
        for (conn, _), rungs in order.items()
    ]


def _key(first: Rung, directory: str) -> tuple[Any, ...]:
    """What makes two requests the same."""
    values = normal(first, directory)
    names = ("command", "stage", "file", "details", "FileId all FF")
    return tuple(values[name] for name in names)


def compare(left: Ladder, right: Ladder) -> Difference:
    """Align two ladders of the same scenario."""
    directories = left.directory, right.directory
    pairs: list[tuple[Rung | None, Rung | None]] = []
    lefts, rights = _groups(left), _groups(right)
    for conn in range(max(len(left.conns), len(right.conns))):
        for a, b in _aligned(
            [group for group in lefts if group.conn == conn],
            [group for group in rights if group.conn == conn],
        ):
            pairs += _paired(a.rungs if a else (), b.rungs if b else ())
    rows = _in_order(left, right, pairs, directories)
    first = next((at for at, row in enumerate(rows) if row.kind not in NO_DIFFERENCE), -1)
    rule = touched(_gap(rows[first], left, right)) if first >= 0 else None
    return Difference(left, right, tuple(rows), first, rule)


def _aligned(
    lefts: Sequence[_Group], rights: Sequence[_Group]
) -> Iterable[tuple[_Group | None, _Group | None]]:
    matcher = SequenceMatcher(
        None, [group.key for group in lefts], [group.key for group in rights], autojunk=False
    )
    for what, a, a_end, b, b_end in matcher.get_opcodes():
        if what == "equal":
            yield from zip(lefts[a:a_end], rights[b:b_end], strict=True)
        else:
            yield from ((group, None) for group in lefts[a:a_end])
            yield from ((None, group) for group in rights[b:b_end])


def _paired(
    lefts: Sequence[Rung], rights: Sequence[Rung]
) -> Iterable[tuple[Rung | None, Rung | None]]:
    """The rungs of one exchange by stage; several of one stage (an error) in their order."""
    stages = list(dict.fromkeys(rung.stage for rung in [*lefts, *rights]))
    for stage in stages:
        a = [rung for rung in lefts if rung.stage == stage]
        b = [rung for rung in rights if rung.stage == stage]
        for at in range(max(len(a), len(b))):
            yield (a[at] if at < len(a) else None, b[at] if at < len(b) else None)


def _in_order(
    left: Ladder,
    right: Ladder,
    pairs: Sequence[tuple[Rung | None, Rung | None]],
    directories: tuple[str, str],
) -> list[Row]:
    """Rows in the left ladder's order; what only the right one has, after its predecessor there."""
    partner_of_left = {id(a): b for a, b in pairs if a}
    partner_of_right = {id(b): a for a, b in pairs if b}
    right_at = {id(rung): at for at, rung in enumerate(right.rungs)}
    waiting: dict[int, list[Rung]] = {}  # id of a left rung, 0 for the top → right's own after it
    anchor = 0
    for rung in right.rungs:
        partner = partner_of_right[id(rung)]
        if partner is None:
            waiting.setdefault(anchor, []).append(rung)
        else:
            anchor = id(partner)
    rows = [Row(Kind.RIGHT_ONLY, None, rung) for rung in waiting.get(0, ())]
    furthest = -1
    for rung in left.rungs:
        partner = partner_of_left[id(rung)]
        if partner is None:
            rows.append(Row(Kind.LEFT_ONLY, rung, None))
        else:
            fields = differing(rung, partner, directories)
            moved = right_at[id(partner)] < furthest
            furthest = max(furthest, right_at[id(partner)])
            kind = Kind.DIFFERS if fields else Kind.MOVED if moved else Kind.SAME
            rows.append(Row(kind, rung, partner, fields))
        rows += [Row(Kind.RIGHT_ONLY, None, own) for own in waiting.get(id(rung), ())]
    return rows


def _gap(row: Row, left: Ladder, right: Ladder) -> Gap:
    """The first difference; for a missing interim, the final answers tell more."""
    if row.left and row.right:
        return Gap(row.left, row.right)
    one, ladder, other = (row.left, left, right) if row.left else (row.right, right, left)
    assert one is not None
    if one.stage == "interim":
        finals = [_final(ladder, one), _final_like(other, ladder, one)]
        if finals[1] is not None:
            pair = finals if row.left else finals[::-1]
            return Gap(pair[0], pair[1])
    return Gap(row.left, row.right)


def _final(ladder: Ladder, of: Rung) -> Rung | None:
    return next(
        (
            rung
            for rung in ladder.rungs
            if rung.stage == "final" and (rung.conn, rung.exchange) == (of.conn, of.exchange)
        ),
        None,
    )


def _final_like(other: Ladder, ladder: Ladder, of: Rung) -> Rung | None:
    """The other side's final answer to the same request of the same connection."""
    conn = ladder.conns.index(of.conn)
    if conn >= len(other.conns):
        return None
    return next(
        (
            rung
            for rung in other.rungs
            if rung.stage == "final"
            and rung.conn == other.conns[conn]
            and rung.exchange == of.exchange
        ),
        None,
    )


# -- as text ------------------------------------------------------------------------------------

MARKS = {
    Kind.SAME: " ",
    Kind.MOVED: "~",
    Kind.DIFFERS: "!",
    Kind.LEFT_ONLY: "<",
    Kind.RIGHT_ONLY: ">",
}


def render(difference: Difference, width: int = TERMINAL.width) -> str:
    """Side by side; the first difference has an arrow, and its rule stands at the end."""
    left, right = difference.left, difference.right
    column = (width - 5) // 2
    named = len(left.conns) > 1 or len(right.conns) > 1
    lines = [
        f"  {_title(left):{column}} | {_title(right)}".rstrip(),
        f"  {'-' * column}-+-{'-' * column}",
    ]
    for at, row in enumerate(difference.rows):
        mark = MARKS[row.kind]
        cells = [_cell(rung, column, named) for rung in (row.left, row.right)]
        if at == difference.first:
            lines.append(f"  {' first difference '.center(column * 2 + 3, '=')}")
        for line in range(max(len(cell) for cell in cells)):
            a, b = (cell[line] if line < len(cell) else "" for cell in cells)
            lines.append(f"{mark} {a:{column}} | {b}".rstrip())
    return "\n".join([*lines, "", *verdict(difference)]) + "\n"


def verdict(difference: Difference) -> list[str]:
    """The end of the text: whether they differ, where, and what to read."""
    if difference.rule is None:
        moved = sum(row.kind is Kind.MOVED for row in difference.rows)
        order = f"; {moved} came in another order (~)" if moved else ""
        return [f"No difference{order}."]
    row = difference.rows[difference.first]
    count = sum(row.kind not in NO_DIFFERENCE for row in difference.rows)
    return [
        f"First difference: {describe(row, difference)}",
        f"Rule: {difference.rule.section}: {difference.rule.says}.",
        f"{count} PDU{'s differ' if count > 1 else ' differs'}.",
    ]


def describe(row: Row, difference: Difference) -> str:
    """One sentence of what the row shows."""
    names = _names(difference)
    if row.left and row.right:
        if "status" in row.fields:
            values = row.left.status, row.right.status
        elif "records" in row.fields:
            values = _records(row.left), _records(row.right)
        else:
            what = ", ".join(row.fields)
            return f"{what} of {row.left.command} ({row.left.stage}) differ."
        return f"{row.left.command}: {names[0]} {values[0]}, {names[1]} {values[1]}."
    one, has, lacks = (
        (row.left, names[0], names[1]) if row.left else (row.right, names[1], names[0])
    )
    assert one is not None
    at_once = _gap(row, difference.left, difference.right)
    if one.stage == "interim" and at_once.left and at_once.right:
        answer = (at_once.right if row.left else at_once.left).status
        return f"{has} parks {one.command} {one.label}, {lacks} answers {answer} at once."
    what = " ".join(part for part in (one.command, one.label, one.stage, one.status) if part)
    carried = f" ({_records(one)})" if one.records else ""
    return f"{has} has {what}{carried}, {lacks} does not."


def _records(rung: Rung) -> str:
    return ", ".join(ladder_text.record_lines(rung)) or f"{rung.status} without records"


def _names(difference: Difference) -> tuple[str, str]:
    """What to call the two sides: their servers, if that tells them apart."""
    names = difference.left.server, difference.right.server
    return names if all(names) and names[0] != names[1] else ("left", "right")


def _title(ladder: Ladder) -> str:
    return f"{ladder.server} {ladder.scenario}".strip()


_CELL = Style(0, "->", "<-", "--", MAIL.bracket)


def _cell(rung: Rung | None, width: int, named: bool) -> list[str]:
    """A rung in half a line's width: what it is, then its parameters under it."""
    if rung is None:
        return [""]
    arrow = _CELL.request if rung.from_client else _CELL.response
    if rung.stage in ("setup", "event"):
        arrow = _CELL.event
    conn = f"{rung.conn[:7]:7} " if named else ""
    lead = f"{conn}{ladder_text.bracket(rung, _CELL.bracket)}{arrow} {rung.command} "
    said = [word for word in ladder_text.words(rung) if not word.startswith("AsyncId")]
    text = ", ".join(said)
    lines = ladder_text.wrapped(lead, ladder_text.role(rung), text, width, indent=len(conn) + 6)
    for record in ladder_text.record_lines(rung):
        lines += ladder_text.wrapped(" " * (len(conn) + 6), "", record, width)
    return lines
