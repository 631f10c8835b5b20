"""What a kernel's reports make of verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.crashes.known import Identified, Known
from lab.crashes.model import Crash, Frame, Kind
from lab.verdicts import crashes
from lab.verdicts.verdict import Outcome, Verdict

WARNING = Crash(Kind.WARNING, "WARNING at a.c:1 in f", (Frame("f", 1),), text="the text")
END = replace(WARNING, kind=Kind.OOPS, title="a bad end in f", fatal=True)
KNOWN = Known("it is known", "https://example.org", pattern=".")


def judged(outcome: Outcome, *found: Identified, reason: str = "") -> Verdict:
    return crashes.judged(crashes.observed(Verdict(outcome, reason), found))


@pytest.mark.parametrize(
    ("outcome", "also"),
    [
        (Outcome.PASS, ""),
        (Outcome.UNSUPPORTED, " (otherwise: unsupported)"),
        (Outcome.KNOWN_DEVIATION, " (otherwise: known deviation)"),
    ],
)
def test_a_new_report_fails_a_cell_that_went_well(outcome: Outcome, also: str) -> None:
    verdict = judged(outcome, Identified(WARNING))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason == f"kernel: WARNING at a.c:1 in f{also}"
    assert not verdict.as_expected


def test_a_known_report_is_told_and_fails_nothing() -> None:
    verdict = judged(Outcome.PASS, Identified(WARNING, KNOWN))
    assert verdict.outcome is Outcome.PASS
    assert [plain["known"] for plain in crashes.as_json([verdict])] == [True]


def test_a_new_report_beside_a_known_one_still_fails() -> None:
    verdict = judged(Outcome.PASS, Identified(WARNING, KNOWN), Identified(END))
    assert verdict.outcome is Outcome.FAIL
    assert "a bad end" in verdict.reason


def test_a_failure_keeps_its_own_reason() -> None:
    verdict = judged(Outcome.FAIL, Identified(WARNING), reason="another status")
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason == "another status; kernel: WARNING at a.c:1 in f"


def test_an_end_is_a_server_crash_with_its_cause() -> None:
    verdict = judged(Outcome.SERVER_CRASH, Identified(END), reason="it ended")
    assert (verdict.outcome, verdict.reason) == (
        Outcome.SERVER_CRASH,
        "it ended: kernel: a bad end in f",
    )


def test_a_known_end_is_a_known_deviation() -> None:
    verdict = judged(Outcome.SERVER_CRASH, Identified(END, KNOWN), reason="it ended")
    assert verdict.outcome is Outcome.KNOWN_DEVIATION
    assert verdict.link == KNOWN.link
    assert verdict.reason.startswith("it is known (it ended")


def test_an_end_is_not_known_because_a_warning_before_it_is() -> None:
    verdict = judged(Outcome.SERVER_CRASH, Identified(WARNING, KNOWN))
    assert verdict.outcome is Outcome.SERVER_CRASH


def test_rounds_are_counted_by_fingerprint() -> None:
    first = judged(Outcome.PASS, Identified(WARNING), Identified(WARNING))
    second = judged(Outcome.PASS, Identified(WARNING), Identified(END))
    found = {plain["fingerprint"]: plain["rounds"] for plain in crashes.as_json([first, second])}
    assert found == {"warning: f+0x1": 2, "oops: f+0x1": 1}


def test_the_file_tells_fingerprint_and_what_is_known() -> None:
    text = crashes.text([Identified(WARNING), Identified(END, KNOWN)], ["decoded"])
    assert "fingerprint  warning: f+0x1\nnot in lab/crashes/known.toml\n\ndecoded\n" in text
    assert "known: it is known <https://example.org>\n\nthe text\n" in text
