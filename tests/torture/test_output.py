"""What smbtorture printed becomes a verdict; the outputs were recorded from smbtorture 4.22."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.torture.output import Result, judge, parse
from lab.verdicts.verdict import Outcome

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("name", "code", "outcome", "reason"),
    [
        ("success", 0, Outcome.PASS, ""),
        (
            "skip",
            0,
            Outcome.UNSUPPORTED,
            "skipped: session.c:1900: server doesn't support SMB2_CAP_MULTI_CHANNEL",
        ),
        (
            "unsupported",
            1,
            Outcome.UNSUPPORTED,
            "notify.c:291: Incorrect status NT_STATUS_NOT_IMPLEMENTED"
            " - should be NT_STATUS_CANCELLED",
        ),
        (
            "error",
            1,
            Outcome.FAIL,
            "error: Unknown error/failure. Missing torture_fail() or torture_assert_*() call?",
        ),
        ("hang", 124, Outcome.TIMEOUT, "no end within 60 s; last words: Testing notify rmdir"),
        ("hang", 137, Outcome.TIMEOUT, "no end within 60 s; last words: Testing notify rmdir"),
        ("hang", None, Outcome.TIMEOUT, "no end within 60 s; last words: Testing notify rmdir"),
        (
            "hang",
            139,
            Outcome.CLIENT_CRASH,
            "smbtorture died of SIGSEGV without a result; last words: Testing notify rmdir",
        ),
        ("success", 134, Outcome.CLIENT_CRASH, "smbtorture succeeded, then died of SIGABRT"),
    ],
)
def test_an_output_and_an_exit_code_make_a_verdict(
    name: str, code: int | None, outcome: Outcome, reason: str
) -> None:
    verdict = judge(recorded(name), code, 60.0)
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_a_failure_tells_where_and_what() -> None:
    verdict = judge(recorded("failure"), 1, 60.0)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason.startswith("notify.c:303: notify.smb2.out.changes[0].name [.::TMPNAME:")
    assert verdict.reason.endswith("] != subdir-name")


def test_an_expected_not_implemented_is_a_failure_not_a_lack() -> None:
    """smb2.change_notify_disabled wants that status; getting another one is no lack of support."""
    text = (
        "failure: x [\nsource4/torture/smb2/notify_disabled.c:96: status was NT_STATUS_OK, "
        "expected NT_STATUS_NOT_IMPLEMENTED: smb2_notify_recv\n]\n"
    )
    assert judge(text, 1, 60.0).outcome is Outcome.FAIL


def test_the_worst_of_several_results_counts() -> None:
    text = recorded("success") + recorded("failure") + recorded("success")
    assert judge(text, 1, 60.0).outcome is Outcome.FAIL


def test_nothing_at_all_is_no_pass() -> None:
    verdict = judge("", 0, 60.0)
    assert verdict.outcome is Outcome.CLIENT_CRASH
    assert verdict.reason == "smbtorture ended with exit code 0 without a result"


def test_a_message_that_is_cut_short_is_kept() -> None:
    assert parse("failure: dir [\nfirst\nsecond").results == (
        Result("failure", "dir", "first\nsecond"),
    )


def test_a_name_with_a_space_is_one_name() -> None:
    assert parse("success: CREATE Existing\n").results == (Result("success", "CREATE Existing"),)


@given(st.integers(0, 2000))
def test_an_output_cut_anywhere_before_its_result_never_passes(end: int) -> None:
    text = recorded("success")
    cut = text[: min(end, text.rindex("success: ") + len("success:"))]
    assert judge(cut, 124, 60.0).outcome is Outcome.TIMEOUT


@given(st.text(max_size=300), st.one_of(st.none(), st.integers(0, 255)))
def test_any_text_has_a_verdict(text: str, code: int | None) -> None:
    judge(text, code, 60.0)
