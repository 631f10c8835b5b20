"""A run's result for machines: `matrix.json` and `junit.xml`."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree

from lab.scenarios.model import Scenario
from lab.verdicts import crashes
from lab.verdicts.fingerprint import fingerprint
from lab.verdicts.matrix import Cell, Matrix
from lab.verdicts.verdict import Outcome, Verdict

VERSION = 1  # of the layout of matrix.json

# How JUnit is told: a verdict that is neither here nor as expected is a <failure>.
_JUNIT_KIND = {
    Outcome.SERVER_CRASH: "error",
    Outcome.CLIENT_CRASH: "error",
    Outcome.NO_EVIDENCE: "error",
    Outcome.KNOWN_DEVIATION: "skipped",
    Outcome.UNSUPPORTED: "skipped",
    Outcome.NOT_RUN: "skipped",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def matrix_json(matrix: Matrix) -> dict[str, Any]:
    """Everything that the terminal shows, and where the evidence lies."""
    return {
        "version": VERSION,
        "folder": str(matrix.run_dir.resolve()),
        "started": matrix.started,
        "seconds": matrix.seconds,
        "partial": matrix.partial,
        "exit_code": matrix.exit_code,
        "servers": list(matrix.servers),
        "scenarios": [
            {
                "name": scenario.name,
                "title": scenario.title,
                "cites": list(scenario.cites),
                "rests_on": scenario.rests_on,
                "provisional": scenario.provisional,
                "fingerprint": fingerprint(scenario),
            }
            for scenario in matrix.scenarios
        ],
        "cells": [
            _cell_json(scenario, server, matrix.cell(scenario.name, server))
            for scenario in matrix.scenarios
            for server in matrix.servers
        ],
        "summary": summary(matrix),
        "leaks": {
            server: [crashes.plain(leak) for leak in leaks]
            for server, leaks in matrix.leaks.items()
        },
        "stale_deviations": {
            server: [
                {"scenario": entry.scenario, "reason": entry.reason, "link": entry.link}
                for entry in entries
            ]
            for server, entries in (matrix.stale or {}).items()
        },
    }


def _cell_json(scenario: Scenario, server: str, cell: Cell) -> dict[str, Any]:
    verdict = cell.verdict
    return {
        "server": server,
        "scenario": scenario.name,
        "verdict": str(verdict.outcome),
        "as_expected": verdict.as_expected,
        "reason": verdict.reason,
        "link": verdict.link,
        "observed": {"verdict": str(cell.raw.outcome), "reason": cell.raw.reason},
        "evidence": {
            "step": verdict.step,
            "observation": verdict.at,
            "file": f"{server}/{scenario.name}/{scenario.evidence}",
        },
        "findings": [
            {"rule": finding.rule, "text": finding.text, "observation": finding.at}
            for finding in verdict.findings
        ],
        "crashes": crashes.as_json(cell.rounds or (cell.verdict,)),
        "seconds": cell.seconds,
        "stability": stability(cell),
    }


def stability(cell: Cell) -> dict[str, Any]:
    """How often the cell ended how, and in how many rounds it was not as expected."""
    rounds = cell.rounds or (cell.verdict,)
    return {
        "rounds": len(rounds),
        "failed": sum(not verdict.as_expected for verdict in rounds),
        "verdicts": dict(Counter(str(verdict.outcome) for verdict in rounds)),
    }


def summary(matrix: Matrix) -> dict[str, dict[str, int]]:
    """How many cells of each server have which verdict."""
    counts = {
        server: Counter(
            str(matrix.cell(scenario.name, server).verdict.outcome) for scenario in matrix.scenarios
        )
        for server in matrix.servers
    }
    order = [str(outcome) for outcome in Outcome]
    return {
        server: {name: count[name] for name in order if count[name]}
        for server, count in counts.items()
    }


def junit_xml(matrix: Matrix) -> str:
    """One test suite for each server, one test case for each scenario."""
    root = ElementTree.Element("testsuites", name="notify-lab", time=str(matrix.seconds))
    for server in matrix.servers:
        suite = ElementTree.SubElement(
            root, "testsuite", name=server, timestamp=matrix.started, tests="0"
        )
        kinds: Counter[str] = Counter()
        for scenario in matrix.scenarios:
            cell = matrix.cell(scenario.name, server)
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"{server}.{scenario.group}",
                name=f"{scenario.name} {scenario.title}",
                time=str(cell.seconds),
            )
            kinds[_tell_junit(case, cell.verdict)] += 1
        for leak in matrix.leaks.get(server, ()):
            case = ElementTree.SubElement(suite, "testcase", classname=f"{server}.leaks")
            case.set("name", leak.crash.title)
            kind = "skipped" if leak.known else "failure"
            ElementTree.SubElement(case, kind, message=leak.crash.fingerprint)
            kinds[kind] += 1
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(kinds["failure"]))
        suite.set("errors", str(kinds["error"]))
        suite.set("skipped", str(kinds["skipped"]))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _tell_junit(case: ElementTree.Element, verdict: Verdict) -> str:
    if verdict.outcome is Outcome.PASS:
        return "passed"
    kind = _JUNIT_KIND.get(verdict.outcome, "failure")
    if verdict.outcome is Outcome.UNSUPPORTED and not verdict.declared:
        kind = "failure"
    message = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", f"{verdict.outcome}: {verdict.reason}")
    element = ElementTree.SubElement(case, kind, message=message)
    element.text = "\n".join(finding.text for finding in verdict.findings) or None
    return kind
