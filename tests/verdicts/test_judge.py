"""Each kind of verdict from a bent tape: a server that errs must never pass."""

from __future__ import annotations

from typing import Any

import pytest

from lab.scenarios import script
from lab.scenarios.model import FILE_NAME, Scenario
from lab.verdicts.judge import judge
from lab.verdicts.verdict import Outcome
from tests.verdicts.tape import ASYNC, ONE_CHANGE, Tape, find, one_change_observed, records

Lines = list[dict[str, Any]]


def outcome(lines: Lines, scenario: Scenario = ONE_CHANGE) -> Outcome:
    return judge(scenario, lines).outcome


def test_a_server_that_behaves_passes() -> None:
    verdict = judge(ONE_CHANGE, one_change_observed())
    assert (verdict.outcome, verdict.reason, verdict.findings) == (Outcome.PASS, "", ())


@pytest.mark.parametrize(
    ("pairs", "word"),
    [
        ([("ADDED", "b")], "ADDED b"),
        ([("MODIFIED", "a")], "MODIFIED a"),
        ([("ADDED", "a"), ("MODIFIED", "a")], "MODIFIED a"),
        ([], "nothing"),
    ],
)
def test_other_records_fail(pairs: list[tuple[str, str]], word: str) -> None:
    lines = one_change_observed()
    find(lines, "notify1", "final")["body"]["records"] = records(*pairs)
    verdict = judge(ONE_CHANGE, lines)
    assert verdict.outcome is Outcome.FAIL
    assert f"reported {word}" in verdict.reason or word in verdict.reason
    assert "expected ADDED a (MS-FSCC 2.7.1)" in verdict.reason
    assert lines[verdict.at]["stage"] == "final"


def test_another_status_fails() -> None:
    lines = one_change_observed()
    find(lines, "notify1", "final")["status"] = "STATUS_NOTIFY_ENUM_DIR"
    verdict = judge(ONE_CHANGE, lines)
    assert verdict.outcome is Outcome.FAIL
    assert "STATUS_NOTIFY_ENUM_DIR" in verdict.reason


def test_an_answer_before_its_time_breaks_silence() -> None:
    lines = one_change_observed()
    final = find(lines, "notify1", "final")
    lines.remove(final)
    lines.insert(lines.index(find(lines, "echo1", "request")), final)
    verdict = judge(ONE_CHANGE, lines)
    assert verdict.outcome is Outcome.FAIL
    assert "should still wait, but was answered: ADDED a" in verdict.reason
    assert verdict.step == 3


def test_a_final_response_without_the_interim_one_fails() -> None:
    lines = one_change_observed()
    lines.remove(find(lines, "notify1", "interim"))
    find(lines, "notify1", "final")["header"].pop("async_id")
    assert "no interim response but STATUS_SUCCESS" in judge(ONE_CHANGE, lines).reason


def stopped_at(step: int, why: str, text: str = "so it was") -> Lines:
    """The tape of a run that went no further than `step`."""
    lines = one_change_observed()
    cut = next(
        i for i, line in enumerate(lines) if line["kind"] == "step" and line["index"] == step
    )
    kept = [line for line in lines[:cut] if line.get("stage") != "final" or step > 4]
    kept.append({"kind": "stopped", "index": step, "why": why, "ref": "notify1", "text": text})
    kept.append({"kind": "end"})
    return kept


@pytest.mark.parametrize(
    ("why", "wanted"),
    [
        ("timeout", Outcome.TIMEOUT),
        ("status", Outcome.FAIL),
        ("reset", Outcome.FAIL),
        ("connect", Outcome.NO_EVIDENCE),
        ("server", Outcome.NO_EVIDENCE),
    ],
)
def test_a_stop_tells_why(why: str, wanted: Outcome) -> None:
    verdict = judge(ONE_CHANGE, stopped_at(4, why))
    assert (verdict.outcome, verdict.reason, verdict.step) == (wanted, "so it was", 4)


def test_a_breach_seen_before_the_stop_outweighs_it() -> None:
    lines = stopped_at(4, "timeout")
    find(lines, "notify1", "interim")["status"] = "STATUS_SUCCESS"
    assert outcome(lines) is Outcome.FAIL


def test_a_crash_of_the_client_is_no_verdict_on_the_server() -> None:
    lines = one_change_observed()
    lines[3:] = [
        {"kind": "crash", "index": 2, "traceback": "Traceback\n  File\nKeyError: 'x'"},
        {"kind": "end"},
    ]
    verdict = judge(ONE_CHANGE, lines)
    assert (verdict.outcome, verdict.reason) == (Outcome.CLIENT_CRASH, "KeyError: 'x'")


@pytest.mark.parametrize("status", ["STATUS_NOT_IMPLEMENTED", "STATUS_NOT_SUPPORTED"])
def test_a_server_without_notify_is_unsupported(status: str) -> None:
    tape = Tape().step(0).request("notify1").error("notify1", status).step(1).step(2)
    tape.request("echo1", "ECHO").done("echo1", 4).step(3).step(4).step(5)
    verdict = judge(ONE_CHANGE, tape.end())
    assert verdict.outcome is Outcome.UNSUPPORTED
    assert status in verdict.reason


def test_a_refusal_that_the_scenario_allows_is_not_unsupported() -> None:
    def refused(s: script.Script) -> None:
        opened = script.Open(s.connect("watcher"), "open1")
        opened.notify(FILE_NAME).final().status("STATUS_NOT_SUPPORTED")

    scenario = script.scenario("B6", title="Off", cites=["MS-SMB2 3.3.5.19"], rests_on="a test")(
        refused
    ).record()
    tape = Tape().step(0).request("notify1").error("notify1", "STATUS_NOT_SUPPORTED")
    assert outcome(tape.step(1).step(2).end(), scenario) is Outcome.PASS


def test_a_request_that_nothing_judges_may_be_refused() -> None:
    lines = one_change_observed()
    extra = Tape().request("notify9").error("notify9", "STATUS_NOT_IMPLEMENTED").lines[1:]
    lines[1:1] = extra
    assert outcome(lines) is Outcome.PASS


@pytest.mark.parametrize("kind", ["begin", "end"])
def test_half_a_story_is_no_evidence(kind: str) -> None:
    lines = [line for line in one_change_observed() if line["kind"] != kind]
    assert outcome(lines) is Outcome.NO_EVIDENCE


@pytest.mark.parametrize("step", range(len(ONE_CHANGE.steps)))
def test_a_step_without_a_trace_is_no_evidence(step: int) -> None:
    lines = [
        line
        for line in one_change_observed()
        if not (line["kind"] == "step" and line["index"] == step)
    ]
    assert outcome(lines) is Outcome.NO_EVIDENCE


def test_nothing_observed_is_no_evidence() -> None:
    assert outcome([]) is Outcome.NO_EVIDENCE


@pytest.mark.parametrize(
    ("stage", "change", "rule"),
    [
        ("final", {"signature_ok": False}, "signature"),
        ("final", {"signature_ok": None}, "signature"),
        ("interim", {"signature_ok": False}, "signature"),
        ("final", {"header.flags": ASYNC}, "direction"),
        ("final", {"header.structure_size": 65}, "header-size"),
        ("final", {"header.async_id": 5}, "async-id-same"),
        ("final", {"header.next_command": 12}, "compound-alignment"),
        ("final", {"body.structure_size": 8}, "structure-size"),
        ("interim", {"header.async_id": 0}, "interim-async-id"),
    ],
)
def test_a_breach_on_the_wire_fails_a_cell_that_would_pass(
    stage: str, change: dict[str, Any], rule: str
) -> None:
    lines = one_change_observed()
    pdu = find(lines, "notify1", stage)
    for path, value in change.items():
        *outer, last = path.split(".")
        (pdu[outer[0]] if outer else pdu)[last] = value
    verdict = judge(ONE_CHANGE, lines)
    assert verdict.outcome is Outcome.FAIL
    assert rule in {finding.rule for finding in verdict.findings}
    assert verdict.reason.startswith("wire: ")


def test_a_second_final_response_and_an_unknown_message_id_are_findings() -> None:
    lines = one_change_observed()
    again = {**find(lines, "notify1", "final"), "stage": "extra"}
    stranger = {**find(lines, "echo1", "final"), "ref": ""}
    lines[-1:-1] = [again, stranger, {"kind": "garbage", "why": "3 bytes", "conn": "watcher"}]
    rules = {finding.rule for finding in judge(ONE_CHANGE, lines).findings}
    assert {"answered-once", "message-id", "garbage"} <= rules


@pytest.mark.parametrize(
    "entries",
    [
        [{"offset": 2}],
        [{"next_entry_offset": 16}],
        [{"file_name_length": 3}],
        [{"file_name_length": 0}],
        [{"name": "a\0"}],
        [{"name": "\\a"}],
        [{"name": "a/b"}],
        [{"action": "9"}],
        [{"next_entry_offset": 0}, {}],
    ],
)
def test_records_laid_out_wrongly_are_a_finding(entries: list[dict[str, Any]]) -> None:
    lines = one_change_observed()
    good = records(*[("ADDED", "a")] * len(entries))
    bent = [{**entry, **change} for entry, change in zip(good, entries, strict=True)]
    find(lines, "notify1", "final")["body"]["records"] = bent
    assert "records" in {finding.rule for finding in judge(ONE_CHANGE, lines).findings}


def test_what_the_client_does_to_tidy_up_is_not_judged() -> None:
    lines = one_change_observed()
    unsigned = {**find(lines, "echo1", "final"), "signature_ok": None, "ref": ""}
    lines[-1:-1] = [{"kind": "tidy", "conn": "watcher"}, unsigned]
    assert outcome(lines) is Outcome.PASS
