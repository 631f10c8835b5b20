"""`lab up`: from whatever there is to a lab that answers. Every step may be repeated safely."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lab import render, secrets
from lab.lifecycle import names, ports
from lab.lifecycle.waiting import Healthy, Waiter
from lab.settings import NODES
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


def up(lab: Lab) -> Up:
    """Bring the lab up; the caller holds the lock."""
    from lab.engine.accelerator import resolve
    from lab.engine.base import ensure_base
    from lab.engine.bootstrap import Install, ensure_engine
    from lab.engine.build import ensure_images
    from lab.engine.compose import Compose

    begin = time.monotonic()
    progress, settings, paths = lab.progress, lab.settings, lab.paths
    say = progress.say
    with progress.step("render", "Rendering the servers' files"):
        secrets.ensure(paths.secrets)
        for line in changes(render.render(paths, settings, lab.environ)):
            say(line)
    with progress.step("engine", "Finding the container engine"):
        ensure_engine(cast(Install, settings.engine.install), say)
    _require_port(lab)
    # From here on there may be something for `lab down` to remove, and it goes by name.
    names.remember(lab.state, settings.name)
    with progress.step("base_image", "Getting the base image"):
        ensure_base(settings.debian.suite, settings.debian.mirror, say)
    with progress.step("images", "Building the images"):
        built = ensure_images(paths.rendered, NODES, settings.name, say) or {}
    with progress.step("accelerator_probe", "Choosing the guest's accelerator"):
        accelerator, reason = resolve(settings, lab.state, say)
        lab.state.set("running_accelerator", {"kind": accelerator, "reason": reason})
        render.write_compose_environment(paths, settings, accelerator)
    started = time.monotonic()
    with progress.step("compose_up", "Starting the containers"):
        Compose(settings.name, paths.root, paths.compose_env).up(NODES)
    active = lab.remembered_backend
    with progress.step("answering", "Waiting until every node answers"):
        healthy = Waiter(lab, accelerator, active, started).wait()
    lab.state.set("active", active)
    seconds = {**progress.seconds, "total": time.monotonic() - begin}
    done = Up(seconds, built, healthy, accelerator, reason, active)
    text = json.dumps(done.timings(), indent=2) + "\n"
    write_atomically(paths.timings, text.encode())
    return done


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
