"""Known deviations: explain what they name, and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.scenarios import catalogue
from lab.verdicts import deviations
from lab.verdicts.deviations import Deviations, parse
from lab.verdicts.verdict import Finding, Outcome, Verdict

KNOWN = """
[unsupported]
statuses = ["STATUS_NOT_IMPLEMENTED"]
reason = "no backend"
link = "https://example.org/none"

[[deviation]]
scenario = "E4"
outcome = "fail"
match = "sub.file2"
reason = "inotify is flat"
link = "https://example.org/flat"

[[deviation]]
scenario = "*"
finding = "signature"
match = "ECHO"
reason = "ECHO is not signed"
link = "https://example.org/echo"

[[deviation]]
scenario = "C7"
outcome = "timeout"
reason = "flaps"
link = "https://example.org/flaps"
sometimes = true
"""
DEVIATIONS = parse(tomllib.loads(KNOWN), "samba.toml")
UNSIGNED_ECHO = Finding("signature", "ECHO echo1: not signed", 3)


def applied(scenario: str, verdict: Verdict) -> Verdict:
    return DEVIATIONS.apply(scenario, verdict)[0]


def test_the_failure_it_names_is_known() -> None:
    verdict, seen = DEVIATIONS.apply("E4", Verdict(Outcome.FAIL, "expected sub\\file2"))
    assert verdict.outcome is Outcome.KNOWN_DEVIATION
    assert verdict.reason == "inotify is flat (expected sub\\file2)"
    assert verdict.link == "https://example.org/flat"
    assert verdict.as_expected
    assert seen == {0}


@pytest.mark.parametrize(
    ("scenario", "verdict"),
    [
        ("E4", Verdict(Outcome.FAIL, "something else")),
        ("E4", Verdict(Outcome.TIMEOUT, "sub\\file2")),
        ("E1", Verdict(Outcome.FAIL, "sub\\file2")),
    ],
)
def test_a_new_way_to_fail_is_no_known_deviation(scenario: str, verdict: Verdict) -> None:
    assert applied(scenario, verdict) == verdict
    assert not verdict.as_expected


def test_passing_in_spite_of_a_deviation_is_an_error() -> None:
    verdict = applied("E4", Verdict(Outcome.PASS))
    assert verdict.outcome is Outcome.UNEXPECTED_PASS
    assert "samba.toml says: inotify is flat" in verdict.reason
    assert not verdict.as_expected


def test_a_deviation_that_comes_and_goes_stays_one_when_it_passes() -> None:
    passed = applied("C7", Verdict(Outcome.PASS))
    assert passed.outcome is Outcome.KNOWN_DEVIATION
    assert passed.reason == "flaps (not this time: it passed)"
    assert applied("C7", Verdict(Outcome.TIMEOUT, "x")).outcome is Outcome.KNOWN_DEVIATION


def test_unsupported_is_expected_only_where_it_is_declared() -> None:
    verdict = Verdict(Outcome.UNSUPPORTED, "CHANGE_NOTIFY answered STATUS_NOT_IMPLEMENTED")
    known = applied("C1", verdict)
    assert known.as_expected
    assert known.reason.endswith("STATUS_NOT_IMPLEMENTED: no backend")
    other = applied("C1", Verdict(Outcome.UNSUPPORTED, "answered STATUS_NOT_SUPPORTED"))
    assert not other.as_expected
    assert not Deviations().apply("C1", verdict)[0].as_expected


def test_a_known_finding_does_not_fail_a_cell() -> None:
    failed = Verdict(Outcome.FAIL, f"wire: {UNSIGNED_ECHO.text}", findings=(UNSIGNED_ECHO,))
    verdict, seen = DEVIATIONS.apply("C1", failed)
    assert (verdict.outcome, verdict.findings) == (Outcome.PASS, (UNSIGNED_ECHO,))
    assert seen == {1}


def test_an_unknown_finding_beside_a_known_one_still_fails() -> None:
    new = Finding("signature", "CREATE create1: not signed", 9)
    failed = Verdict(Outcome.FAIL, f"wire: {UNSIGNED_ECHO.text}", findings=(UNSIGNED_ECHO, new))
    verdict = applied("C1", failed)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, f"wire: {new.text}")


def test_what_was_never_seen_is_stale() -> None:
    assert [d.scenario for d in DEVIATIONS.stale({1}, ["E4", "A1"])] == ["E4"]
    assert DEVIATIONS.stale({0}, ["E4"]) == ()  # the "*" shows somewhere, perhaps not in E4
    assert [d.scenario for d in DEVIATIONS.stale({0}, ["E4"], whole=True)] == ["*"]
    assert DEVIATIONS.stale({0, 1, 2}, ["E4", "C7"]) == ()


@pytest.mark.parametrize(
    "text",
    [
        '[[deviation]]\nscenario = "E4"\nreason = "x"\nlink = "y"',
        '[[deviation]]\nscenario = "E4"\noutcome = "pass"\nreason = "x"\nlink = "y"',
        '[[deviation]]\nscenario = "E4"\noutcome = "fail"\nreason = ""\nlink = "y"',
        '[[deviation]]\nscenario = "E4"\noutcome = "fail"\nreason = "x"',
        '[[deviation]]\nscenario = "E4"\noutcome = "fail"\nreason = "x"\nlink = "y"\ntypo = 1',
        '[[deviation]]\nscenario = "E4"\noutcome = "fail"\nmatch = "("\nreason = "x"\nlink = "y"',
        "[deviations]",
        "[",
    ],
)
def test_a_file_that_is_not_as_documented_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "samba.toml").write_text(text)
    with pytest.raises(UsageError, match=r"samba\.toml"):
        deviations.load("samba", tmp_path)


@pytest.mark.parametrize("server", ["samba", "ksmbd", "ksmbd@sid", "py"])
def test_the_shipped_files_can_be_read(server: str) -> None:
    assert deviations.load(server).entries or server != "samba"


def test_a_server_without_a_file_has_no_deviations(tmp_path: Path) -> None:
    assert deviations.load("windows", tmp_path) == Deviations()


OWN = """
[[deviation]]
scenario = "C7"
outcome = "fail"
reason = "flaps otherwise"
link = "https://example.org/own"
"""


@pytest.mark.parametrize(
    ("own", "reasons"),
    [
        (None, ["inotify is flat", "ECHO is not signed", "flaps"]),
        (OWN, ["flaps otherwise"]),
        ('inherit = "ksmbd"\n' + OWN, ["flaps otherwise", "inotify is flat", "ECHO is not signed"]),
    ],
)
def test_a_flavour_has_its_servers_deviations_or_its_own(
    tmp_path: Path, own: str | None, reasons: list[str]
) -> None:
    (tmp_path / "ksmbd.toml").write_text(KNOWN)
    if own is not None:
        (tmp_path / "ksmbd@sid.toml").write_text(own)
    found = deviations.load("ksmbd@sid", tmp_path)
    assert [entry.reason for entry in found.entries] == reasons
    assert (found.unsupported is not None) == (len(reasons) == 3)


@pytest.mark.parametrize("parent", ["ksmbd@sid", "nothing"])
def test_there_must_be_something_to_inherit(tmp_path: Path, parent: str) -> None:
    (tmp_path / "ksmbd@sid.toml").write_text(f'inherit = "{parent}"')
    with pytest.raises(UsageError, match=f"inherit = '{parent}'"):
        deviations.load("ksmbd@sid", tmp_path)


CANNOT = """
[[cannot]]
need = "sessions that expire"
reason = "it has no clock"
link = "https://example.org/clock"
"""


def test_what_a_server_cannot_do_is_found_by_the_need() -> None:
    known = parse(tomllib.loads(CANNOT), "samba.toml")
    found = known.lacks(("a tail", "sessions that expire"))
    assert found is not None
    assert found.reason == "it has no clock"
    assert known.lacks(("a tail",)) is None
    told = Verdict(Outcome.UNSUPPORTED, found.reason, declared=True)
    assert known.apply("F4c", told) == (told, frozenset())


@pytest.mark.parametrize("server", ["samba", "ksmbd", "ksmbd@sid", "py"])
def test_what_shipped_files_excuse_is_needed_by_a_scenario(server: str) -> None:
    needed = {need for item in catalogue.load() for need in item.needs}
    assert {known.need for known in deviations.load(server).cannot} <= needed
