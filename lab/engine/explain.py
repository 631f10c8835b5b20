"""What engines, package managers and compilers say, turned into a cause and a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lab.errors import LabFailed

SAY_LINES = 20  # of a tool's output, shown when nothing more precise is known


@dataclass(frozen=True)
class Explanation:
    """A sign in a tool's output; `cause` may use the pattern's named groups."""

    sign: re.Pattern[str]
    cause: str
    remedy: str


def _known(sign: str, cause: str, remedy: str) -> Explanation:
    return Explanation(re.compile(sign, re.IGNORECASE), cause, remedy)


# The first that matches counts, so what is more precise stands first.
KNOWN: tuple[Explanation, ...] = (
    _known(
        r"permission denied.*(docker\.sock|docker daemon socket|PermissionError)"
        r"|PermissionError\(13",
        "this user may not use the Docker engine's socket",
        "sudo usermod -aG docker $USER, then log in anew (or: newgrp docker)",
    ),
    _known(
        r"cannot connect to the docker daemon|is the docker daemon running"
        r"|docker daemon.*not running|FileNotFoundError\(2|Connection refused"
        r"|ConnectionRefusedError|Couldn't connect to Docker daemon",
        "the Docker daemon does not answer",
        "sudo systemctl start docker (without systemd: sudo service docker start)",
    ),
    _known(
        r"no space left on device|disk quota exceeded|not enough free space",
        "the disk is full",
        "free some space: docker system df shows what the engine holds, docker image prune and "
        "docker builder prune give it back",
    ),
    _known(
        r"(bind for|listen tcp\S*) (?P<address>\S+?):?( failed: port is already allocated"
        r"|: bind: address already in use)",
        "the address {address} is taken by another program",
        "set another [front] port in lab.toml (or LAB_FRONT_PORT), or end the other: "
        "sudo ss -ltnp shows it",
    ),
    _known(
        r"port is already allocated|address already in use",
        "a port that the lab publishes is taken by another program",
        "set another [front] port in lab.toml (or LAB_FRONT_PORT); sudo ss -ltnp shows who has it",
    ),
    _known(
        r"cannot assign requested address",
        "the address that the front shall listen on is none of this host's",
        "set [front] bind in lab.toml (or LAB_FRONT_BIND) to one that `ip address` shows",
    ),
    _known(
        r"certificate verif\w+ failed|CERTIFICATE_VERIFY_FAILED|unable to get local issuer"
        r"|server certificate verification failed|x509: certificate signed by unknown",
        "a server's TLS certificate is not trusted inside the build (a proxy that inspects TLS?)",
        "name the proxy's CA bundle: [build] ca_certificates in lab.toml, or LAB_CA_CERTIFICATES",
    ),
    _known(
        r"(THESE PACKAGES DO NOT MATCH THE HASHES|Hashes are required)",
        "a Python package is not the one that the lock file pins",
        "try again; if it stays, make the lock files anew: make lock",
    ),
    _known(
        r"unable to locate package (?P<package>\S+)|package '?(?P<package2>\S+?)'? has no inst",
        "the Debian suite has no package {package}{package2}",
        "check [debian] suite and [ksmbd] kernel in lab.toml",
    ),
    _known(
        r"(registry-1\.docker\.io|https?://[^\s\"]+/v2/).*(no such host|timeout|timed out|refused"
        r"|unreachable|EOF)",
        "the image registry cannot be reached",
        "check the network, or the engine's proxy and registry mirror",
    ),
    _known(
        r"(temporary failure (in name resolution|resolving)|could not resolve"
        r"|name or service not known|no such host|unable to connect to|failed to fetch"
        r"|connection timed out|network is unreachable|failed to establish a new connection"
        r"|no matching distribution found)",
        "the package mirror or index cannot be reached",
        "check the network and proxy; another mirror: [debian] mirror in lab.toml, or "
        "LAB_DEBIAN_MIRROR",
    ),
    _known(
        r"toomanyrequests|pull rate limit",
        "the image registry's pull limit is used up",
        "docker login, or try again later",
    ),
    _known(
        r"failed to create (network|endpoint)|could not find an available.*address pool",
        "the engine cannot make a network",
        "docker network prune removes those that nothing uses",
    ),
    _known(
        r"iptables.*(not found|failed|No chain)",
        "the engine cannot set up packet filtering for the network",
        "restart the daemon so that it makes its chains anew: sudo systemctl restart docker",
    ),
)


def find(output: str) -> tuple[str, str] | None:
    """Return (cause, remedy) if the output holds a sign that is known."""
    for known in KNOWN:
        match = known.sign.search(output)
        if match:
            words = {name: value or "" for name, value in match.groupdict().items()}
            return known.cause.format(**words), known.remedy
    return None


def last_lines(output: str | Iterable[str], count: int = SAY_LINES) -> str:
    """Return the last lines that are not empty, indented for an error message."""
    lines = output.splitlines() if isinstance(output, str) else list(output)
    kept = [line.rstrip() for line in lines if line.strip()][-count:]
    return "\n".join(f"    {line}" for line in kept)


def failed(doing: str, output: str, remedy: str = "") -> LabFailed:
    """Make the error for a tool that failed: cause and remedy if known, else its last lines."""
    known = find(output)
    if known:
        return LabFailed(f"{doing}: {known[0]}", known[1])
    said = last_lines(output)
    return LabFailed(f"{doing}\n{said}" if said else doing, remedy)
