"""Call traces on the real lab: under the packets of H1, and off again whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Lab, docker, node_container

LEFT_OVERS = """
ls /sys/kernel/tracing/instances
cat /sys/kernel/tracing/kprobe_events
cat /sys/kernel/tracing/current_tracer
"""
KSMBD_NOTIFY = [
    "handle_ksmbd_work",
    "ksmbd_verify_smb_message",
    "smb2_notify",
    "smb2_set_err_rsp",
    "smb3_set_sign_rsp",
    "ksmbd_conn_write",
]
PY_NOTIFY = ["core.chain.Chain.advance", "core.notifying.change_notify"]
PY_CHANGE = ["notify.table.WatchTable.publish", "core.connection.Connection.finish_parked"]


@pytest.fixture(scope="module")
def traced(lab: Lab) -> Any:
    """H1 on ksmbd and py, traced."""
    return lab.json("trace", "H1", "--server", "ksmbd,py", timeout=600)


def in_guest(lab: Lab, script: str) -> str:
    done = subprocess.run(
        lab.argv("shell", "ksmbd"),
        input=script,
        env=lab.env,
        cwd=lab.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def say_on_console(lab: Lab, words: str) -> None:
    """Have the guest's kernel say it, and wait until the node's log has it."""
    in_guest(lab, f"echo '<4>{words}' >/dev/kmsg")
    end = time.monotonic() + 20
    while words not in lab("logs", "ksmbd").stdout:
        assert time.monotonic() < end, f"{words!r} is not on the guest's console"
        time.sleep(0.2)


def in_order(functions: Sequence[str], wanted: Sequence[str]) -> bool:
    rest = iter(functions)
    return all(name in rest for name in wanted)


def cell(traced: Any, server: str) -> tuple[list[Any], dict[int, list[list[str]]]]:
    """The rungs of a server's ladder, and the names of the functions under each."""
    folder = Path(traced["folder"]) / server / "H1"
    rungs = json.loads((folder / "ladder.json").read_text())["rungs"]
    (trace,) = (c["trace"] for c in traced["cells"] if c["server"] == server)
    assert trace["lost"] == 0
    under: dict[int, list[list[str]]] = {}
    for tree in trace["trees"]:
        names = [function for _, function, _, _ in tree["tree"]]
        under.setdefault(tree.get("rung", -1), []).append(names)
    return rungs, under


def notifies(rungs: Sequence[Any], stage: str = "request") -> list[int]:
    found = enumerate(rungs)
    return [at for at, r in found if (r["command"], r["stage"]) == ("CHANGE_NOTIFY", stage)]


def test_ksmbds_function_graph_hangs_under_h1s_packets(traced: Any) -> None:
    rungs, under = cell(traced, "ksmbd")
    wanted = notifies(rungs)
    assert len(wanted) == 4
    for at in wanted:
        (names,) = under[at]
        assert in_order(names, KSMBD_NOTIFY), names
    creates = [at for at, rung in enumerate(rungs) if rung["command"] == "CREATE"]
    requests = [at for at in creates if rungs[at]["stage"] == "request"]
    assert all("smb2_open" in names for at in requests for names in under[at])


def test_pys_trace_hangs_under_requests_and_responses(traced: Any) -> None:
    rungs, under = cell(traced, "py")
    for at in notifies(rungs):
        assert any(in_order(names, PY_NOTIFY) for names in under[at]), under[at]
    finals = [names for at in notifies(rungs, "final") for names in under.get(at, [])]
    assert any(in_order(names, PY_CHANGE) for names in finals), finals


def test_the_text_has_the_trees_below_the_packets(lab: Lab, traced: Any) -> None:
    folder = Path(traced["folder"])
    text = (folder / "ksmbd/H1/ladder-with-trace.txt").read_text()
    first = text.index("CHANGE_NOTIFY   #5")
    assert first < text.index("smb2_notify", first) < text.index("CHANGE_NOTIFY   #7")
    again = lab("ladder", "H1", "--run", folder.name, "--server", "ksmbd", "--trace").stdout
    assert text.strip() == again.strip()


def test_report_and_bundle_carry_the_trees(lab: Lab, traced: Any, tmp_path: Path) -> None:
    folder = Path(traced["folder"])
    assert "handle_ksmbd_work … smb2_notify" in (folder / "report.html").read_text()
    target = tmp_path / "h1.tar.gz"
    lab("bundle", "H1", "--run", folder.name, "--output", str(target))
    with tarfile.open(target) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    assert {"ksmbd/ladder-with-trace.txt", "ksmbd/trace.json", "py/trace.json"} <= set(names)


def test_tracing_is_off_afterwards(lab: Lab, traced: Any) -> None:
    assert in_guest(lab, LEFT_OVERS).split() == ["nop"]
    assert "--trace" not in docker("top", node_container(lab, "py"), "-eo", "pid,args")


def test_tracing_is_off_after_ctrl_c(lab: Lab) -> None:
    child = lab.popen("trace", "A", "C", "--server", "ksmbd,py")
    assert child.stderr is not None
    child.stderr.readline()  # a scenario is done: everything is on
    assert "notify-lab" in in_guest(lab, LEFT_OVERS)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=300)
    assert "Traceback" not in err
    assert child.returncode == 3, err
    assert in_guest(lab, LEFT_OVERS).split() == ["nop"]
    end = time.monotonic() + 20
    while "--trace" in docker("top", node_container(lab, "py"), "-eo", "pid,args"):
        assert time.monotonic() < end, "the traced notify_server is still there"
        time.sleep(0.2)


def test_a_log_begins_at_a_packet(lab: Lab) -> None:
    """The report's own words, pasted. A line before the run and one after it are told apart."""
    before, after = (f"e2e {word} {time.time_ns()}" for word in ("before", "after"))
    say_on_console(lab, before)
    plain = lab.json("run-scenarios", "H1", "--server", "ksmbd")
    say_on_console(lab, after)
    folder = Path(plain["folder"])
    rungs = json.loads((folder / "ksmbd/H1/ladder.json").read_text())["rungs"]
    frame = rungs[notifies(rungs)[-1]]["frame"]
    place = f"{folder.name}/ksmbd/H1:{frame}"
    whole = lab("logs", "ksmbd").stdout
    since = lab("logs", "ksmbd", "--since-pdu", place).stdout
    assert before in whole
    assert before not in since
    assert after in since
    assert 0 < len(since) < len(whole)
    refused = lab("logs", "ksmbd", "--since-pdu", f"{folder.name}/ksmbd/H1:99999", status=2)
    assert "frames: " in refused.stderr
