"""What closes the gate: stably worse cells and new reports of the kernel, nothing else."""

from typing import Any

import pytest

from lab.gate.judge import Judged, judge
from lab.gate.verdict import Compared, Verdict, markdown

CRASH = {
    "kind": "bug",
    "title": "kernel BUG in smb2_open",
    "fingerprint": "bug smb2_open+0x1",
    "functions": "smb2_open",
    "known": False,
}


def cell(
    server: str,
    rounds: str,
    scenario: str = "A1",
    reason: str = "",
    crashes: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """A cell; `rounds` are outcomes with commas between, the last one decides."""
    outcomes = rounds.split(",")
    return {
        "server": server,
        "scenario": scenario,
        "verdict": outcomes[-1],
        "reason": reason,
        "crashes": list(crashes),
        "stability": {"verdicts": {word: outcomes.count(word) for word in outcomes}},
    }


def judged(before: str, after: str, **more: Any) -> Judged:
    matrix = {"cells": [cell("base", before), cell("candidate", after, **more)]}
    return judge(matrix, "base", matrix, "candidate")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("pass,pass", "fail,fail", "new_failures"),
        ("pass,pass", "known deviation,known deviation", "new_failures"),
        ("known deviation", "fail", "new_failures"),
        ("unsupported", "timeout", "new_failures"),
        ("fail", "server crash", "new_failures"),
        ("pass,pass", "pass,fail", "now_and_then"),
        ("pass,fail", "fail,fail", ""),
        ("fail,fail", "pass,pass", "improved"),
        ("known deviation", "unexpected pass", "improved"),
        ("pass", "unexpected pass", "other"),
        ("unsupported", "known deviation", "other"),
        ("pass", "pass", ""),
        ("not run", "fail", "not_compared"),
        ("pass", "no evidence", "not_compared"),
        ("pass,pass,pass", "fail,fail,no evidence", "new_failures"),
    ],
)
def test_a_cell_is_told_under_one_heading(before: str, after: str, kind: str) -> None:
    found = judged(before, after)
    headings = ("new_failures", "now_and_then", "improved", "other", "not_compared")
    told = [name for name in headings if getattr(found, name)]
    if before == "pass,fail":  # another deciding round, but no worse than it ever was
        assert told in ([], ["other"])
    else:
        assert told == ([kind] if kind else [])
    assert found.holds == (kind != "new_failures")
    assert found.compared == (0 if kind == "not_compared" else 1)


def test_the_same_verdict_for_another_reason_is_told_and_passes() -> None:
    found = judged("fail", "fail", reason="answered STATUS_NOT_SUPPORTED")
    assert found.holds
    assert "STATUS_NOT_SUPPORTED" in found.other[0]


def test_a_new_report_of_the_kernel_closes_the_gate_once() -> None:
    matrix = {
        "cells": [
            cell("base", "pass"),
            cell("base", "pass", "A2"),
            cell("candidate", "pass", crashes=(CRASH,)),
            cell("candidate", "pass", "A2", crashes=(CRASH,)),
        ]
    }
    found = judge(matrix, "base", matrix, "candidate")
    assert not found.holds
    assert found.new_crashes == ["kernel BUG in smb2_open (bug smb2_open+0x1), in A1"]


@pytest.mark.parametrize("where", ["known to everybody", "in the base"])
def test_a_report_that_is_not_new_lets_pass(where: str) -> None:
    mine = {**CRASH, "fingerprint": "bug smb2_open+0x2", "known": where == "known to everybody"}
    base = cell("base", "pass", crashes=(CRASH,) if where == "in the base" else ())
    matrix = {"cells": [base, cell("candidate", "pass", crashes=(mine,))]}
    assert judge(matrix, "base", matrix, "candidate").holds


def test_leaks_count_as_reports() -> None:
    matrix = {
        "cells": [cell("base", "pass"), cell("candidate", "pass")],
        "leaks": {"candidate": [{**CRASH, "kind": "leak", "title": "12 objects"}]},
    }
    found = judge(matrix, "base", matrix, "candidate")
    assert found.new_crashes == ["12 objects (bug smb2_open+0x1), after the run"]


def test_the_verdict_names_both_sides_and_the_findings() -> None:
    base = Compared("ksmbd", "f9a4ec071ad1b6", "6.12.1")
    mine = Compared('1a2b3c4d ("ksmbd: a | b")', "5e85d3d0aa77c8", "6.12.1")
    verdict = Verdict(base, mine, judged("pass,pass", "fail,fail", reason="two\nlines"))
    text = markdown([verdict], 37, 2, "tcg")
    assert text.startswith("## CHANGE_NOTIFY gate: FAILED\n")
    assert '| candidate | 1a2b3c4d ("ksmbd: a \\| b") | 5e85d3d0aa77 | 6.12.1 |' in text
    assert "- **A1**: pass -> fail: two lines\n" in text
    assert "37 scenarios, each 2 times on either side" in text


def test_what_could_not_be_compared_has_not_passed() -> None:
    base = Compared("base")
    verdict = Verdict(base, Compared("one"), judged("pass", "no evidence"))
    assert not verdict.holds
    assert not verdict.bad
    assert verdict.as_json()["holds"] is False
    assert markdown([verdict], 1, 1, "tcg").startswith("## CHANGE_NOTIFY gate: nothing compared\n")
    good = Verdict(base, Compared("two"), judged("pass", "pass"))
    worse = Verdict(base, Compared("three"), judged("pass", "fail"))
    text = markdown([good, verdict], 1, 1, "tcg")
    assert text.startswith("## CHANGE_NOTIFY gate: nothing compared\n")
    assert "| one | nothing compared |" in text
    assert "None is bad. Of some nothing could be compared." in text
    assert markdown([verdict, worse], 1, 1, "tcg").startswith("## CHANGE_NOTIFY gate: FAILED\n")


def test_of_a_series_the_first_bad_commit_is_named() -> None:
    base = Compared("base")
    good = Verdict(base, Compared("one"), judged("pass", "pass"))
    broken = Verdict(base, Compared("two"), broken="not built:\n  smb2pdu.c:1: error: x\n  more")
    worse = Verdict(base, Compared("three"), judged("pass", "fail"))
    text = markdown([good, broken, worse], 1, 1, "tcg")
    assert "First bad: **two**" in text
    assert "| one | passed |" in text
    assert "| two | smb2pdu.c:1: error: x |" in text
    assert "| three | 1 newly failing, 0 new reports |" in text
    assert "None is bad." in markdown([good, good], 1, 1, "tcg")
