"""What `lab up` and `lab samba` do: build and install what lab.toml or a command line asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.nodes.registry import container
from lab.samba import install as installing
from lab.samba.build import Built, build
from lab.samba.builder import Say
from lab.samba.install import Installed
from lab.samba.source import Source, existing, parse

if TYPE_CHECKING:
    from lab.session import Lab

BY_SETTINGS = "lab.toml"
BY_COMMAND = "lab samba build"


def of_settings(lab: Lab) -> Source | None:
    """The source that lab.toml names; None for Debian's binary package."""
    settings = lab.settings.samba
    source = parse(settings.source, lab.paths.root)
    if source is None and settings.patches:
        raise UsageError(
            "[samba] patches needs a source to patch, and source is Debian's binary package",
            'set [samba] source = "debian-source"',
        )
    return source


def build_for_up(lab: Lab) -> Built | None:
    """Before the containers start: build what lab.toml asks for, unless it is installed already.

    What `lab samba build` installed stays. None: nothing is to be installed.
    """
    # Compose would make it, as root.
    installing.folder(lab).mkdir(parents=True, exist_ok=True)
    source, have = of_settings(lab), installing.manifest(lab)
    if have.get("asked_by") == BY_COMMAND:
        lab.progress.say(
            f"samba: an smbd of {have['source']} ({BY_COMMAND}); `lab samba reset` takes it away"
        )
        return None
    if source is None:
        installing.remove(lab, None)
        return None
    settings = lab.settings.samba
    patches = existing(settings.patches, lab.paths.root)
    wanted = [source.words, [str(patch) for patch in patches], list(settings.configure)]
    if [have.get("source"), have.get("patches"), have.get("configure")] == wanted:
        return None
    with lab.progress.step("samba_build", "Building smbd from source"):
        return build(lab, source, patches, settings.configure, lab.progress.say)


def install_for_up(lab: Lab, built: Built) -> Installed:
    """After the containers started: install what `build_for_up` built."""
    return installing.install(lab, built, container(lab.engine, "samba"), BY_SETTINGS)


def build_and_install(
    lab: Lab, src: str, patches: Sequence[str], say: Say
) -> tuple[Built, Installed]:
    """`lab samba build`. The node must run: a build is of use when it is proved to serve."""
    here = Path.cwd()
    source = parse(src, here) if src else of_settings(lab)
    chosen = existing(patches, here) or existing(lab.settings.samba.patches, lab.paths.root)
    lab.require_running("samba")
    built = build(lab, source or Source(), chosen, lab.settings.samba.configure, say)
    lab.require_running("samba")  # minutes later
    with lab.locked(BY_COMMAND):
        say("installing it into the samba node")
        done = installing.install(lab, built, container(lab.engine, "samba"), BY_COMMAND)
    return built, done


def reset(lab: Lab) -> bool:
    """`lab samba reset`: back to Debian's smbd; return whether there was another."""
    containers = lab.engine.containers()
    runs = "samba" in containers and containers["samba"].state == "running"
    with lab.locked("lab samba reset"):
        return installing.remove(lab, container(lab.engine, "samba") if runs else None)
