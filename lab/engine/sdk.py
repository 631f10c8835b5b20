"""The Docker engine through its API. The only module of the lab that imports `docker`.

Everything goes by labels: a node is the container that carries the lab's name and the node's, so
it does not matter which Compose made it, or what docker-compose.yml says today.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any

import docker
import docker.errors
import requests

from lab.engine import explain, labels
from lab.engine.pipe import ExecSocket, Pipe
from lab.errors import LabError, LabFailed
from lab.nodes.model import Completed, DeadlineExceeded, NodeError

API_TIMEOUT_S = 30.0
_KILLED = 137  # what timeout(1) with SIGKILL makes of a command that is too slow


@dataclass(frozen=True)
class ContainerInfo:
    """A node's container as the engine sees it."""

    id: str
    node: str
    name: str
    state: str  # created, running, restarting, exited, …
    health: str  # healthy, unhealthy, starting, none
    started_at: float  # seconds of the epoch; 0 if it never ran
    image: str
    restart_count: int
    exit_code: int


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn the SDK's exceptions into LabFailed with cause and remedy."""
    try:
        yield
    except LabError:
        raise
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise explain.failed(doing, f"{type(error).__name__}: {error}") from None


def connect(timeout: float = API_TIMEOUT_S) -> Any:
    """Return a client for the engine that DOCKER_HOST or the default socket leads to."""
    with explained("the Docker engine cannot be used"):
        client = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto", timeout=timeout)
        client.ping()
        return client


def timestamp(text: str) -> float:
    """Convert the engine's RFC 3339 time (nanoseconds, Z) to seconds of the epoch; 0 for none."""
    if text.startswith("0001-"):
        return 0.0
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = datetime.fromisoformat(seconds + "+00:00").timestamp()
    return whole + float(f"0.{fraction or 0}")


def container_info(raw: Mapping[str, Any]) -> ContainerInfo:
    """Read what `inspect` returned."""
    state = raw["State"]
    return ContainerInfo(
        id=raw["Id"],
        node=raw["Config"]["Labels"].get(labels.NODE, ""),
        name=raw["Name"].lstrip("/"),
        state=state["Status"],
        health=state.get("Health", {}).get("Status", "none"),
        started_at=timestamp(state["StartedAt"]),
        image=raw["Image"],
        restart_count=raw["RestartCount"],
        exit_code=state["ExitCode"],
    )


LAST_LINES = 2000  # of a log, more than a scenario makes at the usual levels


class Engine:
    """One lab's containers, by node. Raises LabFailed with a remedy where no engine answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._api = connect()
        self._ids: dict[str, str] = {}

    # ------------------------------------------------------------ looking

    def _filter(self, name: str) -> dict[str, list[str]]:
        return {"label": [f"{labels.NAME}={name}"]}

    def _inspect_all(self) -> Iterator[dict[str, Any]]:
        for summary in self._api.containers(all=True, filters=self._filter(self.name)):
            try:
                yield self._api.inspect_container(summary["Id"])
            except docker.errors.NotFound:
                continue  # removed since it was listed

    def containers(self) -> dict[str, ContainerInfo]:
        """Return the lab's containers by node, whatever their state."""
        with explained("the lab's containers cannot be listed"):
            found = [container_info(raw) for raw in self._inspect_all()]
        return {info.node: info for info in found if info.node}

    def inspect(self, node: str) -> dict[str, Any]:
        """Return what the engine knows of a node's container; NodeError if there is none."""
        with explained(f"{node} cannot be inspected"):
            known = self._ids.get(node)
            if known:
                try:
                    return self._api.inspect_container(known)  # type: ignore[no-any-return]
                except docker.errors.NotFound:
                    del self._ids[node]  # recreated under another id
            wanted = {"label": [f"{labels.NAME}={self.name}", f"{labels.NODE}={node}"]}
            for summary in self._api.containers(all=True, filters=wanted):
                self._ids[node] = summary["Id"]
                return self._api.inspect_container(summary["Id"])  # type: ignore[no-any-return]
        raise NodeError(f"{node}: the lab {self.name} has no such container", "lab up")

    def _running(self, node: str) -> str:
        """Return the id of a node's container, which must run."""
        raw = self.inspect(node)
        state = raw["State"]["Status"]
        if state != "running":
            raise NodeError(
                f"{node} is not running ({state}, exit code {raw['State']['ExitCode']})",
                f"lab logs {node} shows why; lab up mends it",
            )
        return str(raw["Id"])

    def health(self, node: str) -> str:
        """Return healthy, unhealthy, starting, or none."""
        return container_info(self.inspect(node)).health

    def port(self, node: str, port: int) -> int:
        """Return the host's port that leads to a TCP port of the node."""
        bindings = self.inspect(node)["NetworkSettings"]["Ports"].get(f"{port}/tcp") or []
        if not bindings:
            raise NodeError(f"{node}: port {port} is not published (is it running?)", "lab up")
        return int(bindings[0]["HostPort"])

    def logs(self, node: str, since: float | None = None, *, timestamps: bool = False) -> str:
        """Return a node's stdout and stderr since that moment (seconds of the epoch).

        `timestamps` puts the moment of its arrival before each line (RFC 3339, UTC).
        """
        container = self.inspect(node)["Id"]
        with explained(f"{node}: its log cannot be read"):
            if since is not None:
                # The engine reads a log of some hours from its beginning, which takes it a tenth of
                # a second; its end it finds from behind. All lines new: there may be more.
                text: bytes = self._api.logs(
                    container, since=since, stream=False, timestamps=timestamps, tail=LAST_LINES
                )
                if text.count(b"\n") < LAST_LINES:
                    return text.decode(errors="replace")
            text = self._api.logs(container, since=since, stream=False, timestamps=timestamps)
        return text.decode(errors="replace")

    def follow(self, node: str, since: float | None = None) -> Iterator[str]:
        """Yield a node's log as it grows, in pieces as they come, until the container ends."""
        container = self.inspect(node)["Id"]
        with explained(f"{node}: its log cannot be followed"):
            for piece in self._api.logs(container, since=since, stream=True, follow=True):
                yield piece.decode(errors="replace")

    def events(self, since: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield what happens to the lab's containers (die, restart, health_status, …)."""
        filters = {**self._filter(self.name), "type": ["container"]}
        with explained("the engine's events cannot be followed"):
            yield from self._api.events(decode=True, filters=filters, since=since)

    # ------------------------------------------------------------ acting

    def _exec(self, node: str, argv: Sequence[str], *, stdin: bool) -> ExecSocket:
        container = self._running(node)
        with explained(f"{node}: `{argv[0]}` cannot be run"):
            created = self._api.exec_create(container, list(argv), stdin=stdin)["Id"]
            stream = self._api.exec_start(created, socket=True)

        def returncode() -> int | None:
            with explained(f"{node}: `{argv[0]}`"):
                code = self._api.exec_inspect(created)["ExitCode"]
            return None if code is None else int(code)

        return ExecSocket.adopt(stream, returncode)

    def exec(
        self, node: str, argv: Sequence[str], input: bytes | None = None, timeout: float = 10.0
    ) -> Completed:
        """Run a command in a node; DeadlineExceeded if it is not done within `timeout` seconds.

        timeout(1) in the container kills what is too slow; our own deadline is behind it, for a
        container that does nothing any more.
        """
        bounded = ["timeout", "-s", "KILL", f"{timeout:.3f}", *argv]
        start = time.monotonic()
        with self._exec(node, bounded, stdin=input is not None) as socket:
            try:
                stdout, stderr, code = socket.communicate(input, timeout + 2.0)
            except TimeoutError:
                raise DeadlineExceeded(node, argv, timeout) from None
        if code == _KILLED and time.monotonic() - start >= timeout:
            raise DeadlineExceeded(node, argv, timeout)
        return Completed(code, stdout, stderr)

    def exec_pipe(self, node: str, argv: Sequence[str]) -> Pipe:
        """Start a command in a node and talk to it line by line."""
        return Pipe(self._exec(node, argv, stdin=True))

    def put(self, node: str, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in a node. By a shell there: the archive API cannot reach a tmpfs."""
        script = 'umask 077 && cat >"$1" && chmod "$2" "$1"'
        argv = ["sh", "-c", script, "put", path, f"{mode:o}"]
        done = self.exec(node, argv, input=data)
        if done.returncode != 0:
            raise NodeError(f"{node}: {path} cannot be written: {done.error_text.strip()}")

    def start(self, node: str) -> None:
        """Start a node's container that has ended."""
        self._act(node, "start")

    def restart(self, node: str) -> None:
        """Stop a node's container and start it again."""
        self._act(node, "restart", timeout=2)

    def kill(self, node: str, signal: str = "SIGKILL") -> None:
        """Send a signal to a node's first process."""
        self._act(node, "kill", signal=signal)

    def _act(self, node: str, verb: str, **options: Any) -> None:
        container = self.inspect(node)["Id"]
        with explained(f"{node}: {verb} failed"):
            getattr(self._api, verb)(container, **options)

    # ------------------------------------------------------------ removing

    def remove(self, node: str) -> None:
        """Remove a node's container, running or not."""
        self._act(node, "remove_container", force=True, v=True)

    def left_over(self, name: str) -> list[str]:
        """Return what exists with that lab's label: `container x`, `network x`, `volume x`."""
        filters = self._filter(name)
        with explained("the lab's things cannot be listed"):
            containers = self._api.containers(all=True, filters=filters)
            networks = self._api.networks(filters=filters)
            volumes = self._api.volumes(filters=filters)["Volumes"] or []
        return [
            *(
                f"container {found['Names'][0].lstrip('/')}"
                for found in containers
                if found["Names"]
            ),
            *(f"network {found['Name']}" for found in networks),
            *(f"volume {found['Name']}" for found in volumes),
        ]

    def remove_everything(self, name: str, volumes: bool) -> list[str]:
        """Remove a lab's containers and network, and its volumes if told so; return their names."""
        found = [thing for thing in self.left_over(name) if volumes or not thing.startswith("vol")]
        errors: list[LabError] = []
        # Containers hold networks and volumes; those of one kind go at the same time.
        for kind in ("container", "network", "volume"):
            names = [thing.split(" ", 1)[1] for thing in found if thing.startswith(kind)]
            threads = [Thread(target=self._remove, args=(kind, each, errors)) for each in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]
        return found

    def _remove(self, kind: str, name: str, errors: list[LabError]) -> None:
        # A client of its own: one connection carries one request at a time.
        try:
            with explained(f"{kind} {name} cannot be removed"):
                api = connect()
                if kind == "container":
                    api.remove_container(name, force=True, v=True)
                elif kind == "network":
                    api.remove_network(name)
                else:
                    api.remove_volume(name)
        except LabFailed as error:
            if "NotFound" not in str(error) and "404" not in str(error):
                errors.append(error)


class Images:
    """The engine's images: what `base` and `build` need."""

    def __init__(self) -> None:
        self._api = connect(timeout=600)

    def labels(self, tag: str) -> dict[str, str] | None:
        """Return an image's labels, or None if there is no such image."""
        with explained(f"{tag} cannot be inspected"):
            try:
                return self._api.inspect_image(tag)["Config"].get("Labels") or {}
            except docker.errors.ImageNotFound:
                return None

    def digest(self, tag: str) -> str:
        """Return an image's id."""
        with explained(f"{tag} cannot be inspected"):
            return str(self._api.inspect_image(tag)["Id"])

    def pull(self, repository: str, tag: str, deadline: float) -> None:
        """Pull an image; raise LabFailed if the registry is silent for `deadline` seconds."""
        with explained(f"{repository}:{tag} cannot be pulled"):
            stream = connect(timeout=deadline).pull(repository, tag=tag, stream=True, decode=True)
            for message in stream:
                if "error" in message:
                    raise explain.failed(f"{repository}:{tag} cannot be pulled", message["error"])

    def import_tar(self, archive: Path, tag: str, changes: Sequence[str]) -> None:
        """Make an image of a root file system."""
        repository, _, version = tag.rpartition(":")
        with explained(f"{tag} cannot be imported"), archive.open("rb") as data:
            answer = self._api.import_image_from_data(
                data, repository=repository, tag=version, changes=list(changes)
            )
        last = json.loads(answer.strip().splitlines()[-1])
        if "error" in last:
            raise explain.failed(f"{tag} cannot be imported", last["error"])

    def build(
        self, context: bytes, tag: str, image_labels: Mapping[str, str]
    ) -> Iterator[tuple[str, str]]:
        """Build an image from a context (tar); yield ("out" | "error", text) as the engine says.

        The engine's classic builder, which needs nothing on this side. An abandoned build (we are
        interrupted, the connection closes) is cancelled by the engine, its container removed.
        """
        with explained(f"{tag} cannot be built"):
            messages = self._api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=tag,
                labels=dict(image_labels),
                rm=True,
                forcerm=True,
                decode=True,
            )
            for message in messages:
                if "error" in message:
                    yield "error", str(message["error"])
                elif "stream" in message:
                    yield "out", str(message["stream"])

    def remove(self, tag: str) -> None:
        """Remove an image, if it is there."""
        with explained(f"{tag} cannot be removed"):
            try:
                self._api.remove_image(tag, force=True)
            except docker.errors.ImageNotFound:
                return

    def prune(self, name: str) -> None:
        """Remove the lab's images that a newer one has taken the tag of and nothing uses."""
        filters = {"dangling": True, "label": [f"{labels.NAME}={name}"]}
        with explained("old images cannot be removed"):
            try:
                self._api.prune_images(filters=filters)
            except docker.errors.APIError as error:
                if error.status_code != requests.codes.conflict:  # another lab's is under way
                    raise

    def run(
        self,
        tag: str,
        argv: Sequence[str],
        *,
        name: str,
        deadline: float,
        devices: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a throw-away container; DeadlineExceeded, and removed, if not done in time."""
        with explained(f"{tag} cannot be run"):
            host = self._api.create_host_config(
                devices=list(devices),
                cap_drop=["ALL"],
                network_mode="none",
                security_opt=["no-new-privileges"],
            )
            created = self._api.create_container(
                tag,
                command=list(argv),
                host_config=host,
                environment=dict(environment or {}),
                labels={labels.NAME: name},
            )["Id"]
            try:
                self._api.start(created)
                code = int(self._api.wait(created, timeout=deadline)["StatusCode"])
                stdout = self._api.logs(created, stdout=True, stderr=False)
                stderr = self._api.logs(created, stdout=False, stderr=True)
            except (requests.ReadTimeout, requests.ConnectionError):
                raise DeadlineExceeded(tag, argv, deadline) from None
            finally:
                self._api.remove_container(created, force=True)
        return Completed(code, stdout, stderr)
