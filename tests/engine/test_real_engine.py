"""The engine for real: one throw-away container of the base image, found by its labels."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from lab.engine import labels
from lab.engine.base import ensure_base, tag
from lab.engine.sdk import LAST_LINES, Engine, Images
from lab.nodes.model import DeadlineExceeded, NodeError
from lab.scenarios.pipe import PipeClosed
from lab.settings import Settings

pytestmark = pytest.mark.docker

NAME = f"notify-lab-test-{os.getpid()}"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    suite = Settings().debian.suite
    ensure_base(suite, "", lambda line: None)
    engine = Engine(NAME)
    marks = ["--label", f"{labels.NAME}={NAME}", "--label", f"{labels.NODE}=samba"]
    script = "echo started; trap 'exit 0' TERM; while :; do sleep 9 & wait $!; done"
    subprocess.run(
        [
            *("docker", "run", "-d", "-p", "127.0.0.1::445", "--read-only", "--tmpfs", "/tmp"),
            *(*marks, tag(suite), "sh", "-c", script),
        ],
        check=True,
        capture_output=True,
    )
    try:
        yield engine
    finally:
        with suppress(Exception):
            engine.remove_everything(NAME, True)


def test_a_node_is_found_by_its_labels(engine: Engine) -> None:
    info = engine.containers()["samba"]
    assert info.state == "running"
    assert abs(info.started_at - time.time()) < 300
    assert engine.port("samba", 445) > 1024
    with pytest.raises(NodeError, match="not published"):
        engine.port("samba", 22)
    with pytest.raises(NodeError, match="no such container"):
        engine.inspect("py")


def test_streams_and_exit_code_come_back(engine: Engine) -> None:
    done = engine.exec("samba", ["sh", "-c", "cat; echo aside >&2; exit 3"], input=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"in", b"aside\n")


def test_quick_output_is_never_lost(engine: Engine) -> None:
    for _ in range(20):
        assert engine.exec("samba", ["echo", "here"]).stdout == b"here\n"


def test_a_command_that_hangs_is_killed_in_the_container(engine: Engine) -> None:
    with pytest.raises(DeadlineExceeded, match="did not end"):
        engine.exec("samba", ["sleep", "4321"], timeout=0.5)
    listing = engine.exec("samba", ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).text
    assert "sleep 4321" not in listing.replace("cat /proc", "")


def test_a_file_is_put_where_the_root_is_read_only(engine: Engine) -> None:
    data = bytes(range(256)) * 1000
    engine.put("samba", "/tmp/file", data, 0o600)
    assert engine.exec("samba", ["cat", "/tmp/file"]).stdout == data
    assert engine.exec("samba", ["stat", "-c", "%a", "/tmp/file"]).text == "600\n"
    with pytest.raises(NodeError, match="cannot be written"):
        engine.put("samba", "/file", b"")


def test_a_conversation_ends_with_the_exit_code(engine: Engine) -> None:
    pipe = engine.exec_pipe("samba", ["sh", "-c", "read a; echo got $a; echo end >&2; exit 5"])
    pipe.write_line("this")
    assert pipe.read_line(5) == "got this"
    with pytest.raises(PipeClosed, match="end"):
        pipe.read_line(5)
    assert pipe.close() == 5


def test_the_log_is_cut_at_a_moment(engine: Engine) -> None:
    assert "started" in engine.logs("samba")
    assert engine.logs("samba", since=time.time() + 1) == ""


def test_a_log_longer_than_what_is_read_from_behind_is_whole(engine: Engine) -> None:
    began = time.time()
    lines = 2 * LAST_LINES
    engine.exec("samba", ["sh", "-c", f"seq {lines} >/proc/1/fd/1"])
    deadline = time.monotonic() + 20
    while (told := engine.logs("samba", since=began)).count("\n") < lines:
        assert time.monotonic() < deadline, told[-200:]
        time.sleep(0.1)
    assert told.split() == [str(number + 1) for number in range(lines)]


def test_a_container_that_ended_is_said_to_have(engine: Engine) -> None:
    engine.kill("samba")
    end = time.monotonic() + 10
    while engine.containers()["samba"].state == "running" and time.monotonic() < end:
        time.sleep(0.05)
    with pytest.raises(NodeError, match=r"not running \(exited, exit code 137\)"):
        engine.exec("samba", ["true"])
    engine.start("samba")
    assert engine.exec("samba", ["true"]).returncode == 0


def test_removal_leaves_nothing_and_may_be_repeated(engine: Engine) -> None:
    assert [thing.split()[0] for thing in engine.remove_everything(NAME, True)] == ["container"]
    assert engine.left_over(NAME) == []
    assert engine.remove_everything(NAME, True) == []


def test_a_container_that_does_not_end_is_removed_at_its_deadline() -> None:
    images = Images()
    with pytest.raises(DeadlineExceeded):
        images.run(tag(Settings().debian.suite), ["sleep", "60"], name=NAME, deadline=1)
    assert Engine(NAME).left_over(NAME) == []
