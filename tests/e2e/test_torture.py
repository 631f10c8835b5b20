"""smbtorture through `lab run-torture`, against notify_server: what it passes, for good."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Lab, docker

NOTIFY_TESTS = 23  # of smbtorture 4.22


def verdicts(report: Any) -> dict[str, str]:
    return {cell["scenario"]: f"{cell['verdict']} {cell['reason']}" for cell in report["cells"]}


def smbtorture_processes(lab: Lab) -> list[str]:
    """The command lines of smbtorture in the client's container."""
    name = lab.json("status")["name"]
    client = docker(
        "ps",
        "-q",
        "--filter",
        f"label=org.notify-lab.name={name}",
        "--filter",
        "label=org.notify-lab.node=client",
    ).strip()
    return [line for line in docker("top", client).splitlines() if "smbtorture" in line]


@pytest.mark.slow
def test_notify_is_complete(lab: Lab) -> None:
    """Most of its time is mask's, which waits 100 s for what must not come."""
    report = lab.json("run-torture", "smb2.notify", "--server", "py", timeout=400)
    found = verdicts(report)
    assert {name: verdict for name, verdict in found.items() if verdict.strip() != "pass"} == {}
    assert len(found) >= NOTIFY_TESTS
    for name in found:
        text = (Path(report["folder"]) / "py" / name / "smbtorture.txt").read_text()
        assert "\nsuccess: " in text
        assert lab.password not in text


def test_what_notify_rests_on(lab: Lab) -> None:
    patterns = (
        "notify-inotify",
        "change_notify_disabled",
        "compound.related[789]",
        "compound.interim[123]",
        "credits.?conn_notify*",
        "session.reconnect*",
        "session.signing-*",
        "session.encryption-*",
    )
    found = verdicts(lab.json("run-torture", *patterns, "--server", "py"))
    assert {name: verdict for name, verdict in found.items() if verdict.strip() != "pass"} == {}
    assert len(found) == 19


def test_ctrl_c_leaves_no_smbtorture_behind(lab: Lab) -> None:
    child = lab.popen("run-torture", "smb2.notify.mask", "--server", "py")
    try:
        end = time.monotonic() + 30
        while not (seen := smbtorture_processes(lab)):
            assert time.monotonic() < end, "smbtorture never ran"
            time.sleep(0.2)
        assert not [line for line in seen if lab.password in line]
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=30)
    except (subprocess.TimeoutExpired, AssertionError):
        child.kill()
        child.communicate()
        raise
    assert child.returncode == 3, error
    end = time.monotonic() + 5
    while smbtorture_processes(lab):
        assert time.monotonic() < end, "smbtorture outlived its run"
        time.sleep(0.2)


def test_an_unknown_subtest_is_a_usage_error(lab: Lab) -> None:
    done = lab("run-torture", "notify.rmdir9", status=2)
    assert "smb2.notify.rmdir4" in done.stderr
