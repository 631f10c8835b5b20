"""A throw-away container that works for us: a build, a tracer. Its output comes line by line.

It carries the lab's label, so `lab down` removes what a killed command may have left.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.engine import labels
from lab.engine.sdk import connect, explained
from lab.errors import LabError, LabFailed
from lab.nodes.model import DeadlineExceeded

_KILLED = 137  # timeout(1) with SIGKILL
_GRACE_S = 30.0  # past the deadline, for an engine that is slow to tell
_END_DEADLINE_S = 10  # of a job that was asked to end


@dataclass(frozen=True)
class Mount:
    """A folder or file of this host in the container."""

    source: Path
    target: str
    read_only: bool = False

    def bind(self) -> str:
        """The engine's notation, in which a colon parts; LabFailed for a path that has one."""
        if ":" in str(self.source):
            raise LabFailed(
                f"{self.source} cannot be given to a container: its path has a colon",
                "give it, or the folder that it is in, another name",
            )
        return f"{self.source}:{self.target}:{'ro' if self.read_only else 'rw'}"


class Job:
    """A running job; `lines()` is what it says, `end()` tells it to finish (SIGTERM)."""

    def __init__(self, api: Any, container: str, tag: str) -> None:
        self._api = api
        self._container = container
        self._tag = tag

    def lines(self) -> Iterator[str]:
        """Yield stdout and stderr, a line at a time, until the job ends."""
        with explained(f"the output of {self._tag} cannot be read"):
            yield from whole_lines(self._api.logs(self._container, stream=True, follow=True))

    def end(self) -> int:
        """Tell it to end, wait, and return its exit code."""
        with explained(f"{self._tag} does not end"):
            self._api.stop(self._container, timeout=_END_DEADLINE_S)
            return self.exit_code()

    def exit_code(self) -> int:
        """Wait for the end and return the exit code."""
        with explained(f"{self._tag} does not end"):
            return int(self._api.wait(self._container)["StatusCode"])

    def remove(self) -> None:
        """Remove the container, running or not."""
        with explained(f"the container of {self._tag} cannot be removed"):
            self._api.remove_container(self._container, force=True, v=True)


def whole_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Cut a stream of bytes into lines without their ends; a last one may lack it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + decoder.decode(piece)).split("\n")
        yield from (line.rstrip("\r") for line in lines)
    if rest:
        yield rest


def start_job(
    tag: str,
    argv: Sequence[str],
    *,
    lab_name: str,
    mounts: Sequence[Mount] = (),
    user: str = "",
    network: str = "none",
    environment: Mapping[str, str] | None = None,
    capabilities: Sequence[str] = (),
    pid_of: str = "",
    timeout: float,
) -> Job:
    """Start a container with these mounts and no capabilities but those named.

    `user` is uid:gid; `pid_of` is a container whose processes it shall see; `timeout` bounds
    each read of its output, in seconds.
    """
    api = connect(timeout=timeout)
    writes = ":".join(str(mount.source) for mount in mounts if not mount.read_only)
    with explained(f"{tag} cannot be run"):
        if writes:
            _end_left_over(api, lab_name, writes)
        host = api.create_host_config(
            binds=[mount.bind() for mount in mounts],
            cap_drop=["ALL"],
            cap_add=list(capabilities),
            network_mode=network,
            security_opt=["no-new-privileges"],
            pid_mode=f"container:{pid_of}" if pid_of else None,
            # Process 1 takes no signal that it has no handler for; the engine's init passes it on.
            # It also keeps timeout(1) of coreutils 9.10 from being process 1, which it does not
            # survive: it ends with 125 and not a word.
            init=not pid_of,
        )
        container = api.create_container(
            tag,
            entrypoint=list(argv[:1]),
            command=list(argv[1:]),
            user=user or None,
            host_config=host,
            environment=dict(environment or {}),
            # The image of a node has the node's label, and would lend it to the container.
            labels={labels.NAME: lab_name, labels.NODE: "", labels.WRITES: writes},
        )["Id"]
        job = Job(api, container, tag)
        try:
            api.start(container)
        except BaseException:
            job.remove()
            raise
    return job


def _end_left_over(api: Any, lab_name: str, writes: str) -> None:
    """Remove the job of a command that was killed, and with it its lock but not its container.

    Who may write to these folders now holds the lock: two compilers in one tree spoil it.
    """
    wanted = [f"{labels.NAME}={lab_name}", f"{labels.WRITES}={writes}"]
    for found in api.containers(all=True, filters={"label": wanted}):
        api.remove_container(found["Id"], force=True, v=True)


def run_job(
    tag: str,
    argv: Sequence[str],
    *,
    deadline: float,
    on_line: Callable[[str], None],
    **options: Any,
) -> int:
    """Run a job to its end and return its exit code; DeadlineExceeded after `deadline` seconds.

    The container is gone when this returns, however it returns; interrupted, the job is told so
    (SIGTERM) and has some seconds to put its things in order. Options as for `start_job`.
    """
    bounded = ["timeout", "-s", "KILL", f"{deadline:.0f}", *argv]
    job = start_job(tag, bounded, timeout=deadline + _GRACE_S, **options)
    try:
        for line in job.lines():
            on_line(line)
        code = job.exit_code()
    except BaseException:
        with suppress(LabError, KeyboardInterrupt):  # a second interrupt shortens the wait
            job.end()
        raise
    finally:
        job.remove()
    if code == _KILLED:
        raise DeadlineExceeded(tag, argv, deadline)
    return code
