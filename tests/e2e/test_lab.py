"""The lab as its users meet it: up, status, switch under a client, matrix, mishaps, down."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from smbprotocol.change_notify import ChangeNotifyFlags, CompletionFilter, FileSystemWatcher
from smbprotocol.connection import Connection
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    DirectoryAccessMask,
    FileAttributes,
    ImpersonationLevel,
    Open,
    ShareAccess,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from tests.e2e.harness import (
    BACKENDS,
    NODES,
    Lab,
    copy_checkout,
    docker,
    free_port,
    labelled,
    node_container,
)

FOURTEEN = ["A1", "A2", "A5", "B1", "B2", "C1", "C2", "D1", "D4", "E1", "E4", "F1", "G1", "H1"]


@contextmanager
def opened_root(lab: Lab) -> Iterator[tuple[Connection, Open]]:
    """The share's root, opened through the front by smbprotocol with signing required."""
    connection = Connection(uuid.uuid4(), "127.0.0.1", lab.port, require_signing=True)
    connection.connect(timeout=20)
    try:
        session = Session(connection, "tester", lab.password, require_encryption=False)
        session.connect()
        tree = TreeConnect(session, r"\\127.0.0.1\TEST")
        tree.connect(require_secure_negotiate=False)
        root = Open(tree, "")
        root.create(
            ImpersonationLevel.Impersonation,
            DirectoryAccessMask.FILE_LIST_DIRECTORY | DirectoryAccessMask.SYNCHRONIZE,
            FileAttributes.FILE_ATTRIBUTE_DIRECTORY,
            ShareAccess.FILE_SHARE_READ
            | ShareAccess.FILE_SHARE_WRITE
            | ShareAccess.FILE_SHARE_DELETE,
            CreateDisposition.FILE_OPEN,
            CreateOptions.FILE_DIRECTORY_FILE,
        )
        yield connection, root
    finally:
        # The server may have been switched away under us; the socket must go all the same.
        try:
            connection.disconnect(close=False)
        except Exception as error:
            print(f"disconnect: {error}")


def echo_until(connection: Connection, deadline: float) -> None:
    """ECHO again and again; returns only if the connection still works at the deadline."""
    while time.monotonic() < deadline:
        connection.echo(timeout=5)
        time.sleep(0.05)


def nodes(lab: Lab) -> dict[str, dict[str, object]]:
    return {node["name"]: node for node in lab.json("status")["nodes"]}


def test_every_node_is_up_and_answers(lab: Lab) -> None:
    status = lab.json("status")
    by_name = {node["name"]: node for node in status["nodes"]}
    assert set(by_name) == set(NODES)
    assert all(node["healthy"] for node in by_name.values()), by_name
    assert status["active"] in BACKENDS


def test_up_twice_changes_nothing(lab: Lab) -> None:
    before = {node: node_container(lab, node) for node in NODES}
    lab("up")
    assert {node: node_container(lab, node) for node in NODES} == before


def test_no_node_is_privileged_and_ports_are_local(lab: Lab) -> None:
    for node in NODES:
        (inspected,) = json.loads(docker("inspect", node_container(lab, node)))
        host = inspected["HostConfig"]
        assert not host["Privileged"], node
        assert host["CapDrop"] == ["ALL"], node
        bindings = inspected["NetworkSettings"]["Ports"] or {}
        for published in bindings.values():
            assert {binding["HostIp"] for binding in published or []} <= {"127.0.0.1"}, node


def test_the_password_is_in_no_image_and_no_process_list(lab: Lab) -> None:
    for node in NODES:
        inspected = docker("inspect", node_container(lab, node))
        image = json.loads(inspected)[0]["Image"]
        history = docker("history", "--no-trunc", image)
        running = docker("top", node_container(lab, node), "-eo", "pid,args")
        for password in lab.passwords:
            assert password not in inspected + history + running, node


@pytest.mark.parametrize("backend", [*BACKENDS, "samba"])
def test_switch_under_a_connected_client(lab: Lab, backend: str) -> None:
    """The client's session ends with the old backend; a new one reaches the new, proved."""
    elsewhere = "py" if backend != "py" else "samba"
    lab("switch", elsewhere)
    with opened_root(lab) as (old, _root):
        old_guid = old.server_guid
        said = lab("switch", backend).stdout
        assert "net use" in said
        assert "/delete" in said
        with pytest.raises(Exception, match=r"(?i)closed|reset|disconnect|pipe|socket"):
            echo_until(old, time.monotonic() + 10)
    with opened_root(lab) as (new, _root):
        assert new.server_guid != old_guid
        # smbprotocol reads the 16 bytes as big-endian; a GUID is little-endian (MS-DTYP 2.3.4.2).
        assert str(uuid.UUID(bytes_le=new.server_guid.bytes)) in said
    assert lab.json("status")["active"] == backend


def test_a_parked_watch_ends_with_the_switch(lab: Lab) -> None:
    """A watch through the front does not dangle on a server that is no longer the active one."""
    lab("switch", "py")
    with opened_root(lab) as (_connection, root):
        watcher = FileSystemWatcher(root)
        watcher.start(CompletionFilter.FILE_NOTIFY_CHANGE_FILE_NAME, flags=ChangeNotifyFlags.NONE)
        assert not watcher.response_event.wait(0.3)
        lab("switch", "samba")
        # smbprotocol's thread ends with the connection, and it has no change to tell.
        assert watcher.response_event.wait(10)
        assert not watcher.result


def test_the_matrix(lab: Lab) -> None:
    """Fourteen scenarios against three servers, as expected, with the run's files behind it."""
    matrix = lab.json("run-scenarios", "--all", *FOURTEEN)
    cells = {(cell["server"], cell["scenario"]): cell for cell in matrix["cells"]}
    assert set(cells) == {(server, name) for server in BACKENDS for name in FOURTEEN}
    for name in FOURTEEN:
        assert cells["py", name]["verdict"] == "pass", cells["py", name]
        assert cells["ksmbd", name]["verdict"] in {"unsupported", "pass", "known deviation"}
        assert cells["samba", name]["verdict"] in {"pass", "known deviation"}
    assert "STATUS_NOT_IMPLEMENTED" in cells["ksmbd", "A1"]["reason"]
    run = Path(matrix["folder"])
    junit = ElementTree.parse(run / "junit.xml").getroot()
    assert len(list(junit.iter("testcase"))) == len(cells)
    for server, name in cells:
        observations = run / server / name / "observations.jsonl"
        assert observations.stat().st_size > 0, observations


def test_the_matrix_on_the_terminal(lab: Lab) -> None:
    said = lab("run-scenarios", "--server", "samba,py", "C1").stdout.splitlines()
    assert any("samba" in line and "py" in line for line in said)
    assert any("C1" in line for line in said)
    assert ".lab/runs/" in said[-1]


def test_unknown_names_are_answered_with_the_nearest(lab: Lab) -> None:
    scenario = lab("run-scenarios", "C11", status=2).stderr
    assert "C1" in scenario
    server = lab("switch", "sambo", status=2).stderr
    assert "samba" in server
    assert "ksmbd" in server


def test_a_killed_server_is_a_server_crash_and_the_others_go_on(lab: Lab) -> None:
    """SIGKILL smbd's container in mid-run: its cells say so; py's are untouched; `up` mends it."""
    victim = node_container(lab, "samba")
    child = lab.popen("run-scenarios", "--server", "samba,py", "--json")
    runs = lab.root / ".lab/runs"
    deadline = time.monotonic() + 60
    before = {path.name for path in runs.glob("*")}
    while time.monotonic() < deadline:
        new = [path for path in runs.glob("*") if path.name not in before]
        if new and list(new[0].glob("samba/*")):
            break
        time.sleep(0.02)
    docker("kill", "--signal", "KILL", victim)
    out, err = child.communicate(timeout=240)
    assert child.returncode == 1, err
    verdicts = {
        server: {cell["verdict"] for cell in json.loads(out)["cells"] if cell["server"] == server}
        for server in ("samba", "py")
    }
    assert "server crash" in verdicts["samba"], verdicts
    assert verdicts["py"] == {"pass"}, verdicts
    lab("up")
    assert nodes(lab)["samba"]["healthy"]


def test_a_panic_ends_the_guest_and_a_new_one_takes_its_place(lab: Lab) -> None:
    boot = "cat /proc/sys/kernel/random/boot_id"
    before = guest(lab, boot)
    guest(lab, "echo c > /proc/sysrq-trigger", may_break=True)
    lab("up")
    assert nodes(lab)["ksmbd"]["healthy"]
    assert guest(lab, boot) != before
    assert "sysrq" in lab("logs", "ksmbd").stdout


def guest(lab: Lab, command: str, *, may_break: bool = False) -> str:
    """What a shell command prints in the ksmbd guest, through `lab shell`."""
    run = subprocess.run(
        lab.argv("shell", "ksmbd"),
        input=f"{command}\nexit\n", env=lab.env, cwd=lab.root,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if not may_break:
        assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_two_commands_at_once_name_each_other(lab: Lab) -> None:
    first = lab.popen("up")
    # Stopped while it holds the lock: the second command finds it there however slow we are, and
    # cannot take down the lab of the tests that follow.
    holder = lab.root / ".lab/lock"
    mine = str(first.pid).encode()
    deadline = time.monotonic() + 30
    while mine not in read(holder) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        assert mine in read(holder), "`lab up` was not stopped while it held the lock"
        second = lab("down", status=3)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert str(first.pid) in second.stderr
    assert "lab up" in second.stderr


def test_a_taken_port_is_named(engine: None, lab: Lab, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = Lab(copy_checkout(tmp_path / "other"), taken.getsockname()[1])
        try:
            said = other("up", status=3, timeout=900).stderr
        finally:
            other("down", "--volumes")
    assert str(other.port) in said
    assert "LAB_FRONT_PORT" in said or "port" in said


@pytest.mark.parametrize("after", [0.4, 1.5, 3.0, 5.0])
def test_ctrl_c_of_up_and_then_down_leaves_nothing(
    engine: None, lab: Lab, tmp_path: Path, after: float
) -> None:
    """Interrupted anywhere, `lab up` leaves only what `lab down` removes."""
    other = Lab(copy_checkout(tmp_path / "other"), free_port())
    child = other.popen("up")
    time.sleep(after)
    os.killpg(child.pid, signal.SIGINT)
    _out, err = child.communicate(timeout=120)
    assert "Traceback" not in err
    assert child.returncode in (0, 130), err
    other("down", "--volumes")
    if (other.root / ".lab/state.json").exists():
        assert labelled(other.root) == {"container": [], "network": [], "volume": []}


def test_down_after_the_settings_changed_leaves_nothing(engine: None, tmp_path: Path) -> None:
    """The lab is found by its label, whatever lab.toml says by now."""
    other = Lab(copy_checkout(tmp_path / "other"), free_port())
    other("up", timeout=900)
    (other.root / "lab.toml").write_text('name = "quite-another"\n[share]\nname = "OTHER"\n')
    other("down", "--volumes")
    assert labelled(other.root) == {"container": [], "network": [], "volume": []}
    lines = Path("/proc").glob("[0-9]*/cmdline")
    assert not [line for line in lines if str(other.root).encode() in read(line)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process ended while we looked
        return b""
