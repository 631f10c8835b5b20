"""Make the files of the servers: `templates/` and `images/` become `.lab/rendered/<node>/`.

What a node's folder will hold is worked out first (`plan`), compared with what it holds now, and
then only what differs is written. `etc/` in it is bind-mounted at run time and so left out of the
build context: a changed configuration needs a restart, not a build.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lab import backends
from lab.errors import LabFailed, UsageError
from lab.flavours import folders
from lab.paths import LabPaths
from lab.settings import NODES, Settings
from lab.state import write_atomically

Status = Literal["new", "changed", "unchanged", "removed"]

COMMON = "common"  # images/common/ goes into every node
COMPOSE = "compose"  # templates/compose/ is for the topology
BOOT_DEADLINE_S = 60  # of a guest, until its READY
NO_NODES = (COMMON, COMPOSE, "kbuild")

# Files of the source tree that nodes need inside: path in the node -> path in the checkout.
EVERY_NODE = {"probe.py": "lab/probe.py"}
EXTRAS: Mapping[str, Mapping[str, str]] = {
    "py": {
        "notify_server": "notify_server",
        "requirements.lock": "requirements/server.lock",
    },
    "client": {
        "lab/__init__.py": "lab/__init__.py",
        "lab/client": "lab/client",
        "lab/scenarios/__init__.py": "lab/scenarios/__init__.py",
        "lab/scenarios/model": "lab/scenarios/model",
        "requirements.lock": "requirements/client.lock",
    },
}
CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
DOCKERIGNORE = b"etc/\n"

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class PlannedFile:
    """One file as it shall be, and where it comes from (for errors)."""

    data: bytes
    executable: bool
    origin: str

    @property
    def mode(self) -> int:
        return 0o755 if self.executable else 0o644


@dataclass(frozen=True)
class Rendered:
    """What happened to one file; `path` is relative to `.lab/rendered/`."""

    path: str
    status: Status
    diff: str = ""


Plan = dict[str, PlannedFile]


def nodes(paths: LabPaths) -> list[str]:
    """The nodes that have a folder in images/ or templates/."""
    found = {
        entry.name
        for parent in (paths.images, paths.templates)
        if parent.is_dir()
        for entry in parent.iterdir()
        if entry.is_dir() and entry.name not in NO_NODES
    }
    return sorted(found)


def plan(paths: LabPaths, settings: Settings, environ: Mapping[str, str]) -> Plan:
    """Work out every file of every node; raise for a template that does not render."""
    certificates = _certificates(paths, settings, environ)
    planned: Plan = {}
    for node in nodes(paths):
        for inside, file in _node_files(paths, settings, node, certificates):
            path = f"{node}/{inside}"
            if path in planned:
                raise LabFailed(
                    f"{node}: both {planned[path].origin} and {file.origin} make {inside}",
                    "rename one of them",
                )
            planned[path] = file
    for flavour in settings.flavours:
        node = backends.named(flavour)
        for inside, file in flavour_files(paths, settings, node):
            planned[f"{node}/{inside}"] = file
    return planned


def plan_folder(
    paths: LabPaths, settings: Settings, environ: Mapping[str, str], folder: str, **more: Any
) -> Plan:
    """Work out a build context that is no node's: the files of templates/ and images/<folder>."""
    certificates = _certificates(paths, settings, environ)
    return dict(_node_files(paths, settings, folder, certificates, **more))


def flavour_files(
    paths: LabPaths, settings: Settings, node: str
) -> Iterator[tuple[str, PlannedFile]]:
    """The configuration of a flavour: ksmbd's, with the flavour's settings; the image is shared."""
    own = replace(settings, ksmbd=settings.ksmbd_of(node))
    for inside, file in _templates(paths, own, backends.KSMBD):
        if inside.startswith("etc/"):
            yield inside, file


def _node_files(
    paths: LabPaths, settings: Settings, node: str, certificates: bytes, **more: Any
) -> Iterator[tuple[str, PlannedFile]]:
    yield from _templates(paths, settings, node, **more)
    for folder in (paths.images / node, paths.images / COMMON):
        yield from _copies(folder, paths.root)
    for inside, origin in {**EVERY_NODE, **EXTRAS.get(node, {})}.items():
        source = paths.root / origin
        if source.is_dir():
            for below, file in _copies(source, paths.root):
                yield f"{inside}/{below}", file
        else:
            yield inside, _copy(source, paths.root)
    yield "ca/.keep", PlannedFile(b"", False, "render")
    if certificates:
        yield "ca/extra.crt", PlannedFile(certificates, False, "the host's certificates")
    if not (paths.images / node / ".dockerignore").exists():
        yield ".dockerignore", PlannedFile(DOCKERIGNORE, False, "render")


def _templates(
    paths: LabPaths, settings: Settings, node: str, **more: Any
) -> Iterator[tuple[str, PlannedFile]]:
    """Render the templates of a node; `more` are variables besides those that all know."""
    folder = paths.templates / node
    sources = sorted(folder.rglob("*.j2"))
    if not sources:
        return
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files and scripts, not HTML
    )
    variables: dict[str, Any] = {
        "settings": settings,
        "lab": {"name": settings.name, "root": str(paths.root)},
        "node": node,
        "uid": os.getuid(),
        "gid": os.getgid(),
        "service": backends.service,
        **more,
    }
    for source in sources:
        inside = source.relative_to(folder).as_posix()
        origin = source.relative_to(paths.root).as_posix()
        try:
            text = environment.get_template(inside).render(variables)
        except jinja2.TemplateSyntaxError as error:
            raise LabFailed(f"{origin}:{error.lineno}: {error.message}") from None
        except jinja2.UndefinedError as error:
            raise LabFailed(
                f"{origin}: {error.message}",
                f"templates know: {', '.join(variables)}",
            ) from None
        yield inside.removesuffix(".j2"), PlannedFile(text.encode(), _is_executable(source), origin)


def _copies(folder: Path, root: Path) -> Iterator[tuple[str, PlannedFile]]:
    """Every file below `folder`, caches left out; nothing where there is no such folder."""
    for source in sorted(folder.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            yield source.relative_to(folder).as_posix(), _copy(source, root)


def _copy(source: Path, root: Path) -> PlannedFile:
    origin = source.relative_to(root).as_posix()
    try:
        return PlannedFile(source.read_bytes(), _is_executable(source), origin)
    except OSError as error:
        raise LabFailed(
            f"{origin} cannot be read: {error.strerror}", "restore it from the repository"
        ) from None


def _is_executable(source: Path) -> bool:
    return bool(source.stat().st_mode & 0o100)


def _certificates(paths: LabPaths, settings: Settings, environ: Mapping[str, str]) -> bytes:
    """The extra certificates for builds, each once, in PEM; b"" if there are none."""
    chosen = settings.build.ca_certificates
    if chosen:
        file = paths.root / Path(chosen).expanduser()
        found = _CERTIFICATE.findall(_read_bundle(file))
        if not found:
            raise UsageError(
                f"[build] ca_certificates: there is no certificate in {file}",
                "name a file that holds certificates in PEM",
            )
    else:
        files = [Path(environ[name]) for name in CA_VARIABLES if environ.get(name)]
        found = [
            certificate
            for file in files
            if file.is_file()
            for certificate in _CERTIFICATE.findall(file.read_bytes())
        ]
    return b"".join(certificate + b"\n" for certificate in dict.fromkeys(found))


def _read_bundle(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"[build] ca_certificates: {file} cannot be read: {error.strerror}",
            "name a file that holds certificates in PEM",
        ) from None


def compare(planned: Plan, folder: Path) -> list[Rendered]:
    """Tell for each file, planned or present, what rendering would do; nothing is written."""
    present = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() or path.is_symlink()
    }
    results = []
    for path, file in sorted(planned.items()):
        if path not in present:
            results.append(Rendered(path, "new", _diff(path, b"", file.data)))
            continue
        now = present[path].read_bytes()
        same_mode = present[path].stat().st_mode & 0o777 == file.mode
        if now == file.data and same_mode:
            results.append(Rendered(path, "unchanged"))
        else:
            results.append(Rendered(path, "changed", _diff(path, now, file.data)))
    results += [Rendered(path, "removed") for path in present if path not in planned]
    return results


def _diff(path: str, old: bytes, new: bytes) -> str:
    """A unified diff; one line for what is not text."""
    try:
        before, after = old.decode().splitlines(True), new.decode().splitlines(True)
    except UnicodeDecodeError:
        return f"binary file {path} differs\n"
    return "".join(
        line if line.endswith("\n") else line + "\n"
        for line in difflib.unified_diff(before, after, f"a/{path}", f"b/{path}")
    )


def apply(planned: Plan, results: list[Rendered], folder: Path) -> None:
    """Write what `results` call new or changed, and remove what they call removed."""
    for result in results:
        target = folder / result.path
        if result.status == "removed":
            target.unlink()
        elif result.status != "unchanged":
            file = planned[result.path]
            write_atomically(target, file.data, file.mode)
    for directory in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(directory.iterdir()):
            directory.rmdir()


def render(
    paths: LabPaths, settings: Settings, environ: Mapping[str, str], *, dry_run: bool = False
) -> list[Rendered]:
    """Render all nodes into `.lab/rendered/`; return what changed. With `dry_run`, only return."""
    planned = plan(paths, settings, environ)
    results = compare(planned, paths.rendered)
    if not dry_run:
        apply(planned, results, paths.rendered)
    return results


def configuration_hash(folder: Path) -> str:
    """A hash of what is bind-mounted from a node's folder (its `etc/`).

    It is a label of the node's container, so that Compose recreates exactly those nodes whose
    configuration changed.
    """
    digest = hashlib.sha256()
    etc = folder / "etc"
    for file in sorted(path for path in etc.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(etc).as_posix()}\0".encode())
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def compose_environment(settings: Settings, accelerator: str, rendered: Path) -> dict[str, str]:
    """The variables that docker-compose.yml uses; `accelerator` is kvm or tcg once resolved."""
    from lab.engine.accelerator import compose_variables

    configurations = {
        f"LAB_CONFIG_{node.upper()}": configuration_hash(rendered / node) for node in NODES
    }
    return {
        "LAB_NAME": settings.name,
        "COMPOSE_PROJECT_NAME": settings.name,
        "LAB_FRONT_BIND": settings.front.bind,
        "LAB_FRONT_PORT": str(settings.front.port),
        "LAB_DEBIAN_SUITE": settings.debian.suite,
        "LAB_SHARE_NAME": settings.share.name,
        "LAB_SHARE_USER": settings.share.user,
        "LAB_KSMBD_MEMORY": str(settings.ksmbd.memory),
        "LAB_KSMBD_ACCELERATOR": accelerator,
        "LAB_KSMBD_DEBUG": settings.ksmbd.debug,
        **compose_variables(accelerator),
        "LAB_PY_LOG_LEVEL": settings.py.log_level,
        "LAB_UID": str(os.getuid()),
        "LAB_GID": str(os.getgid()),
        **configurations,
    }


def write_compose_environment(paths: LabPaths, settings: Settings, accelerator: str) -> None:
    """Write `.lab/compose.env`, and `.lab/compose.flavours.yml` if there are flavours."""
    variables = compose_environment(settings, accelerator, paths.rendered)
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    write_atomically(paths.compose_env, text.encode())
    if settings.flavours:
        write_atomically(paths.compose_flavours, compose_flavours(paths, settings))
    else:
        paths.compose_flavours.unlink(missing_ok=True)


def compose_flavours(paths: LabPaths, settings: Settings) -> bytes:
    """The part of the topology that lab.toml decides."""
    nodes = []
    for flavour, chosen in settings.flavours.items():
        node = backends.named(flavour)
        own_guest = chosen.kernel_from != "same"
        config = configuration_hash(paths.rendered / node)
        if own_guest:
            config += _file_hash(folders.of_flavour(paths, flavour).guest / folders.STAMP)
        nodes.append(
            {
                "node": node,
                "service": backends.service(node),
                "folder": backends.folder(flavour),
                "memory": settings.ksmbd_of(node).memory,
                "slowness": settings.slowness_of(node),
                "config": config,
                "own_guest": own_guest,
            }
        )
    ((_, file),) = _templates(
        paths, settings, COMPOSE, flavours=nodes, boot_deadline=BOOT_DEADLINE_S
    )
    return file.data


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""
