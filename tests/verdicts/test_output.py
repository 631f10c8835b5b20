"""What a run shows to people and to machines."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from lab.verdicts.deviations import Deviation
from lab.verdicts.export import junit_xml, matrix_json
from lab.verdicts.matrix import Cell, Matrix
from lab.verdicts.render import STYLES, print_matrix
from lab.verdicts.verdict import Finding, Outcome, Verdict
from tests.verdicts.tape import ONE_CHANGE

PASS = Verdict(Outcome.PASS)


def matrix_of(**verdicts: Verdict) -> Matrix:
    """One scenario, one server for each verdict."""
    return Matrix(
        scenarios=(ONE_CHANGE,),
        servers=tuple(verdicts),
        cells={("C1", name): Cell(verdict, verdict, 0.25) for name, verdict in verdicts.items()},
        run_dir=Path("/runs/20250101-120000"),
        started="2025-01-01T12:00:00+00:00",
        seconds=1.5,
    )


def printed(matrix: Matrix, *, terminal: bool = False, width: int = 100) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, color_system=None)
    print_matrix(matrix, console)
    return stream.getvalue().splitlines()


def test_scenarios_down_servers_across_reasons_below_and_the_folder_last() -> None:
    failed = Verdict(Outcome.FAIL, "notify1 reported nothing;\n expected ADDED a")
    lines = printed(matrix_of(samba=failed, py=PASS))
    assert lines[0].split() == ["samba", "py"]
    assert lines[1].startswith("C1  One change")
    assert lines[0].index("samba") == lines[1].index("fail")
    assert lines[0].index("py") == lines[1].index("pass")
    assert lines[2].strip() == "samba: notify1 reported nothing; expected ADDED a"
    assert "samba: 1 fail" in lines
    assert lines[-1] == "/runs/20250101-120000"


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.PASS])
def test_every_verdict_but_a_pass_has_its_line_of_reason(outcome: Outcome) -> None:
    lines = printed(matrix_of(py=Verdict(outcome, "because of this")))
    assert lines[1].endswith(str(outcome))
    assert lines[2].strip() == "py: because of this"
    assert outcome in STYLES


def test_a_reason_takes_one_line_of_a_terminal_and_is_whole_elsewhere() -> None:
    matrix = matrix_of(py=Verdict(Outcome.FAIL, "x" * 300 + "end"))
    assert all(len(line) <= 80 for line in printed(matrix, terminal=True, width=80)[:-1])
    assert any(line.endswith("end") for line in printed(matrix, width=80))


def test_verdicts_are_never_cut_from_a_narrow_terminal() -> None:
    long = replace(ONE_CHANGE, title="A title " * 20)
    names = ("samba", "ksmbd", "py")
    matrix = matrix_of(**{name: Verdict(Outcome.KNOWN_DEVIATION, "why") for name in names})
    lines = printed(replace(matrix, scenarios=(long,)), terminal=True, width=80)
    assert lines[1].count("known deviation") == 3
    assert lines[0].split() == list(names)
    assert len(lines[1]) <= 80


def test_what_looks_like_markup_is_printed_as_it_is() -> None:
    lines = printed(matrix_of(py=Verdict(Outcome.FAIL, "name [bold]x[/bold] :smile:")))
    assert lines[2].strip() == "py: name [bold]x[/bold] :smile:"


def test_partial_stale_and_provisional_are_said() -> None:
    stale = Deviation("E4", "inotify is flat", "https://x", Outcome.FAIL)
    matrix = replace(
        matrix_of(py=PASS),
        partial=True,
        stale={"py": (stale,)},
        scenarios=(replace(ONE_CHANGE, provisional=True),),
    )
    text = "\n".join(printed(matrix))
    assert "this result is partial" in text
    assert "py: deviation of E4 was never seen: inotify is flat" in text
    assert "One change *" in text
    assert "* provisional" in text


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (PASS, 0),
        (Verdict(Outcome.KNOWN_DEVIATION), 0),
        (Verdict(Outcome.UNSUPPORTED, declared=True), 0),
        (Verdict(Outcome.UNSUPPORTED), 1),
        (Verdict(Outcome.FAIL), 1),
        (Verdict(Outcome.UNEXPECTED_PASS), 1),
        (Verdict(Outcome.TIMEOUT), 1),
        (Verdict(Outcome.SERVER_CRASH), 1),
        (Verdict(Outcome.CLIENT_CRASH), 1),
        (Verdict(Outcome.NO_EVIDENCE), 1),
        (Verdict(Outcome.NOT_RUN), 3),
    ],
)
def test_exit_codes(verdict: Verdict, code: int) -> None:
    assert matrix_of(py=verdict, samba=PASS).exit_code == code


def test_a_new_failure_outweighs_what_did_not_run() -> None:
    both = matrix_of(py=Verdict(Outcome.FAIL), samba=Verdict(Outcome.NOT_RUN))
    assert both.exit_code == 1
    assert replace(matrix_of(py=PASS), partial=True).exit_code == 3


def test_json_says_all_that_the_terminal_says_and_more() -> None:
    finding = Finding("signature", "ECHO echo1: not signed", 9)
    verdict = Verdict(Outcome.FAIL, "why", step=5, at=9, findings=(finding,))
    plain = json.loads(json.dumps(matrix_json(matrix_of(samba=verdict, py=PASS))))
    assert plain["folder"] == "/runs/20250101-120000"
    assert plain["exit_code"] == 1
    assert plain["summary"] == {"samba": {"fail": 1}, "py": {"pass": 1}}
    cell, other = plain["cells"]
    assert (cell["server"], cell["scenario"], cell["verdict"]) == ("samba", "C1", "fail")
    assert cell["evidence"]["observation"] == 9
    assert cell["findings"][0]["rule"] == "signature"
    assert other["reason"] == ""


def test_junit_counts_and_survives_what_xml_forbids() -> None:
    verdicts = {
        "samba": Verdict(Outcome.FAIL, "name \x00\x1b[31m <&> \ud800"),
        "ksmbd": Verdict(Outcome.UNSUPPORTED, "answered", declared=True),
        "py": PASS,
        "other": Verdict(Outcome.SERVER_CRASH, "SIGKILL"),
    }
    root = ElementTree.fromstring(junit_xml(matrix_of(**verdicts)).encode())
    counts = {
        suite.get("name"): (suite.get("failures"), suite.get("skipped"), suite.get("errors"))
        for suite in root
    }
    assert counts == {
        "samba": ("1", "0", "0"),
        "ksmbd": ("0", "1", "0"),
        "py": ("0", "0", "0"),
        "other": ("0", "0", "1"),
    }
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "<&>" in str(failure.get("message"))


def test_an_undeclared_unsupported_is_a_failure_for_junit_too() -> None:
    text = junit_xml(matrix_of(py=Verdict(Outcome.UNSUPPORTED, "answered")))
    assert 'failures="1"' in text
