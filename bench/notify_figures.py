"""notify_server beside smbd: latency, fan-out, memory of parked watches, trees, sustained rates.

The loads run in a container of the client's image on the lab's network, with both servers' shares
mounted, so the client, the change and the servers meet on one machine and no load shares a process
with a server.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.lab_figures import ROOT, lab
from bench.report import Figure

SERVERS = ("py", "samba")
LOAD_SECONDS = 300
RATIO_BAR = 0.8


class BenchError(Exception):
    """A load ended with an error, or did not end."""


def first_line(child: subprocess.Popen[str], what: str) -> dict[str, Any]:
    """What a load says when it is ready."""
    assert child.stdout is not None
    if not select.select([child.stdout], [], [], LOAD_SECONDS)[0]:
        raise BenchError(f"{what} is not ready after {LOAD_SECONDS} s")
    line = child.stdout.readline()
    if not line:
        raise BenchError(f"{what} ended before it was ready")
    said: dict[str, Any] = json.loads(line)
    return said


def remove(container: str) -> None:
    """End a load that does not end: killing `docker run` would leave it running."""
    subprocess.run(["docker", "rm", "-f", container], capture_output=True, timeout=60)


def docker(*words: str) -> str:
    return subprocess.run(
        ["docker", *words], check=True, capture_output=True, text=True, timeout=120
    ).stdout


class Beside:
    """Starts loads beside the servers of the lab in this checkout, which must be up."""

    def __init__(self) -> None:
        self.lab: str = json.loads(lab("status", "--json"))["name"]

    def argv(self, name: str, server: str, load: str, *words: str) -> list[str]:
        volumes = [f"{self.lab}_{name}-share:/shares/{name}" for name in SERVERS]
        return [
            "docker", "run", "--rm", "-i", "--name", name, "--network", f"{self.lab}_lab",
            "--label", f"org.notify-lab.name={self.lab}",
            "-e", "LOAD_PASSWORD", "-e", "PYTHONPATH=/opt/lab:/opt/bench",
            "-v", f"{ROOT / 'bench'}:/opt/bench/bench:ro",
            *(word for volume in volumes for word in ("-v", volume)),
            "--entrypoint", "/opt/venv/bin/python", f"{self.lab}/client:latest",
            "-m", "bench.notify_load", load, "--host", server, "--disk", f"/shares/{server}",
            *words,
        ]  # fmt: skip

    def _name(self) -> str:
        return f"{self.lab}_load_{secrets.token_hex(4)}"

    @property
    def env(self) -> dict[str, str]:
        password = (ROOT / ".lab/secrets/password").read_text().strip()
        return {**os.environ, "LOAD_PASSWORD": password}

    def run(
        self, server: str, load: str, *words: str, timeout: float = LOAD_SECONDS
    ) -> dict[str, Any]:
        """The last line that the load printed, decoded."""
        name = self._name()
        try:
            run = subprocess.run(
                self.argv(name, server, load, *words),
                env=self.env, capture_output=True, text=True, timeout=timeout,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            remove(name)
            raise BenchError(f"load {load} on {server} did not end in {timeout:g} s") from None
        if run.returncode != 0:
            raise BenchError(f"load {load} on {server}:\n{run.stdout}{run.stderr}")
        result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        return result

    @contextmanager
    def held(
        self, server: str, load: str, *words: str
    ) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
        """A load that says something and then waits for a line on its standard input."""
        name = self._name()
        child = subprocess.Popen(
            self.argv(name, server, load, *words),
            env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            yield first_line(child, f"load {load} on {server}"), child
            child.communicate("\n", timeout=LOAD_SECONDS)
        finally:
            if child.poll() is None:
                remove(name)
                child.communicate()

    def container(self, node: str) -> str:
        (container,) = docker(
            "ps", "-q",
            "--filter", f"label=org.notify-lab.name={self.lab}",
            "--filter", f"label=org.notify-lab.node={node}",
        ).split()  # fmt: skip
        return container

    def descriptors(self, node: str) -> int:
        """How many files the node's processes may have open."""
        return int(docker("exec", self.container(node), "sh", "-c", "ulimit -n"))

    def restart(self, node: str) -> None:
        """A fresh process: memory that an earlier load gave back would hide what the next takes."""
        docker("restart", "-t", "5", self.container(node))
        probe = ("python3", "-IS", "/usr/local/lib/lab/probe.py", "127.0.0.1", "445")
        deadline = time.monotonic() + 60
        while True:
            try:
                docker("exec", self.container(node), *probe)
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise BenchError(f"{node} does not come back") from None
                time.sleep(0.2)

    def memory(self, node: str) -> int:
        """Bytes that the node's processes hold, shared pages counted by their share (PSS)."""
        top = docker("top", self.container(node), "-eo", "pid")
        return sum(pss(int(line.split()[0])) for line in top.splitlines()[1:])


def _ratios(figures: dict[str, Figure]) -> dict[str, Any]:
    """py's median and p99 as multiples of smbd's."""
    py, samba = figures["py"], figures["samba"]
    return {
        "median_ratio": round(py.median / samba.median, 3),
        "p99_ratio": round(py.p99 / samba.p99, 3),
        "ratio_bar": RATIO_BAR,
    }


def latencies(beside: Beside, n: int, rounds: int) -> list[Figure]:
    """Both servers in turns, so that a noisy minute meets both."""
    found: list[Figure] = []
    floor = beside.run("py", "floor", "--n", str(n))["samples"]
    how = "neither server writes a log line for it (smbd: log level 1, notify_server: warning)"
    for load, title in (("disk-latency", "change on disk"), ("smb-latency", "change over SMB")):
        samples: dict[str, list[float]] = {server: [] for server in SERVERS}
        for _ in range(rounds):
            for server in SERVERS:
                samples[server] += beside.run(server, load, "--n", str(n // rounds))["samples"]
        pair = {
            server: Figure(f"{title} → response, {server}", "µs", samples[server], None, how)
            for server in SERVERS
        }
        pair["py"].extra = _ratios(pair)
        found += pair.values()
    found.append(Figure("floor: inotify reader that writes to a socket", "µs", floor))
    return found


# (server, watchers, watches on each connection)
FAN_OUTS = (
    *((server, 1, 1) for server in ("samba", "py")),
    *((server, 200, each) for each in (1, 10, 100) for server in ("samba", "py")),
    *((server, 2000, each) for each in (1, 10) for server in ("samba", "py")),
    ("py", 2000, 100),
)


def fan_outs(beside: Beside, n: int) -> list[Figure]:
    """The last watcher's delay, each on a connection of its own or several on one.

    At 200, py is held against smbd in the same shape; at 2,000, against smbd at 200 with a
    connection each.
    The floor is what 2,000 system calls cost: a loop that sends as many bytes to as many sockets.
    """
    found = {}
    for server, watchers, each in FAN_OUTS:
        words = ("--n", str(n), "--watchers", str(watchers), "--per-connection", str(each))
        shape = f"{watchers:,} watchers, {each} a connection"
        found[server, watchers, each] = Figure(
            f"last of {shape}, {server}", "ms", beside.run(server, "fan-out", *words)["samples"]
        )
    for (server, watchers, each), figure in found.items():
        if server == "py" and watchers > 1:
            alike = each if watchers == 200 else 1
            figure.bar = round(found["samba", 200, alike].median, 3)
            figure.how = f"held against smbd's median at 200, {alike} a connection"
    bare = [
        sample / 1000
        for sample in beside.run("py", "floor", "--n", str(n), "--watchers", "2000")["samples"]
    ]
    how = "an inotify reader that sends to as many sockets, in a loop"
    return [*found.values(), Figure("floor: last of 2,000 sockets", "ms", bare, None, how)]


def parked_memory(beside: Beside) -> list[Figure]:
    """KiB of the server for each parked watch."""
    # A parked connection is one descriptor of the server's, its socket; a directory is one for all.
    most = beside.descriptors("py") - 500
    connections = min(10_000, most - most % 100)
    found = []
    for server, watchers, each in (("py", connections, 1), ("py", 10_000, 100), ("samba", 200, 1)):
        if server == "py":
            beside.restart(server)
        before = beside.memory(server)
        words = ("--watchers", str(watchers), "--per-connection", str(each))
        with beside.held(server, "parked", *words):
            time.sleep(1)
            kib = (beside.memory(server) - before) / watchers / 1024
        found.append(
            Figure(
                f"memory of a parked watch, {server}, {watchers:,} by {each} a connection",
                "KiB", [kib], 16 if server == "py" else None,
                "PSS of the node's processes, before and with the watches parked",
            )
        )  # fmt: skip
    return found


def tree_by_source(source: str, directories: int) -> list[Figure]:
    """The same on this machine, outside the lab: fanotify wants a privilege that no node has."""
    environ = {**os.environ, "NOTIFY_SERVER_PASSWORD": "bench", "LOAD_PASSWORD": "bench"}
    with tempfile.TemporaryDirectory(dir=ROOT / ".lab") as folder:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "notify_server", "--share", f"TEST={folder}", "--user",
                "tester", "--listen", "127.0.0.1:0", "--watch-source", source,
                "--log-level", "warning",
            ],
            env=environ, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            port = server.stdout.readline().rsplit(":", 1)[-1].strip()
            before = pss(server.pid)
            load = subprocess.Popen(
                [
                    sys.executable, "-m", "bench.notify_load", "tree", "--port", port,
                    "--disk", folder, "--n", str(directories),
                ],
                env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            )  # fmt: skip
            try:
                armed = first_line(load, f"load tree with {source}")
                grown = pss(server.pid) - before
                out, _ = load.communicate("\n", timeout=LOAD_SECONDS)
                counted = json.loads(out.splitlines()[-1])
            finally:
                load.kill()
        finally:
            server.terminate()
            server.wait(30)
    title = f"WATCH_TREE on {directories:,} directories by {source}"
    lost = float(counted["changes"] - counted["distinct"])
    return [
        Figure(f"{title}: armed in", "s", [armed["armed_seconds"]]),
        Figure(f"{title}: memory", "MiB", [grown / 2**20], None, "PSS, before and armed"),
        Figure(f"{title}: events lost", "", [lost], 0, f"of {counted['changes']}"),
    ]


def pss(pid: int) -> int:
    """Bytes of a process, shared pages counted by their share; 0 of one that has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # a health check's, listed a moment ago
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss of {pid}")


def sustained(beside: Beside, seconds: int) -> list[Figure]:
    """5,000 changes a second over 50 watchers: exactly once, or ENUM_DIR."""
    got = beside.run(
        "py", "sustained", "--rate", "5000", "--seconds", str(seconds), "--watchers", "50",
        timeout=seconds * 4 + 120,
    )  # fmt: skip
    how = f"{got['made']:,} files in {got['seconds']:.1f} s, {got['overflows']} ENUM_DIR"
    return [
        Figure(
            "sustained: longest stall that a client's ECHO met", "ms", [got["echo"]["max_ms"]],
            None, f"{got['echo']['n']} ECHOs, median {got['echo']['median_ms']:.2f} ms",
        ),
        Figure("sustained: records twice", "", [float(got["duplicates"])], 0, how, got),
        Figure(
            "sustained: watchers short without an ENUM_DIR", "",
            [float(got["watchers_short_without_overflow"])], 0, how,
        ),
    ]  # fmt: skip


LOG_LEVEL = "LAB_PY_LOG_LEVEL"


@contextmanager
def like_smbd() -> Iterator[None]:
    """The lab with a py that, as smbd at its log level, writes no line for each change."""
    before = os.environ.get(LOG_LEVEL)
    os.environ[LOG_LEVEL] = "warning"
    try:
        lab("up")
        yield
    finally:
        del os.environ[LOG_LEVEL]
        if before is not None:
            os.environ[LOG_LEVEL] = before
        lab("up")


def logged(beside: Beside, n: int) -> list[Figure]:
    """What the lab's own log level costs: a line for each CHANGE_NOTIFY."""
    samples = beside.run("py", "disk-latency", "--n", str(n))["samples"]
    how = "at log level info, the lab's default"
    return [Figure("change on disk → response, py, a log line each", "µs", samples, None, how)]


def measure(n: int, seconds: int, directories: int) -> tuple[list[Figure], list[str]]:
    """All figures of the server, and what could not be measured; the lab must be up."""
    beside = Beside()
    with like_smbd():
        figures, failures = _measure(beside, n, seconds, directories)
    return [*figures, *logged(beside, n)], failures


def _measure(
    beside: Beside, n: int, seconds: int, directories: int
) -> tuple[list[Figure], list[str]]:
    stages: list[tuple[str, Callable[[], list[Figure]]]] = [
        ("latencies", lambda: latencies(beside, n, 8)),
        ("many watchers", lambda: fan_outs(beside, 15)),
        ("parked watches", lambda: parked_memory(beside)),
        ("a tree with inotify", lambda: tree_by_source("inotify", directories)),
    ]
    if os.geteuid() == 0:
        stages.append(("a tree with fanotify", lambda: tree_by_source("fanotify", directories)))
    stages.append((f"{seconds} s of sustained changes", lambda: sustained(beside, seconds)))
    figures: list[Figure] = []
    failures = []
    for title, stage in stages:
        print(f"measuring {title} …", file=sys.stderr, flush=True)
        start = time.monotonic()
        try:
            figures += stage()
        except (BenchError, subprocess.SubprocessError, OSError) as error:
            failures.append(f"{title}: {error}")
        print(f"  took {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return figures, failures
