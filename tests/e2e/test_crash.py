"""A kernel that fails under test: a finding on its cell, a new guest, and the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.harness import Lab

SCENARIOS = Path(__file__).parent / "scenarios"


def cells(report: Any) -> dict[str, Any]:
    return {cell["scenario"]: cell for cell in report["cells"]}


def run(lab: Lab, file: str, *names: str, status: int) -> Any:
    words = ("run-scenarios", *names, "--file", str(SCENARIOS / file), "--server", "ksmbd")
    return lab.json(*words, status=status)


def test_a_panic_is_a_finding_and_the_next_scenario_has_a_new_guest(lab: Lab) -> None:
    report = run(lab, "sysrq.py", status=1)
    found = cells(report)
    assert found["X1"]["verdict"] == "server crash", found["X1"]
    (crash,) = found["X1"]["crashes"]
    assert crash["kind"] == "panic"
    assert crash["fatal"]
    assert not crash["known"]
    assert crash["functions"] == (
        "panic: sysrq_handle_crash < __handle_sysrq < write_sysrq_trigger"
    )  # fmt: skip
    assert "sysrq triggered crash" in found["X1"]["reason"]
    assert found["X2"]["verdict"] == "pass", found["X2"]
    assert found["X2"]["crashes"] == []
    folder = Path(report["folder"])
    written = (folder / "ksmbd/X1/crash.txt").read_text()
    assert crash["fingerprint"] in written
    assert "write_sysrq_trigger+0x" in written
    assert not (folder / "ksmbd/X2/crash.txt").exists()
    assert crash["title"] in (folder / "report.html").read_text()
