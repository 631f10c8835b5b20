"""Get a Docker engine and Compose: find them, install the distribution's, start the daemon.

What the host is like (`Host`) is looked at once; what to do about it is decided by functions of
that alone; doing it is at the end of the file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.engine import explain, process
from lab.engine.compose import find_command
from lab.errors import LabError, LabFailed

Say = Callable[[str], None]
Install = Literal["auto", "never"]

START_DEADLINE_S = 30.0
INSTALL_DEADLINE_S = 900.0
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
DAEMON_LOG = Path("/var/log/notify-lab-dockerd.log")

# The first that the distribution has is taken. `docker-compose` is 1.29 in Debian 12, v2 in 13.
COMPOSE_PACKAGES = ("docker-compose-v2", "docker-compose-plugin", "docker-compose")
# dnf: Fedora's engine; its Compose is v2.
DNF_PACKAGES = ("moby-engine", "docker-compose")


@dataclass(frozen=True)
class EngineInfo:
    """The engine that answers, and the Compose to use."""

    version: str
    compose: tuple[str, ...]


@dataclass(frozen=True)
class Host:
    """What matters of this machine."""

    root: bool
    apt: bool
    dnf: bool
    systemd: bool
    init_script: bool  # /etc/init.d/docker
    dockerd: bool
    docker_host: str  # DOCKER_HOST: another machine's engine is not ours to start


def look(environ: os._Environ[str] = os.environ) -> Host:
    """Look at the machine."""
    return Host(
        root=os.geteuid() == 0,
        apt=shutil.which("apt-get") is not None,
        dnf=shutil.which("dnf") is not None,
        systemd=Path("/run/systemd/system").is_dir(),
        init_script=Path("/etc/init.d/docker").exists(),
        # /usr/sbin is not on an ordinary user's PATH
        dockerd=shutil.which("dockerd", path=f"{environ.get('PATH', '')}:{SBIN}") is not None,
        docker_host=environ.get("DOCKER_HOST", ""),
    )


def install_command(host: Host, packages: Sequence[str]) -> list[str] | None:
    """Return the command that installs packages, or None where we know none."""
    if host.apt:
        return ["apt-get", "-q", "-y", "--no-install-recommends", "install", *packages]
    if host.dnf:
        return ["dnf", "-y", "install", *packages]
    return None


def start_commands(host: Host) -> list[list[str]]:
    """Return the ways to start the daemon, in the order to try them."""
    ways = []
    if host.systemd:
        ways.append(["systemctl", "start", "docker"])
    elif host.init_script:
        ways.append(["service", "docker", "start"])
    if not host.systemd:
        ways.append(["dockerd"])
    return ways


def manual_remedy(host: Host) -> str:
    """Return what to type where we may not install or start anything ourselves."""
    start = "systemctl start docker" if host.systemd else "service docker start"
    if host.dockerd:
        return f"sudo {start}"
    if host.apt:
        install = "apt-get install docker.io docker-compose"
    elif host.dnf:
        install = f"dnf install {' '.join(DNF_PACKAGES)}"
    else:
        return "install Docker and Compose: https://docs.docker.com/engine/install/"
    return f"sudo {install} && sudo {start} && sudo usermod -aG docker $USER, then log in anew"


def refusal(host: Host, install: Install, cause: str) -> LabFailed | None:
    """Return why we must not mend `cause` ourselves, as the error to raise; None if we may."""
    if host.docker_host:
        return LabFailed(
            f"the engine at DOCKER_HOST={host.docker_host} cannot be used: {cause}",
            "start it, or unset DOCKER_HOST to use this machine's",
        )
    if not host.root:
        missing = "there is no Docker engine on this machine"
        return LabFailed(cause if host.dockerd else missing, manual_remedy(host))
    if not host.dockerd and install == "never":
        return LabFailed(
            "there is no Docker engine, and installing it is forbidden ([engine] install, "
            "LAB_INSTALL_ENGINE=never)",
            manual_remedy(host),
        )
    if not host.dockerd and not (host.apt or host.dnf):
        return LabFailed(
            "there is no Docker engine, and no apt or dnf to install it", manual_remedy(host)
        )
    return None


# ------------------------------------------------------------ doing it


def ensure_engine(install: Install, say: Say) -> EngineInfo:
    """Return the engine that answers; find, install or start it before, saying so.

    Raises LabFailed with the cause and the exact commands where that is not ours to do.
    """
    host = look()
    try:
        version = _version()
    except LabError as error:
        if "may not use" in error.message:
            raise  # it runs; starting or installing it would mend nothing
        refused = refusal(host, install, error.message)
        if refused is not None:
            raise refused from None
        if not host.dockerd:
            _install_engine(host, say)
            host = look()
        version = _start(host, say)
    compose = find_command()
    if compose is None:
        compose = _install_compose(host, install, say)
    return EngineInfo(version, tuple(compose))


def _version() -> str:
    """Ask the daemon for its version."""
    from lab.engine.sdk import connect

    return str(connect(timeout=10).version()["Version"])


def _install(host: Host, packages: Sequence[str], what: str, say: Say) -> None:
    command = install_command(host, packages)
    assert command is not None, "refusal() has seen to it"
    say(f"installing {what}: {' '.join(command)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    if host.apt:
        # dpkg must not be interrupted half-way: with its package lists fetched it takes seconds.
        process.run(["apt-get", "-q", "update"], deadline=INSTALL_DEADLINE_S, env=env)
    ran = process.run(command, deadline=INSTALL_DEADLINE_S, env=env)
    if ran.returncode != 0:
        raise explain.failed(
            f"{what} could not be installed", ran.output, f"by hand: {' '.join(command)}"
        )


def _available(package: str) -> bool:
    """Tell whether apt knows a version of the package that it could install."""
    shown = process.run(["apt-cache", "policy", package], deadline=60)
    return "Candidate:" in shown.output and "Candidate: (none)" not in shown.output


def _apt_packages(candidates: Sequence[str]) -> list[str]:
    return next(([package] for package in candidates if _available(package)), [candidates[-1]])


def _install_engine(host: Host, say: Say) -> None:
    packages = list(DNF_PACKAGES)
    if host.apt:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        say("no Docker engine here; reading apt's package lists")
        process.run(["apt-get", "-q", "update"], deadline=INSTALL_DEADLINE_S, env=env)
        # docker-cli is a package of its own since Debian 13; iptables and ca-certificates are
        # only recommended, and nothing works without them.
        packages = ["docker.io", "iptables", "ca-certificates", *_apt_packages(COMPOSE_PACKAGES)]
        packages += [extra for extra in ("docker-cli",) if _available(extra)]
    _install(host, packages, "the Docker engine and Compose", say)


def _install_compose(host: Host, install: Install, say: Say) -> list[str]:
    missing = "no Docker Compose was found (neither `docker compose` nor `docker-compose`)"
    by_hand = install_command(host, ["docker-compose"])
    remedy = f"sudo {' '.join(by_hand)}" if by_hand else "https://docs.docker.com/compose/install/"
    if not host.root or install == "never" or by_hand is None:
        raise LabFailed(missing, remedy)
    packages = _apt_packages(COMPOSE_PACKAGES) if host.apt else ["docker-compose"]
    _install(host, packages, "Docker Compose", say)
    found = find_command()
    if found is None:
        raise LabFailed(f"{missing}, although {packages[0]} was installed", remedy)
    return found


def _start(host: Host, say: Say) -> str:
    """Start the daemon one way after the other; return its version once it answers."""
    said: list[str] = []
    for way in start_commands(host):
        daemon: subprocess.Popen[bytes] | None = None
        try:  # installing may have started it, or another `lab` has
            return _version()
        except LabError:
            pass
        say(f"starting the Docker daemon: {' '.join(way)}")
        if way == ["dockerd"]:
            daemon = _detached(way)
        else:
            ran = process.run(way, deadline=START_DEADLINE_S * 2)
            said.append(f"{' '.join(way)}: exit code {ran.returncode}\n{ran.output}")
            if ran.returncode != 0:
                continue
        answer = _wait(daemon)
        if isinstance(answer, str):
            return answer
        said.append(answer.message)
        if daemon is not None:
            said.append(DAEMON_LOG.read_text(encoding="utf-8", errors="replace"))
    journal = "journalctl -u docker" if host.systemd else f"{DAEMON_LOG} or /var/log/docker.log"
    output = "\n".join(said)
    raise LabFailed(
        f"the Docker daemon does not start\n{explain.last_lines(output)}", f"see {journal}"
    )


def _detached(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the daemon itself, so that it outlives us and no interrupt of ours reaches it."""
    with DAEMON_LOG.open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _wait(daemon: subprocess.Popen[bytes] | None) -> str | LabError:
    """Wait until the daemon answers; return its version, or what it said last.

    A service whose start command has come back has a short while: `service` also does when it
    started nothing.
    """
    end = time.monotonic() + (START_DEADLINE_S if daemon is not None else 10.0)
    while True:
        try:
            return _version()
        except LabError as error:
            if time.monotonic() > end or (daemon is not None and daemon.poll() is not None):
                return error
        time.sleep(0.2)
