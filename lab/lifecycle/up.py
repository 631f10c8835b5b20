"""`lab up`: from whatever there is to a lab that answers. Every step may be repeated safely."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lab import backends, render, secrets
from lab.flavours import folders
from lab.flavours.guests import ensure_guests
from lab.lifecycle import names, ports
from lab.lifecycle.waiting import Healthy, Waiter
from lab.samba import wanted as samba
from lab.state import write_atomically

if TYPE_CHECKING:
    from lab.session import Lab

FEW = 4


@dataclass(frozen=True)
class Up:
    """What `lab up` did. `seconds` per phase; `built` has seconds for each image that was built."""

    seconds: Mapping[str, float]
    built: Mapping[str, float]
    healthy: Healthy
    accelerator: str
    accelerator_reason: str
    active: str

    def timings(self) -> dict[str, Any]:
        """What `.lab/timings.json` and `lab up --json` hold."""
        return {
            **{phase: round(seconds, 3) for phase, seconds in self.seconds.items()},
            "images_built": {node: round(seconds, 3) for node, seconds in self.built.items()},
            "healthy": {node: round(s, 3) for node, s in self.healthy.seconds.items()},
            "guest_replaced": self.healthy.guest_replaced,
            "accelerator": self.accelerator,
            "accelerator_reason": self.accelerator_reason,
            "active": self.active,
        }


def up(lab: Lab, servers: Collection[str] = ()) -> Up:
    """Bring the lab up, or of its servers only these; the caller holds the lock."""
    from lab.engine.accelerator import resolve
    from lab.engine.base import ensure_base
    from lab.engine.bootstrap import Install, ensure_engine
    from lab.engine.build import ensure_images
    from lab.engine.compose import Compose

    begin = time.monotonic()
    progress, settings, paths = lab.progress, lab.settings, lab.paths
    say = progress.say
    nodes = wanted_nodes(settings.nodes, servers)
    with progress.step("render", "Rendering the servers' files"):
        secrets.ensure(paths.secrets)
        for line in changes(render.render(paths, settings, lab.environ)):
            say(line)
        for backend in filter(backends.is_ksmbd, settings.backends):
            # Compose would make it, as root.
            folders.of_backend(paths, backend).override.mkdir(parents=True, exist_ok=True)
    with progress.step("engine", "Finding the container engine"):
        ensure_engine(cast(Install, settings.engine.install), say)
    _require_port(lab)
    # From here on there may be something for `lab down` to remove, and it goes by name.
    names.remember(lab.state, settings.name)
    with progress.step("base_image", "Getting the base image"):
        ensure_base(settings.debian.suite, settings.debian.mirror, say)
    with progress.step("images", "Building the images"):
        built = ensure_images(paths.rendered, images(nodes), settings.name, say) or {}
    smbd = samba.build_for_up(lab) if "samba" in nodes else None
    own_kernels = [node for node in nodes if backends.flavour(node)]
    if own_kernels:
        with progress.step("guests", "Preparing the flavours' guests"):
            ensure_guests(lab, own_kernels, say)
    with progress.step("accelerator_probe", "Choosing the guest's accelerator"):
        accelerator, reason = resolve(settings, lab.state, say)
        lab.state.set("running_accelerator", {"kind": accelerator, "reason": reason})
        render.write_compose_environment(paths, settings, accelerator)
    started = time.monotonic()
    with progress.step("compose_up", "Starting the containers"):
        compose = Compose(
            settings.name, paths.root, paths.compose_env, more=[paths.compose_flavours]
        )
        compose.up([backends.service(node) for node in nodes])
        _remove_undeclared(lab)
    active = _active(lab, nodes)
    with progress.step("answering", "Waiting until every node answers"):
        healthy = Waiter(lab, accelerator, active, started, nodes).wait()
    if smbd is not None:
        with progress.step("samba_install", "Installing smbd"):
            samba.install_for_up(lab, smbd)
    lab.state.set("active", active)
    seconds = {**progress.seconds, "total": time.monotonic() - begin}
    done = Up(seconds, built, healthy, accelerator, reason, active)
    text = json.dumps(done.timings(), indent=2) + "\n"
    write_atomically(paths.timings, text.encode())
    return done


def wanted_nodes(nodes: Sequence[str], servers: Collection[str]) -> tuple[str, ...]:
    """Which of the lab's nodes come up: with `servers`, those and what every run needs."""
    return tuple(
        node for node in nodes if not servers or node in servers or node in ("front", "client")
    )


def images(nodes: Iterable[str]) -> list[str]:
    """The images that nodes run; flavours share ksmbd's, from which their guests are made too."""
    return list(dict.fromkeys(backends.kind(node) for node in nodes))


def _active(lab: Lab, nodes: Sequence[str]) -> str:
    """The backend to lead the front to: the one of before, unless it does not run."""
    before = lab.remembered_backend
    containers = lab.engine.containers()
    running = [
        name
        for name in lab.settings.backends
        if name in nodes or (name in containers and containers[name].state == "running")
    ]
    return before if before in running else next(iter(running), before)


def _remove_undeclared(lab: Lab) -> None:
    """Remove nodes of flavours that lab.toml had when they came up, and has no more."""
    for node in lab.engine.containers():
        if backends.flavour(node) and node not in lab.settings.nodes:
            lab.engine.remove(node)
            lab.progress.say(f"{node}: removed, lab.toml declares it no more")


def changes(rendered: Iterable[render.Rendered]) -> list[str]:
    """What changed, for people: a node's files by name if they are few, else their number."""
    by_node: dict[str, list[str]] = {}
    for result in rendered:
        if result.status == "changed":
            node, _, inside = result.path.partition("/")
            by_node.setdefault(node, []).append(inside)
    return [
        f"changed: {node}: {', '.join(files) if len(files) <= FEW else f'{len(files)} files'}"
        for node, files in by_node.items()
    ]


def _require_port(lab: Lab) -> None:
    """Check the front's port, unless the front that runs is what has it."""
    front = lab.engine.containers().get("front")
    if front is not None and front.state == "running":
        _, published = lab.front_address()
        if published == lab.settings.front.port:
            return
    ports.require_free(lab.settings.front.bind, lab.settings.front.port)
