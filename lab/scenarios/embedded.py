"""The scenarios against notify_server on this machine: no Docker, no root.

notify_server and the interpreter run as child processes, started from this very Python; the
server's share is a temporary directory, and what a scenario does on the server is done here, in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import probe
from lab.errors import LabFailed
from lab.nodes.model import Completed
from lab.scenarios.model import Scenario
from lab.scenarios.pipe import ProcessPipe
from lab.scenarios.server_side import Liveness
from lab.targets import Target
from lab.verdicts import deviations
from lab.verdicts.matrix import Matrix
from lab.verdicts.rounds import run_rounds
from lab.verdicts.run import Column, ProgressCallback

ROOT = Path(__file__).resolve().parents[2]
START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 3.0
ENDING_S = 0.5
ACT_DEADLINE_S = 10.0
SHARE, USER = "TEST", "tester"
SECOND_USER, BRIEF_USER = "tester2", "tester3"
NOBODYS_UID = 65533
WATCH_SOURCE = "auto"  # fanotify where this process may use it, else inotify
SHARE_WITHOUT_NOTIFY = "NOTIFY_OFF"  # the same files, as in templates/py


@dataclass
class LocalServer:
    """`ServerSide` of a server process on this machine."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def act(self, argv: Sequence[str]) -> Completed:
        try:
            done = subprocess.run(
                list(argv), capture_output=True, timeout=ACT_DEADLINE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabFailed(f"`{' '.join(argv)}`: {error}") from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def alive(self) -> Liveness:
        try:
            probe.negotiate("127.0.0.1", self.port, timeout=2.0)
        except probe.ProbeError as error:
            try:
                # A process that is ending refuses connections before it can be waited for.
                code = self.process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                return Liveness(False, f"the server runs but does not answer: {error}")
            return Liveness(False, f"the server ended with {_exit_name(code)}{self._last_words()}")
        return Liveness(True)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="backslashreplace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def evidence(self, since: float) -> Mapping[str, str]:
        return {"server.log": self.log.read_text(errors="backslashreplace")}


def _exit_name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def client_environment() -> dict[str, str]:
    """The children's environment: ours, with this checkout importable from anywhere."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def open_local_client(cwd: Path) -> ProcessPipe:
    """The interpreter as a child process."""
    return ProcessPipe([sys.executable, "-m", "lab.client"], client_environment(), cwd)


@contextlib.contextmanager
def notify_server(folder: Path) -> Iterator[tuple[Target, LocalServer]]:
    """notify_server on a free loopback port, with a new share and password, for the block."""
    share = folder / "share"
    share.mkdir()
    password, second = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    password_file = folder / "password2"
    password_file.touch(0o600)
    password_file.write_text(second)
    log = folder / "server.log"
    config = folder / "notify_server.toml"
    others = f"password_file = {json.dumps(str(password_file))}"
    config.write_text(
        f'[options]\nwatch_source = "{WATCH_SOURCE}"\n'
        f"[share.{SHARE_WITHOUT_NOTIFY}]\npath = {json.dumps(str(share))}\nnotify = false\n"
        f"[user.{SECOND_USER}]\n{others}\nuid = {NOBODYS_UID}\n"
        f"[user.{BRIEF_USER}]\n{others}\nsession_seconds = 1\n"
    )
    argv = [sys.executable, "-m", "notify_server", "--config", str(config)]
    argv += ["--share", f"{SHARE}={share}", "--user", USER]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*argv, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**client_environment(), "NOTIFY_SERVER_PASSWORD": password},
            cwd=folder,
            start_new_session=True,
        )
    try:
        port = _announced_port(process, log)
        accounts = {"second": (SECOND_USER, second), "brief": (BRIEF_USER, second)}
        target = Target(
            "py",
            "127.0.0.1",
            port,
            SHARE,
            USER,
            password,
            share_root=str(share),
            accounts=accounts,
        )
        yield target, LocalServer(process, port, log)
    finally:
        _stop(process)


def _announced_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port in the line `listening on HOST:PORT`."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        ready = selector.select(START_DEADLINE_S)
    line = process.stdout.readline().decode().strip() if ready else ""
    port = line.rpartition(":")[2]
    if not line.startswith("listening on ") or not port.isdigit():
        said = log.read_text(errors="backslashreplace").strip()
        raise LabFailed(
            "notify_server did not start" + (f": {said.splitlines()[-1]}" if said else "."),
            f"Try: {sys.executable} -m notify_server --help",
        )
    return int(port)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(
    scenarios: Sequence[Scenario],
    run_dir: Path,
    progress: ProgressCallback | None = None,
    rounds: int = 1,
    whole: bool = False,
) -> Matrix:
    """The matrix of one column, py. Nothing is left behind but what `run_dir` holds."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="notify-lab-") as name:
        folder = Path(name)
        with notify_server(folder) as (target, server):
            column = Column(
                target, server, lambda: open_local_client(folder), deviations.load("py")
            )
            return run_rounds(lambda _: [column], scenarios, run_dir, rounds, progress, whole)
