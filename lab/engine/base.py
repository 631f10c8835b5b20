"""The image that every node starts from: a minimal Debian with Python, under our own name.

Pulled where a registry can be reached, else bootstrapped with mmdebstrap from the Debian mirror and
imported. Both ways end with the same packages and the same apt configuration; package lists are
left in it, so that five builds need not fetch them five times.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lab.engine import apt_sources, explain, labels, process
from lab.engine.build import ContextFile, pack
from lab.errors import LabError, LabFailed

if TYPE_CHECKING:
    from lab.engine.sdk import Images

Say = Callable[[str], None]

REPOSITORY = "notify-lab-base"
VERSION = "1"  # of what follows; another one has the base image made anew
# ca-certificates: an https mirror, pip. python3: probe.py, the health check of every node.
PACKAGES = ("ca-certificates", "python3")
PULL_DEADLINE_S = 15.0
BOOTSTRAP_DEADLINE_S = 600.0
APT_OPTIONS = {
    "APT::Install-Recommends": "false",
    "Acquire::Languages": "none",
    "Acquire::GzipIndexes": "true",
}
DPKG_OPTIONS = (
    "force-unsafe-io",  # an image is whole or is not: nothing to sync to the disk for
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
)
NO_MMDEBSTRAP = (
    "no registry can be reached, and mmdebstrap, which would make the base image, is missing",
    "as root: apt-get install mmdebstrap (Fedora: dnf install mmdebstrap debian-keyring)",
)


def tag(suite: str) -> str:
    """Return the base image's tag."""
    return f"{REPOSITORY}:{suite}"


def mmdebstrap_command(
    suite: str, archive: apt_sources.Archive, options: Mapping[str, str], target: Path
) -> list[str]:
    """Return the command that bootstraps into a tar archive; its mode follows who we are."""
    return [
        "mmdebstrap",
        *("--variant=minbase", "--format=tar", "--components=main"),
        f"--include={','.join(PACKAGES)}",
        "--skip=cleanup/apt/lists",
        *(f'--aptopt={name} "{value}"' for name, value in {**APT_OPTIONS, **options}.items()),
        *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
        suite,
        str(target),
        *archive.source_lines(suite),
    ]


def dockerfile(suite: str) -> str:
    """Return the Dockerfile that makes a pulled Debian into the same base."""
    return f"""\
FROM debian:{suite}-slim
COPY apt.conf /etc/apt/apt.conf.d/99notify-lab
COPY dpkg.cfg /etc/dpkg/dpkg.cfg.d/notify-lab
COPY sources.list /etc/apt/sources.list
COPY host.pem /tmp/host.pem
RUN rm -f /etc/apt/sources.list.d/debian.sources /etc/apt/apt.conf.d/docker-clean \\
    && apt-get -q -o Acquire::https::CAInfo=/tmp/host.pem update \\
    && DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::https::CAInfo=/tmp/host.pem \\
        install --no-install-recommends {" ".join(PACKAGES)} \\
    && rm -rf /tmp/host.pem /var/cache/apt/archives/*.deb
"""


def pulled_context(
    suite: str, archive: apt_sources.Archive, options: Mapping[str, str], certificates: bytes
) -> bytes:
    """Return the build context for `dockerfile`."""
    apt = "".join(f'{name} "{value}";\n' for name, value in {**APT_OPTIONS, **options}.items())
    files = {
        "Dockerfile": dockerfile(suite).encode(),
        "apt.conf": apt.encode(),
        "dpkg.cfg": "".join(f"{option}\n" for option in DPKG_OPTIONS).encode(),
        "sources.list": "".join(f"{line}\n" for line in archive.source_lines(suite)).encode(),
        "host.pem": certificates,
    }
    return pack(ContextFile(name, data, False) for name, data in files.items())


def ensure_base(suite: str, mirror: str, say: Say) -> None:
    """Make the base image unless it is there; raise LabFailed with cause and remedy."""
    from lab.engine.sdk import Images

    images = Images()
    have = images.labels(tag(suite))
    if have is not None and have.get(labels.BASE, "").startswith(f"{VERSION} "):
        return
    archive = apt_sources.archive(mirror, apt_sources.host_entries())
    options = apt_sources.host_options()
    say(f"base image: asking the registry for debian:{suite}-slim")
    try:
        images.pull("debian", f"{suite}-slim", PULL_DEADLINE_S)
    except LabError as error:
        say(f"base image: not from a registry ({first_line(error)})")
        _bootstrap(images, suite, archive, options, say)
        return
    _extend_pulled(images, suite, archive, options)


def first_line(error: LabError) -> str:
    """Return an error's message without its remedy."""
    return error.message.splitlines()[0]


def _extend_pulled(
    images: Images, suite: str, archive: apt_sources.Archive, options: Mapping[str, str]
) -> None:
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    certificates = bundle.read_bytes() if bundle.is_file() else b""
    context = pulled_context(suite, archive, options, certificates)
    said = []
    for kind, text in images.build(context, tag(suite), {labels.BASE: f"{VERSION} pulled"}):
        said.append(text)
        if kind == "error":
            raise explain.failed("the base image cannot be made", "".join(said))


def _bootstrap(
    images: Images,
    suite: str,
    archive: apt_sources.Archive,
    options: Mapping[str, str],
    say: Say,
) -> None:
    _require_mmdebstrap(say)
    say(f"base image: bootstrapping {suite} from {archive.mirror}")
    # /var/tmp: /tmp may be a small tmpfs, and this takes 150 MB.
    parent = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=parent, prefix="notify-lab-") as folder:
        target = Path(folder) / "base.tar"
        ran = process.run(
            mmdebstrap_command(suite, archive, options, target), deadline=BOOTSTRAP_DEADLINE_S
        )
        if ran.returncode != 0:
            raise explain.failed(
                f"mmdebstrap could not make the base image of {suite} from {archive.mirror}",
                ran.output,
                "without root it needs user namespaces: see mmdebstrap(1), --mode=unshare",
            )
        images.import_tar(target, tag(suite), [f'LABEL {labels.BASE}="{VERSION} mmdebstrap"'])


def _require_mmdebstrap(say: Say) -> None:
    """Install mmdebstrap if that is in our power."""
    if shutil.which("mmdebstrap"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LabFailed(*NO_MMDEBSTRAP)
    say("base image: installing mmdebstrap (apt-get install mmdebstrap)")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "-q", "-y", "--no-install-recommends", "install", "mmdebstrap")
    for command in (("apt-get", "-q", "update"), install):
        ran = process.run(command, deadline=BOOTSTRAP_DEADLINE_S, env=env)
        if ran.returncode != 0:
            raise explain.failed("mmdebstrap cannot be installed", ran.output, NO_MMDEBSTRAP[1])
