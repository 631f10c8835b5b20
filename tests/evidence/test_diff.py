"""What is a difference between two ladders, which is the first, and which rule it touches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lab.evidence import diff
from lab.evidence.diff import Kind, compare
from lab.evidence.ladder import Ladder, Rung
from lab.evidence.rules import ROWS, Gap, touched
from tests.evidence.material import NAMES, built


@pytest.mark.parametrize("name", NAMES)
def test_a_ladder_does_not_differ_from_itself(name: str) -> None:
    difference = compare(built(name), built(name))
    assert difference.same
    assert {row.kind for row in difference.rows} == {Kind.SAME}
    assert "No difference" in diff.render(difference)


def test_times_ids_and_the_directorys_name_are_no_difference() -> None:
    one = built("samba-explorer")
    moved = [
        replace(
            rung,
            time=rung.time * 3,
            frame=rung.frame + 9,
            message_id=rung.message_id + 100,
            async_id=rung.async_id and rung.async_id * 7,
        )
        for rung in one.rungs
    ]
    assert compare(one, replace(one, rungs=tuple(moved), directory="h1-other")).same


def test_sealing_is_no_difference() -> None:
    assert compare(built("samba-changes"), built("samba-changes-sealed")).same


def test_a_server_without_notify_differs_in_the_interim_response() -> None:
    difference = compare(built("samba-explorer"), built("disabled-explorer"))
    row = difference.rows[difference.first]
    assert row.kind is Kind.LEFT_ONLY
    assert row.left is not None
    assert (row.left.label, row.left.stage) == ("n1", "interim")
    text = diff.render(difference)
    assert "samba parks CHANGE_NOTIFY n1, disabled answers NOT_IMPLEMENTED at once." in text
    assert "Rule: MS-SMB2 3.3.5.19" in text


def test_a_missed_change_differs_in_the_final_response() -> None:
    difference = compare(built("samba-explorer"), built("deaf-explorer"))
    row = difference.rows[difference.first]
    assert row.kind is Kind.DIFFERS
    assert row.fields == ("status", "records")
    assert difference.rule is not None
    assert difference.rule.section == "MS-FSA 2.1.5.11.1"
    assert "samba SUCCESS, deaf CANCELLED" in diff.render(difference)


def _edited(name: str, edit: Callable[[Rung], Rung | None]) -> Ladder:
    one = built(name)
    return replace(one, rungs=tuple(new for rung in one.rungs if (new := edit(rung)) is not None))


def test_another_record_is_a_difference_of_fscc() -> None:
    def edit(rung: Rung) -> Rung:
        if not rung.records or rung.records[0][0] != "ADDED":
            return rung
        return replace(rung, records=(("MODIFIED", rung.records[0][1]),))

    difference = compare(built("samba-explorer"), _edited("samba-explorer", edit))
    assert difference.rule is not None
    assert difference.rule.section == "MS-FSCC 2.7.1"
    assert "left ADDED file1, right MODIFIED file1" in diff.render(difference)


def test_an_answer_that_never_came_is_the_left_sides_alone() -> None:
    lacking = _edited("samba-explorer", lambda r: None if r.records else r)
    difference = compare(built("samba-explorer"), lacking)
    assert difference.rows[difference.first].kind is Kind.LEFT_ONLY
    assert "left has CHANGE_NOTIFY n2 final SUCCESS (ADDED file1), right does not." in diff.render(
        difference
    )


def test_one_answer_too_many_stands_where_it_came() -> None:
    lacking = _edited("samba-explorer", lambda r: None if r.records else r)
    difference = compare(lacking, built("samba-explorer"))
    row = difference.rows[difference.first]
    assert row.kind is Kind.RIGHT_ONLY
    before = difference.rows[difference.first - 1]
    assert before.left is not None
    assert (before.left.label, before.left.stage) == ("n1", "final")


def test_only_the_order_of_answers_is_a_race_not_a_difference() -> None:
    one = built("samba-explorer")
    rungs = list(one.rungs)
    at = next(n for n, rung in enumerate(rungs) if rung.status == "CANCELLED")
    rungs[at], rungs[at + 1] = rungs[at + 1], rungs[at]
    difference = compare(one, replace(one, rungs=tuple(rungs)))
    assert difference.same
    assert [row.kind for row in difference.rows].count(Kind.MOVED) == 1
    assert "1 came in another order" in diff.render(difference)


@pytest.mark.parametrize("width", [74, 100, 140])
def test_side_by_side_keeps_to_its_width(width: int) -> None:
    difference = compare(built("samba-explorer"), built("disabled-explorer"))
    body, _, _ = diff.render(difference, width).partition("\n\nFirst difference")
    assert max(len(line) for line in body.splitlines()) <= width


def test_the_data_form_points_into_both_ladders() -> None:
    left, right = built("samba-explorer"), built("deaf-explorer")
    plain = compare(left, right).to_json()
    kind, a, b, fields = plain["rows"][plain["first"]]
    assert kind == "differs"
    assert left.rungs[a].records
    assert right.rungs[b].status == "CANCELLED"
    assert fields == ["status", "records"]
    assert sorted(row[1] for row in plain["rows"] if row[1] >= 0) == list(range(len(left.rungs)))
    assert sorted(row[2] for row in plain["rows"] if row[2] >= 0) == list(range(len(right.rungs)))


def _final(status: str, **fields: Any) -> Rung:
    values: dict[str, Any] = {"command": "CHANGE_NOTIFY", "stage": "final"}
    return Rung(1, 0.0, "A", False, status=status, **values | fields)


OK = _final("SUCCESS", records=(("ADDED", "a"),))
INTERIM = _final("PENDING", stage="interim")


@pytest.mark.parametrize(
    ("left", "right", "section"),
    [
        (OK, _final("NOT_IMPLEMENTED"), "MS-SMB2 3.3.5.19"),
        (OK, _final("INTERNAL_ERROR"), "MS-SMB2 3.3.5.2.7.2"),
        (None, _final("CANCELLED"), "MS-SMB2 3.3.5.16"),
        (OK, _final("DELETE_PENDING"), "MS-FSA 2.1.5.15.3"),
        (None, _final("NOTIFY_CLEANUP"), "MS-SMB2 3.3.5.10"),
        (OK, _final("NOTIFY_CLEANUP"), "MS-FSA 2.1.5.11.1"),
        (OK, _final("NOTIFY_ENUM_DIR"), "MS-FSA 2.1.5.11.1"),
        (OK, _final("ACCESS_DENIED"), "MS-SMB2 3.3.5.19"),
        (OK, _final("INSUFFICIENT_RESOURCES"), "MS-SMB2 3.3.4.2"),
        (OK, _final("NETWORK_SESSION_EXPIRED"), "MS-SMB2 3.3.5.2.9"),
        (INTERIM, None, "MS-SMB2 3.3.4.2"),
        (OK, _final("SUCCESS", records=(("ADDED_STREAM", "a:b"),)), "MS-FSCC 2.7.1"),
        (OK, _final("SUCCESS", records=(("RENAMED_NEW_NAME", "b"),)), "MS-FSCC 2.7.1"),
        (OK, _final("SUCCESS", records=(("ADDED", "b"),)), "MS-FSCC 2.7.1"),
        (OK, _final("SUCCESS", records=()), "MS-FSCC 2.7.1"),
        (OK, None, "MS-FSA 2.1.5.11.1"),
        (_final("SUCCESS"), _final("SUCCESS", async_id=3), "MS-SMB2 3.3.4.3"),
        (Rung(1, 0, "A", False, "connection reset", "event"), None, "MS-SMB2 3.3.7.1"),
        (Rung(1, 0, "A", False, "SET_INFO", "final", "SUCCESS"), None, "MS-SMB2 3.3.5.21"),
    ],
)
def test_each_kind_of_difference_has_its_rule(
    left: Rung | None, right: Rung | None, section: str
) -> None:
    assert touched(Gap(left, right)).section == section
    assert touched(Gap(right, left)).section == section


def test_a_rename_that_both_report_is_not_what_differs() -> None:
    rename = (("RENAMED_OLD_NAME", "a"), ("RENAMED_NEW_NAME", "b"))
    left = _final("SUCCESS", records=(*rename, ("ADDED", "c")))
    assert (
        "one record for each change" in touched(Gap(left, _final("SUCCESS", records=rename))).says
    )


def test_every_row_of_the_table_is_tried_above() -> None:
    """A row that none of the cases reaches is shadowed, or untested."""
    cases = test_each_kind_of_difference_has_its_rule.pytestmark[0].args[1]  # type: ignore[attr-defined]
    reached = {
        next(at for at, (matches, *_) in enumerate(ROWS) if matches(Gap(left, right)))
        for left, right, _ in cases
        if any(matches(Gap(left, right)) for matches, *_ in ROWS)
    }
    assert reached == set(range(len(ROWS)))
