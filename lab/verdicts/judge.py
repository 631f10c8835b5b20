"""From a scenario and its observations to a verdict. Pure: no clock, no server, no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.scenarios.model import Expectation, ExpectField, Scenario
from lab.verdicts.checks import CHECKS, Failure
from lab.verdicts.evidence import Evidence, Observation
from lab.verdicts.verdict import Outcome, Verdict
from lab.verdicts.wire import find_breaches

UNSUPPORTED = ("STATUS_NOT_IMPLEMENTED", "STATUS_NOT_SUPPORTED")

STOP_OUTCOMES = {
    "timeout": Outcome.TIMEOUT,
    "status": Outcome.FAIL,
    "reset": Outcome.FAIL,
    "connect": Outcome.NO_EVIDENCE,
    "server": Outcome.NO_EVIDENCE,
}


def judge(scenario: Scenario, observations: Sequence[Observation]) -> Verdict:
    """The verdict on one run of one scenario, before any deviation is considered.

    The first thing that went wrong decides, in the order of the scenario's steps; a server that
    does not implement CHANGE_NOTIFY at all is told apart from one that gets it wrong.
    """
    evidence = Evidence(observations)
    findings = find_breaches(evidence)
    verdict = (
        _client_crash(evidence)
        or _unsupported(scenario, evidence)
        or _first_failure(scenario, evidence)
        or _incomplete(scenario, evidence)
    )
    if verdict is None:
        verdict = Verdict(Outcome.PASS)
        if findings:
            verdict = Verdict(Outcome.FAIL, f"wire: {findings[0].text}", at=findings[0].at)
    return replace(verdict, findings=findings)


def _client_crash(evidence: Evidence) -> Verdict | None:
    crash = evidence.first("crash")
    if crash is None:
        return None
    last = crash["traceback"].strip().splitlines()[-1]
    return Verdict(Outcome.CLIENT_CRASH, last, step=crash["index"], at=evidence.kinds["crash"][0])


def _unsupported(scenario: Scenario, evidence: Evidence) -> Verdict | None:
    for at, pdu in evidence.pdus("in"):
        if pdu["command"] != "CHANGE_NOTIFY" or pdu["status"] not in UNSUPPORTED:
            continue
        if _is_judged(scenario, pdu["ref"]) and not _is_wanted(scenario, pdu):
            return Verdict(Outcome.UNSUPPORTED, f"CHANGE_NOTIFY answered {pdu['status']}", at=at)
    return None


def _is_judged(scenario: Scenario, ref: str) -> bool:
    """Whether any expectation looks at that request; a `Collect` numbers its own."""
    name = ref.partition(".")[0]
    return any(
        name == getattr(wanted, "of", None) or name in getattr(wanted, "refs", ())
        for wanted in scenario.expectations
    )


def _is_wanted(scenario: Scenario, pdu: Observation) -> bool:
    """Whether the scenario allows that very status for that request."""
    for wanted in scenario.expectations:
        if isinstance(wanted, ExpectField) and (wanted.of, wanted.field) == (pdu["ref"], "status"):
            value = wanted.match.value
            if pdu["status"] in (value if isinstance(value, tuple) else (value,)):
                return True
    return False


def _first_failure(scenario: Scenario, evidence: Evidence) -> Verdict | None:
    """The earliest of: an expectation that fails on evidence, and the step that stopped it all.

    Expectations that lack evidence because the scenario had stopped are consequences, not causes.
    """
    stopped = evidence.first("stopped")
    stopped_at = stopped["index"] if stopped else len(scenario.steps)
    for wanted in sorted(scenario.expectations, key=lambda item: item.step):
        if wanted.step > stopped_at:
            break
        failure = CHECKS[type(wanted)](wanted, evidence)
        if failure is not None and not failure.missing:
            return _failed(wanted, failure)
        if failure is not None and stopped is None:
            return Verdict(Outcome.NO_EVIDENCE, failure.text, step=wanted.step)
    if stopped is None:
        return None
    at = evidence.kinds["stopped"][0]
    return Verdict(STOP_OUTCOMES[stopped["why"]], stopped["text"], step=stopped_at, at=at)


def _failed(wanted: Expectation, failure: Failure) -> Verdict:
    reason = f"{failure.text} ({wanted.rule})" if wanted.rule else failure.text
    return Verdict(Outcome.FAIL, reason, step=wanted.step, at=failure.at)


def _incomplete(scenario: Scenario, evidence: Evidence) -> Verdict | None:
    """A pass needs the whole story: begun, every step done, ended."""
    for kind in ("begin", "end"):
        if not evidence.has(kind):
            return Verdict(Outcome.NO_EVIDENCE, f"the observations have no {kind}")
    for index in range(len(scenario.steps)):
        if evidence.end_of_step(index) < 0:
            return Verdict(Outcome.NO_EVIDENCE, f"step {index} left no trace", step=index)
    if not evidence.pdus("in"):
        return Verdict(Outcome.NO_EVIDENCE, "no response was observed")
    return None
