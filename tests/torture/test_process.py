"""One smbtorture: what it is given, and that nothing of it stays. A stand-in plays smbtorture."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lab.scenarios.pipe import Pipe, ProcessPipe
from lab.targets import Target
from lab.torture import process
from lab.verdicts.columns import Interrupted

TARGET = Target("py", "py", 445, "TEST", "tester", "s3cret'$(x) %")
NAME = "smb2.delete-on-close-perms.CREATE Existing"

OpenPipe = Callable[[Sequence[str]], Pipe]


class Container:
    """A folder with a stand-in for smbtorture, and the processes that were started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.argvs: list[list[str]] = []

    def smbtorture(self, script: str) -> None:
        path = self.folder / "smbtorture"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def open_pipe(self, argv: Sequence[str]) -> Pipe:
        self.argvs.append([*argv])
        env = {"PATH": f"{self.folder}:{os.environ['PATH']}", "OUT": str(self.folder)}
        moved = [word.replace("/tmp/torture.", f"{self.temporary}/torture.") for word in argv]
        return ProcessPipe(moved, env, self.folder)

    def run(self, deadline: float = 20.0, stop: threading.Event | None = None) -> process.Ran:
        stop = stop or threading.Event()
        return process.run(self.open_pipe, TARGET, "TEST", NAME, deadline, stop)

    def running(self) -> bool:
        """Whether the stand-in runs: it wrote its process's id."""
        pid = int((self.folder / "pid").read_text())
        try:
            return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
        except FileNotFoundError:
            return False


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_its_arguments_output_and_exit_code(container: Container) -> None:
    container.smbtorture('for word; do echo "<$word>"; done; echo oops >&2; exit 7')
    ran = container.run()
    assert ran.code == 7
    assert ran.text.splitlines() == [
        "<--authentication-file=credentials>",
        "<//py/TEST>",
        "<--smb-ports=445>",
        f"<{NAME}>",
        "oops",
    ]


def test_the_password_is_in_a_private_file_alone(container: Container) -> None:
    container.smbtorture('stat -c %a credentials . >"$OUT/modes"; cat credentials >"$OUT/seen"')
    container.run()
    assert not [word for argv in container.argvs for word in argv if TARGET.password in word]
    assert (container.folder / "modes").read_text().split() == ["600", "700"]
    assert (container.folder / "seen").read_text() == (
        f"username = {TARGET.user}\npassword = {TARGET.password}\n"
    )


def test_its_folder_goes_with_it(container: Container) -> None:
    container.smbtorture("echo scratch >scratch")
    container.run()
    assert [*container.temporary.iterdir()] == []


@pytest.mark.slow
def test_one_that_hangs_is_ended_and_what_it_said_is_kept(container: Container) -> None:
    container.smbtorture('echo $$ >"$OUT/pid"; echo begun; exec sleep 600')
    ran = container.run(deadline=1)
    assert (ran.text, ran.code) == ("begun\n", 124)
    assert not container.running()
    assert [*container.temporary.iterdir()] == []


@pytest.mark.slow
def test_one_that_ignores_sigterm_is_killed(container: Container) -> None:
    container.smbtorture('trap "" TERM; echo $$ >"$OUT/pid"; while :; do sleep 0.1; done')
    ran = container.run(deadline=1)
    assert ran.code in (124, 137)
    assert not container.running()


@pytest.mark.slow
def test_nothing_stays_when_the_run_is_stopped(container: Container) -> None:
    container.smbtorture('echo $$ >"$OUT/pid"; exec sleep 600')
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Interrupted):
        container.run(stop=stop)
    assert eventually(lambda: not container.running())
    assert eventually(lambda: not [*container.temporary.iterdir()])


def test_nothing_stays_when_we_are_gone(container: Container) -> None:
    """Killed outright, we close nothing: the engine closes stdin."""
    container.smbtorture('echo $$ >"$OUT/pid"; exec sleep 600')
    pipe = container.open_pipe(["sh", "-c", process.SCRIPT, "torture", "600", "//py/TEST", NAME])
    assert isinstance(pipe, ProcessPipe)
    pipe.write_line("tester")
    pipe.write_line("secret")
    assert eventually(lambda: (container.folder / "pid").exists() and container.running())
    stdin = pipe._process.stdin
    assert stdin is not None
    stdin.close()
    assert eventually(lambda: not container.running())
    pipe._process.wait(5)
    assert eventually(lambda: not [*container.temporary.iterdir()])
