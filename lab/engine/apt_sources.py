"""Where this host gets Debian from: mirror, security archive and the way there.

The base image is bootstrapped from, and the images are built from, what the host's own apt uses,
so that a mirror or proxy that somebody configured once is enough.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SECURITY = "http://deb.debian.org/debian-security"
# What of the host's apt configuration images need as well. Whether dates are checked belongs to a
# mirror: a snapshot's would have run out.
CARRIED = (
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
)
_NO_SECURITY = ("sid", "unstable", "experimental")


@dataclass(frozen=True)
class Entry:
    """One source: a URI with its suites and components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(frozen=True)
class Archive:
    """Where to install from."""

    mirror: str
    security: str

    def source_lines(self, suite: str) -> list[str]:
        """Return the lines of a sources.list: the suite, its updates, its security updates."""
        lines = [f"deb {self.mirror} {suite} main"]
        if suite not in _NO_SECURITY:
            lines.append(f"deb {self.mirror} {suite}-updates main")
            lines.append(f"deb {self.security} {suite}-security main")
        return lines


def parse_list(text: str) -> Iterator[Entry]:
    """Parse the one-line format (sources.list)."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            yield Entry(match[1], (match[2],), tuple(match[3].split()))


def parse_deb822(text: str) -> Iterator[Entry]:
    """Parse the paragraphs of a .sources file; disabled ones are left out."""
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            suites = tuple(fields.get("suites", "").split())
            yield Entry(uri, suites, tuple(fields.get("components", "").split()))


def archive(configured: str, entries: Iterable[Entry]) -> Archive:
    """Choose the archive: the setting, else the host's own Debian mirror, else Debian's."""
    mirror = security = ""
    for entry in entries:
        path = urlsplit(entry.uri).path.rstrip("/")
        if "main" not in entry.components:
            continue
        if any(suite.endswith("-security") for suite in entry.suites):
            security = security or entry.uri.rstrip("/")
        elif path.endswith("/debian"):  # an Ubuntu host's mirror has no Debian suites
            mirror = mirror or entry.uri.rstrip("/")
    if not security.rstrip("/").endswith("/debian-security"):
        security = ""
    return Archive(configured.rstrip("/") or mirror or DEFAULT_MIRROR, security or DEFAULT_SECURITY)


def carried_options(dump: str) -> dict[str, str]:
    """Pick CARRIED from what `apt-config dump` prints; a proxy on loopback is of no use inside."""
    options: Mapping[str, str] = dict(re.findall(r'^(\S+) "(.*)";$', dump, re.MULTILINE))
    by_name = {name.lower(): value for name, value in options.items()}
    found = {name: by_name.get(name.lower(), "") for name in CARRIED}
    return {
        name: value
        for name, value in found.items()
        if value and urlsplit(value).hostname not in ("localhost", "127.0.0.1", "::1")
    }


def host_entries(etc_apt: Path = Path("/etc/apt")) -> list[Entry]:
    """Read the host's sources; empty on a host without apt."""
    found: list[Entry] = []
    folder = etc_apt / "sources.list.d"
    for file in (etc_apt / "sources.list", *sorted(folder.glob("*.list"))):
        if file.is_file():
            found += parse_list(file.read_text(encoding="utf-8", errors="replace"))
    for file in sorted(folder.glob("*.sources")):
        found += parse_deb822(file.read_text(encoding="utf-8", errors="replace"))
    return found


def host_options() -> dict[str, str]:
    """Return the host's apt options that images need; none on a host without apt."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return carried_options(dump.stdout)
