"""`lab doctor`: what this machine has and lacks for the lab, each with its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from lab.errors import LabError
from lab.lifecycle import ports
from lab.render import CA_VARIABLES
from lab.settings import unknown_variables

if TYPE_CHECKING:
    from lab.session import Lab

Grade = Literal["ok", "warn", "fail"]

DOCKER_SOCKET = Path("/var/run/docker.sock")
NETWORK_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 10.0
ENOUGH_DISK_GIB = 8.0
LEAST_DISK_GIB = 2.0
START_ENGINE = "as root: systemctl start docker (or: service docker start); `lab up` does it too"


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    grade: Grade
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


Checker = Callable[["Lab"], Iterator[Finding]]


def examine(lab: Lab) -> list[Finding]:
    """Run every check, side by side; their findings come in the order of CHECKS."""
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        found = pool.map(lambda check: _run(check, lab), CHECKS)
        return [finding for findings in found for finding in findings]


def _run(checker: Checker, lab: Lab) -> list[Finding]:
    try:
        return list(checker(lab))
    except LabError as error:
        name = checker.__name__.removeprefix("_").replace("_", " ")
        return [Finding(name, "fail", error.message, error.remedy)]


def _python(lab: Lab) -> Iterator[Finding]:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    yield Finding(
        "python", "ok" if good else "fail", version, "" if good else "Python 3.11 or newer"
    )


def _machine(lab: Lab) -> Iterator[Finding]:
    machine = platform.machine()
    if machine == "x86_64":
        yield Finding("machine", "ok", f"{machine}, {os.cpu_count()} processors")
    else:
        yield Finding("machine", "warn", machine, "the guest's kernel is amd64: it runs emulated")


def _settings(lab: Lab) -> Iterator[Finding]:
    file = lab.paths.settings_file
    said = str(file) if file.exists() else "defaults (there is no lab.toml)"
    yield Finding("settings", "ok", f"{said}; the lab is called {lab.settings.name}")
    for name, nearest in unknown_variables(lab.environ):
        remedy = f"did you mean {nearest}?" if nearest else "unset it"
        yield Finding("settings", "warn", f"nothing reads the variable {name}", remedy)


def _engine(lab: Lab) -> Iterator[Finding]:
    docker = shutil.which("docker")
    if docker is None:
        may = lab.settings.engine.install == "auto" and os.geteuid() == 0
        yield Finding(
            "engine",
            "warn" if may else "fail",
            "there is no `docker` command",
            "lab up installs the distribution's"
            if may
            else "install it, as root: apt-get install docker.io docker-compose (or dnf install …)",
        )
        return
    version = _command("docker", "version", "--format", "{{.Server.Version}}")
    if version is not None and version.returncode == 0:
        yield Finding("engine", "ok", f"docker {version.stdout.strip()}")
        return
    said = (version.stderr.strip().splitlines() or ["no answer"])[0] if version else "no answer"
    if DOCKER_SOCKET.exists() and not os.access(DOCKER_SOCKET, os.R_OK | os.W_OK):
        yield Finding(
            "engine",
            "fail",
            f"{DOCKER_SOCKET} is not yours to use",
            "as root: usermod -aG docker $USER; then log in anew",
        )
    else:
        grade: Grade = "warn" if os.geteuid() == 0 else "fail"
        yield Finding("engine", grade, f"the daemon does not answer: {said}", START_ENGINE)


def _compose(lab: Lab) -> Iterator[Finding]:
    for argv in (("docker", "compose", "version", "--short"), ("docker-compose", "--version")):
        done = _command(*argv)
        if done is not None and done.returncode == 0:
            yield Finding("compose", "ok", done.stdout.strip().splitlines()[0])
            return
    yield Finding(
        "compose",
        "fail",
        "neither `docker compose` nor `docker-compose` works",
        "as root: apt-get install docker-compose (or dnf install docker-compose)",
    )


def _port(lab: Lab) -> Iterator[Finding]:
    front = lab.settings.front
    try:
        running = lab.engine.containers().get("front")
        if running is not None and running.state == "running":
            _, port = lab.front_address()
            if port == front.port:
                yield Finding("port", "ok", f"{front.bind}:{port}: the front has it")
                return
    except LabError:
        pass  # no engine: whether the port is free can be said all the same
    ports.require_free(front.bind, front.port)
    yield Finding("port", "ok", f"{front.bind}:{front.port} is free")


def _disk(lab: Lab) -> Iterator[Finding]:
    where = {"lab": lab.paths.root, "images": Path("/var/lib/docker")}
    for what, path in where.items():
        if not path.exists():
            continue
        free = shutil.disk_usage(path).free / 2**30
        grade: Grade = (
            "ok" if free >= ENOUGH_DISK_GIB else "warn" if free >= LEAST_DISK_GIB else "fail"
        )
        remedy = "" if grade == "ok" else "free some: docker system df shows what images take"
        yield Finding("disk", grade, f"{free:.0f} GiB free for the {what} ({path})", remedy)


def _accelerator(lab: Lab) -> Iterator[Finding]:
    wanted = lab.settings.ksmbd.accelerator
    device = Path("/dev/kvm")
    known = lab.state.get("running_accelerator", {})
    found = f"; the last lab up chose {known['kind']}: {known['reason']}" if known else ""
    if not device.exists():
        grade: Grade = "fail" if wanted == "kvm" else "ok"
        yield Finding(
            "accelerator",
            grade,
            f"no /dev/kvm: the guest is emulated (tcg), several times slower{found}",
            "set [ksmbd] accelerator to auto or tcg" if grade == "fail" else "",
        )
    else:
        yield Finding(
            "accelerator", "ok", f"/dev/kvm is there; `lab up` tries whether it boots{found}"
        )


def _certificates(lab: Lab) -> Iterator[Finding]:
    chosen = lab.settings.build.ca_certificates
    named = {"[build] ca_certificates": chosen} if chosen else {}
    if not chosen:
        named = {name: lab.environ[name] for name in CA_VARIABLES if lab.environ.get(name)}
    for name, path in named.items():
        file = lab.paths.root / Path(path).expanduser()
        if not file.is_file():
            yield Finding(
                "certificates", "warn", f"{name} names no file: {path}", "unset or mend it"
            )
        elif b"BEGIN CERTIFICATE" not in file.read_bytes():
            yield Finding("certificates", "warn", f"{name}: no certificate in {path}", "mend it")
    files = sorted(set(named.values()))
    said = ", ".join(files) if files else "none besides Debian's"
    yield Finding("certificates", "ok", f"trusted by builds: {said}")


def _network(lab: Lab) -> Iterator[Finding]:
    mirror = lab.settings.debian.mirror
    if not mirror:
        yield Finding("mirror", "ok", "as this host's apt, not tried here")
        return
    parts = urlsplit(mirror)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        with socket.create_connection((parts.hostname or "", port), NETWORK_TIMEOUT_S):
            yield Finding("mirror", "ok", f"{mirror} can be reached")
    except OSError as error:
        yield Finding(
            "mirror",
            "warn",
            f"{mirror} cannot be reached: {error.strerror or error}",
            "only building images needs it; set [debian] mirror, or http_proxy",
        )


def _state(lab: Lab) -> Iterator[Finding]:
    folder = lab.paths.dot_lab
    if not folder.exists():
        yield Finding("state", "ok", "the lab was never up (there is no .lab/)")
        return
    foreign = [path for path in _walk(folder) if path.lstat().st_uid != os.geteuid()]
    if foreign:
        yield Finding(
            "state",
            "warn",
            f"{len(foreign)} files in {folder} belong to another user, the first: {foreign[0]}",
            f"as root: chown -R {os.geteuid()} {folder}",
        )
    password = lab.secrets.password_file
    if password.exists() and password.stat().st_mode & 0o077:
        yield Finding("state", "warn", f"{password} can be read by others", f"chmod 600 {password}")
    elif not foreign:
        yield Finding("state", "ok", str(folder))


def _walk(folder: Path) -> Iterator[Path]:
    for base, _, files in os.walk(folder):
        yield from (Path(base) / name for name in files)


def _command(*argv: str) -> subprocess.CompletedProcess[str] | None:
    """Run a command; None where there is none, or it does not end in time."""
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


CHECKS: tuple[Checker, ...] = (
    _python,
    _machine,
    _settings,
    _engine,
    _compose,
    _port,
    _disk,
    _accelerator,
    _certificates,
    _network,
    _state,
)


def summary(findings: list[Finding]) -> dict[str, Any]:
    """What `lab doctor --json` prints."""
    grades = [finding.grade for finding in findings]
    worst = next((grade for grade in ("fail", "warn") if grade in grades), "ok")
    return {"grade": worst, "checks": [finding.as_json() for finding in findings]}
