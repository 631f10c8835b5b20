"""The development loop on the real lab: change ksmbd, build, exchange, and see exactly that change.

From Debian's own source, which the first test fetches; the tests of this module share its build
tree, so that each compiles one file.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Lab, node_container
from tests.e2e.ksmbd_source import Tree, build_and_reload, fetched, running_module

SCENARIOS = ("A1", "C1")


@pytest.fixture(scope="module")
def tree(lab: Lab) -> Iterator[Tree]:
    """The source that `lab ksmbd build` fetches; afterwards the guest has its own module again."""
    tree = fetched(lab)
    yield tree
    tree.restore()
    lab("ksmbd", "reload", "--original")


@pytest.fixture
def pristine(tree: Tree) -> Iterator[Tree]:
    """The tree as Debian has it; whatever a test changed is undone."""
    yield tree
    tree.restore()


def verdicts(matrix: Any, server: str) -> dict[str, tuple[str, str]]:
    return {
        cell["scenario"]: (cell["observed"]["verdict"], cell["observed"]["reason"])
        for cell in matrix["cells"]
        if cell["server"] == server
    }


def test_another_status_is_exactly_what_the_matrix_shows(lab: Lab, pristine: Tree) -> None:
    """Both columns before and after: py's stays as it was, ksmbd's tells the new status.

    Judged by what the client saw; the packets are compared by the test of each save.
    """
    run = ("run-scenarios", *SCENARIOS, "--server", "ksmbd,py", "--no-capture")
    assert build_and_reload(lab)["release"] == lab_release(lab)
    before = lab.json(*run)
    pristine.answer("STATUS_INVALID_PARAMETER")
    reloaded = build_and_reload(lab)
    after = lab.json(*run, status=None)

    assert running_module(lab) == reloaded["identity"][:12]
    assert verdicts(after, "py") == verdicts(before, "py")
    for scenario, (_, reason) in verdicts(before, "ksmbd").items():
        assert "STATUS_NOT_IMPLEMENTED" in reason
        now = verdicts(after, "ksmbd")[scenario][1]
        assert "STATUS_INVALID_PARAMETER" in now
        assert "STATUS_NOT_IMPLEMENTED" not in now


def lab_release(lab: Lab) -> str:
    (node,) = (n for n in lab.json("status")["nodes"] if n["name"] == "ksmbd")
    return str(node["versions"]["kernel"])


def test_a_compile_error_is_the_compilers_with_the_users_path(lab: Lab, pristine: Tree) -> None:
    before = running_module(lab)
    broken = pristine.original.replace("int smb2_notify(", "int smb2_notify(nonsense ", 1)
    pristine.write(broken)
    line = broken[: broken.index("smb2_notify(nonsense")].count("\n") + 1
    failed = lab("ksmbd", "build", status=3)
    assert f"{pristine.file}:{line}:" in failed.stderr
    assert re.search(r"error: unknown type name .nonsense.", failed.stderr)
    assert running_module(lab) == before


def test_a_module_that_does_not_load_is_explained_and_the_old_one_serves(
    lab: Lab, tree: Tree, tmp_path: Path
) -> None:
    before = running_module(lab)
    module = (lab.root / ".lab/flavours/ksmbd/override/modules/ksmbd.ko").read_bytes()
    assert module.count(b" mod_unload") == 1
    other = tmp_path / "ksmbd.ko"
    other.write_bytes(module.replace(b" mod_unload", b" mad_unload"))
    refused = lab("ksmbd", "reload", "--module", str(other), status=3)
    assert "does not load: it was built for the kernel" in refused.stderr
    assert "mad_unload" in refused.stderr
    assert "version magic" in refused.stderr
    assert running_module(lab) == before

    other.write_bytes(module.replace(b"\0kern_path\0", b"\0korn_path\0"))
    refused = lab("ksmbd", "reload", "--module", str(other), status=3)
    assert "it needs korn_path" in refused.stderr
    assert running_module(lab) == before


def test_a_client_that_is_connected_does_not_keep_the_module(lab: Lab, pristine: Tree) -> None:
    """A session with a tree connect while the module goes; afterwards a new one is served."""
    lab("ksmbd", "build", timeout=600)  # the module that is loaded may be an earlier test's
    inside = ["docker", "exec", "--env", f"PASSWD={lab.password}", node_container(lab, "client")]
    connected = ["grep", "-q", ":01BD 01 ", "/proc/net/tcp"]  # port 445, established
    client = subprocess.Popen(
        # its commands come on stdin, which stays open
        [*inside[:2], "--interactive", *inside[2:], "smbclient", "--user=tester", "//ksmbd/TEST"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while subprocess.run([*inside, *connected]).returncode != 0:
            assert client.poll() is None
            assert time.monotonic() < deadline, "smbclient did not connect"
            time.sleep(0.2)
        done = lab.json("ksmbd", "reload")
        assert client.poll() is None, "the client was to be connected all the time"
        assert (done["how"], done["why"]) == ("module", "")
    finally:
        client.kill()
        client.wait(30)
    lab("run-scenarios", "A1", "--server", "ksmbd", "--no-capture")


def test_each_save_is_a_turn_and_errors_do_not_end_it(lab: Lab, pristine: Tree) -> None:
    child = lab.popen("ksmbd", "dev", "--src", str(pristine.root), "A1", "--json")

    def turn() -> Any:
        assert child.stdout is not None
        return json.loads(child.stdout.readline())

    try:
        first = turn()
        assert first["error"] == ""
        assert first["changes"] is None
        pristine.write(pristine.original + "\nint unfinished(\n")
        assert "smb2pdu.c" in turn()["error"]
        pristine.answer("STATUS_INVALID_PARAMETER")
        last = turn()
        assert last["files"] == ["fs/smb/server/smb2pdu.c"]
        assert last["error"] == ""
        assert last["reloaded"]["identity"] == last["identity"]
        assert set(last["seconds"]) == {"build", "reload", "run"}
        (change,) = last["changes"]
        assert (change["scenario"], change["server"]) == ("A1", "ksmbd")
        assert (change["before"], change["after"]) == ("unsupported", "fail")
    finally:
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 0, said


def test_gdb_stops_in_a_function_of_the_module_and_the_guest_runs_on(lab: Lab, tree: Tree) -> None:
    gdb = lab.popen(
        *("ksmbd", "gdb", "--batch", "--deadline", "120"),
        *("--ex", "break ksmbd_smb_negotiate_common", "--ex", "continue", "--ex", "backtrace"),
    )
    # the health check asks for a NEGOTIATE every five seconds: nobody else has to
    out, err = gdb.communicate(timeout=240)
    assert gdb.returncode == 0, err
    assert "Breakpoint 1, ksmbd_smb_negotiate_common" in out
    assert re.search(r"^#\d+ .*handle_ksmbd_work .*server\.c:\d+$", out, re.MULTILINE)
    running_module(lab)


def test_the_gate_fails_for_a_commit_that_breaks_a_scenario(lab: Lab, pristine: Tree) -> None:
    """Beside the node that runs, a guest for the commit, which is gone afterwards."""
    pristine.answer("STATUS_INVALID_PARAMETER")
    with pristine.committed("ksmbd: break it"):
        pristine.restore()
        build_and_reload(lab)  # the base
        told = lab.json(
            *("gate", "A1", "--base", "ksmbd", "--candidate", "HEAD"),
            *("--src", str(pristine.root), "--repeat", "2"),
            status=1,
        )
    (verdict,) = told["verdicts"]
    assert '("ksmbd: break it")' in told["first_bad"]
    (failure,) = verdict["new_failures"]
    assert failure.startswith("A1: unsupported -> fail")
    assert "STATUS_INVALID_PARAMETER" in failure
    assert verdict["base"]["module"] != verdict["candidate"]["module"]
    assert [node["name"] for node in lab.json("status")["nodes"] if "gate" in node["name"]] == []
