"""Throw-away containers: lines as they come, mounts, deadline, nothing left."""

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lab.engine import jobs, labels
from lab.engine.base import ensure_base, tag
from lab.errors import LabError
from lab.nodes.model import DeadlineExceeded
from lab.settings import Settings

NAME = f"notify-lab-test-jobs-{os.getpid()}"


def test_lines_are_cut_where_they_end_not_where_pieces_do() -> None:
    pieces = [b"one\ntw", b"o\r\n", "dré".encode()[:3], "é".encode()[1:] + b"i\n", b"four"]
    assert list(jobs.whole_lines(pieces)) == ["one", "two", "dréi", "four"]


@pytest.fixture(scope="module")
def base() -> str:
    suite = Settings().debian.suite
    ensure_base(suite, "", lambda line: None)
    return tag(suite)


def left() -> str:
    found = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label={labels.NAME}={NAME}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.strip()


@pytest.mark.docker
def test_output_exit_code_mounts_and_owner(base: str, tmp_path: Path) -> None:
    said: list[str] = []
    mounts = [jobs.Mount(tmp_path, "/work")]
    script = "echo out; echo aside >&2; touch /work/made; cat /proc/self/status; exit 5"
    code = jobs.run_job(
        base, ["sh", "-c", script], deadline=30, on_line=said.append, lab_name=NAME, mounts=mounts,
        user=f"{os.getuid()}:{os.getgid()}",
    )  # fmt: skip
    assert code == 5
    assert {"out", "aside", "CapEff:\t0000000000000000"} <= set(said)
    assert (tmp_path / "made").stat().st_uid == os.getuid()
    assert not left()


@pytest.mark.docker
def test_what_is_too_slow_is_killed_and_removed(base: str) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="sleep 60"):
        jobs.run_job(base, ["sleep", "60"], deadline=1, on_line=print, lab_name=NAME)
    assert time.monotonic() - began < 20
    assert not left()


@pytest.mark.docker
def test_an_interrupted_job_is_told_so_and_puts_its_things_in_order(
    base: str, tmp_path: Path
) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    script = "trap 'echo put >/work/order; exit 3' TERM; echo now; while :; do sleep 0.1; done"
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        jobs.run_job(
            base, ["sh", "-c", script], deadline=90, on_line=interrupt, lab_name=NAME,
            mounts=[jobs.Mount(tmp_path, "/work")], user=f"{os.getuid()}:{os.getgid()}",
        )  # fmt: skip
    assert (tmp_path / "order").read_text() == "put\n"
    assert time.monotonic() - began < jobs._END_DEADLINE_S


@pytest.mark.docker
def test_an_interrupt_leaves_no_container(base: str) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.run_job(
            base, ["sh", "-c", "echo now; sleep 60"], deadline=90, on_line=interrupt, lab_name=NAME
        )
    assert not left()


@pytest.mark.docker
def test_a_job_that_a_killed_command_left_is_ended_by_the_next_that_writes_there(
    base: str, tmp_path: Path
) -> None:
    """Without its command the container goes on; the lock on the folder went with the command."""
    here = [jobs.Mount(tmp_path, "/work")]
    script = "while :; do date +%s%N >/work/beat; sleep 0.05; done"
    left_over = jobs.start_job(
        base, ["sh", "-c", script], lab_name=NAME, mounts=here, timeout=30,
        user=f"{os.getuid()}:{os.getgid()}",
    )  # fmt: skip
    elsewhere = [jobs.Mount(tmp_path, "/work", read_only=True)]
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "beat").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (
            jobs.run_job(
                base, ["true"], deadline=30, on_line=print, lab_name=NAME, mounts=elsewhere
            )
            == 0
        )
        assert left(), "one that only reads there is no reason to end it"
        assert (
            jobs.run_job(base, ["true"], deadline=30, on_line=print, lab_name=NAME, mounts=here)
            == 0
        )
        assert not left()
    finally:
        with suppress(LabError):
            left_over.remove()


def test_a_path_with_a_colon_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="its path has a colon"):
        jobs.Mount(tmp_path / "a:b", "/work").bind()
