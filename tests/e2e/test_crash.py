"""A kernel that fails under test: a finding on its cell, a new guest, and the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Lab, copy_checkout, free_port

SCENARIOS = Path(__file__).parent / "scenarios"
# Of the Debian releases of 6.12, those after .100 and before .111 have the fault.
FAULTY = "6.12.107+deb13-cloud-amd64"


def run(lab: Lab, file: str, *, status: int) -> tuple[dict[str, Any], Path]:
    """The cells of ksmbd by scenario, and the run's folder."""
    path = str(SCENARIOS / file)
    report = lab.json("run-scenarios", "--file", path, "--server", "ksmbd", status=status)
    return {cell["scenario"]: cell for cell in report["cells"]}, Path(report["folder"])


def test_a_panic_is_a_finding_and_the_next_scenario_has_a_new_guest(lab: Lab) -> None:
    cells, folder = run(lab, "sysrq.py", status=1)
    assert cells["X1"]["verdict"] == "server crash", cells["X1"]
    (crash,) = cells["X1"]["crashes"]
    assert (crash["kind"], crash["fatal"], crash["known"]) == ("panic", True, False)
    assert crash["functions"] == (
        "panic: sysrq_handle_crash < __handle_sysrq < write_sysrq_trigger"
    )  # fmt: skip
    assert "sysrq triggered crash" in cells["X1"]["reason"]
    written = (folder / "ksmbd/X1/crash.txt").read_text()
    assert crash["fingerprint"] in written
    assert "write_sysrq_trigger+0x" in written
    assert crash["title"] in (folder / "report.html").read_text()
    assert cells["X2"]["verdict"] == "pass", cells["X2"]
    assert cells["X2"]["crashes"] == []
    assert not (folder / "ksmbd/X2/crash.txt").exists()


def test_a_guest_out_of_memory_is_a_finding_too(lab: Lab) -> None:
    cells, folder = run(lab, "memory.py", status=1)
    assert cells["X1"]["verdict"] == "server crash", cells["X1"]
    (crash,) = cells["X1"]["crashes"]
    assert (crash["kind"], crash["fatal"]) == ("out of memory", True)
    assert "out of memory: cat asked for more" in cells["X1"]["reason"]
    assert "Mem-Info:" in (folder / "ksmbd/X1/crash.txt").read_text()
    assert (cells["X2"]["verdict"], cells["X2"]["crashes"]) == ("pass", [])


def test_the_kernel_of_today_closes_and_opens_again(lab: Lab) -> None:
    cells, _ = run(lab, "close.py", status=0)
    assert [cell["verdict"] for cell in cells.values()] == ["pass", "pass"], cells
    assert [cell["crashes"] for cell in cells.values()] == [[], []]


@pytest.fixture(scope="module")
def faulty(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab whose guest has a kernel with a fault that one scenario brings out."""
    lab = Lab(copy_checkout(tmp_path_factory.mktemp("faulty") / "checkout"), free_port())
    (lab.root / "lab.toml").write_text(f'[ksmbd]\nkernel = "{FAULTY}"\n')
    try:
        done = lab("up", "ksmbd", status=None, timeout=1800)
        if done.returncode and "Unable to locate package" in done.stderr + done.stdout:
            pytest.skip(f"Debian's mirror no longer has linux-image-{FAULTY}")
        assert done.returncode == 0, done.stderr
        yield lab
    finally:
        lab("down", "--volumes", status=None)


def test_the_shortest_sequence_that_brings_out_the_fault(faulty: Lab) -> None:
    """Known for this kernel: told with its reason, and no failure; the next scenario passes."""
    cells, folder = run(faulty, "close.py", status=0)
    assert cells["X1"]["verdict"] == "known deviation", cells["X1"]
    assert cells["X1"]["observed"]["verdict"] == "server crash"
    (crash,) = cells["X1"]["crashes"]
    assert crash["title"].startswith("kernel BUG at lib/list_debug.c:29 in smb2_open: list_add")
    assert crash["functions"] == "bug: smb2_open < handle_ksmbd_work < process_one_work"
    assert (crash["fatal"], crash["known"]) == (True, True)
    assert crash["fingerprint"] in (folder / "ksmbd/X1/crash.txt").read_text()
    assert (cells["X2"]["verdict"], cells["X2"]["crashes"]) == ("pass", [])
