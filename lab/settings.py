"""The lab's settings: `lab.toml`, environment variables, defaults; each stated once, here.

A field of one of the dataclasses below *is* a setting: its type, default, environment variable,
allowed values and comment stand in it. Reading, validation, and `lab.toml.example` follow from
that. A variable wins over the file, the file over the default.
"""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from lab import backends
from lab.backends import BACKENDS
from lab.declaring import (
    BOOLEAN,
    IPV4_ADDRESS,
    SOURCE,
    SOURCE_WORDS,
    Check,
    Declared,
    between,
    checked,
    declared_in,
    each,
    find,
    matching,
    one_of,
    setting,
    suggestion,
    toml,
)
from lab.errors import UsageError
from lab.flavours import settings as flavours
from lab.flavours.settings import FlavourSettings
from lab.paths import default_name

NODES = ("front", *BACKENDS, "client")  # without flavours; Settings.nodes has them


@dataclass(frozen=True)
class ShareSettings:
    """The share that every server offers, and who may use it."""

    name: str = setting(
        "TEST",
        "LAB_SHARE_NAME",
        matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", "letters, digits, _ and -, at most 80"),
        "The share's name: \\\\ADDRESS\\TEST.",
    )
    user: str = setting(
        "tester",
        "LAB_SHARE_USER",
        Check(
            "a lower-case account name of at most 32 characters, not root",
            lambda value: (
                value != "root" and re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", value) is not None
            ),
        ),
        "The account that clients log on with. Its password is generated: .lab/secrets/password.",
    )

    @property
    def second_user(self) -> str:
        """Another account, for what one user may not see of another's; see password2."""
        return f"{self.user[:31]}2"

    @property
    def brief_user(self) -> str:
        """An account whose sessions expire, where a server can have one; also with password2."""
        return f"{self.user[:31]}3"


@dataclass(frozen=True)
class FrontSettings:
    """The one stable address in front of the servers."""

    bind: str = setting(
        "127.0.0.1",
        "LAB_FRONT_BIND",
        IPV4_ADDRESS,
        "Where the front listens. Anything but 127.0.0.1 opens the lab to the network: a Windows\n"
        "client needs that, and port 445.",
    )
    port: int = setting(1445, "LAB_FRONT_PORT", between(1, 65535), "The port of the front.")
    address: str = setting(
        "",
        "LAB_FRONT_ADDRESS",
        matching(r"[A-Za-z0-9.:-]{0,253}", "a host name or an address; empty means: as bind"),
        "What a Windows client types after \\\\ (lab switch prints the lines with it).",
    )
    backend: str = setting(
        "samba",
        "LAB_FRONT_BACKEND",
        matching(
            rf"samba|py|ksmbd(@{backends.FLAVOUR})?", f"{' | '.join(BACKENDS)} | ksmbd@FLAVOUR"
        ),
        "The server that is active after the first `lab up`; later, `lab switch` decides.",
    )

    @property
    def client_address(self) -> str:
        """What a client on another machine types."""
        return self.address or self.bind


@dataclass(frozen=True)
class DebianSettings:
    """The distribution inside the containers and the guest."""

    suite: str = setting(
        "trixie",
        "LAB_DEBIAN_SUITE",
        matching(r"[a-z]+", "a Debian code name, as trixie or sid"),
        "Samba, ksmbd-tools and the guest's kernel come from this suite.",
    )
    mirror: str = setting(
        "",
        "LAB_DEBIAN_MIRROR",
        matching(
            r"(https?://[^\s\"'\\]+)?", "a http:// or https:// address; empty: see the comment"
        ),
        "The mirror to install from. Empty: the one that this host's own apt uses, and where\n"
        "there is none http://deb.debian.org/debian.",
    )


@dataclass(frozen=True)
class KsmbdSettings:
    """The ksmbd node: a small virtual machine in a container."""

    kernel: str = setting(
        "cloud-amd64",
        "LAB_KSMBD_KERNEL",
        matching(r"[a-z0-9][a-z0-9.+-]*", "a Debian kernel flavour: the X of linux-image-X"),
        "The guest's kernel: Debian's linux-image-<this>.",
    )
    memory: int = setting(
        256, "LAB_KSMBD_MEMORY", between(128, 65536), "The guest's memory in MiB."
    )
    accelerator: str = setting(
        "auto",
        "LAB_KSMBD_ACCELERATOR",
        one_of("auto", "kvm", "tcg"),
        "How the guest runs: kvm (hardware), tcg (emulated), or auto: kvm if a probe boots so.",
    )
    debug: str = setting(
        "",
        "LAB_KSMBD_DEBUG",
        matching(
            r"((all|smb|auth|vfs|oplock|ipc|conn|rdma)( |$))*",
            "all, or any of smb auth vfs oplock ipc conn rdma; empty: none",
        ),
        "The debug classes that the module logs (ksmbd.control --debug).",
    )
    tools_source: str = setting(
        "debian",
        "LAB_KSMBD_TOOLS_SOURCE",
        matching(SOURCE, f"debian | {SOURCE_WORDS}"),
        "Where ksmbd-tools come from; anything but Debian's is built by `lab ksmbd tools`.",
    )


@dataclass(frozen=True)
class SambaSettings:
    """The samba node: smbd."""

    source: str = setting(
        "debian",
        "LAB_SAMBA_SOURCE",
        matching(f"debian-source|{SOURCE}", f"debian | debian-source | {SOURCE_WORDS}"),
        "Which smbd: Debian's package, or one that `lab samba build` builds: from Debian's source\n"
        "package, from a git repository, or from a folder of yours (which is only read).",
    )
    patches: tuple[str, ...] = setting(
        (),
        "LAB_SAMBA_PATCHES",
        each(r"[^\0\n]+", "paths of patches"),
        "Patches for that source, applied in this order (git format-patch or diff -u, -p1).",
    )
    configure: tuple[str, ...] = setting(
        (),
        "LAB_SAMBA_CONFIGURE",
        each(r"-[^\0\n]*", "options of Samba's ./configure, as --with-profiling-data"),
        "Options for ./configure after the lab's own; a later one wins.",
    )
    log_level: str = setting(
        "1",
        "LAB_SAMBA_LOG_LEVEL",
        matching(
            r"(\d+|[a-z0-9_]+:\d+)( [a-z0-9_]+:\d+)*", 'a level and classes, as "1 notify:10"'
        ),
        'smb.conf\'s "log level".',
    )
    kernel_change_notify: bool = setting(
        True,
        "LAB_SAMBA_KERNEL_CHANGE_NOTIFY",
        BOOLEAN,
        'smb.conf\'s "kernel change notify": whether smbd sees changes made beside it (inotify).',
    )


@dataclass(frozen=True)
class PySettings:
    """The py node: notify_server."""

    log_level: str = setting(
        "info",
        "LAB_PY_LOG_LEVEL",
        matching(
            r"(debug|info|warning|error)( [a-z_.]+:(debug|info|warning|error))*",
            'debug | info | warning | error, and such for classes, as "info fs:debug"',
        ),
        "What notify_server logs. Its classes: notify, request, session,\nconnection, fs, jobs.",
    )


@dataclass(frozen=True)
class EngineSettings:
    """The container engine."""

    install: str = setting(
        "auto",
        "LAB_INSTALL_ENGINE",
        one_of("auto", "never"),
        "Whether `lab up` may install the distribution's Docker engine where there is none (root).",
    )


@dataclass(frozen=True)
class BuildSettings:
    """Building the images."""

    ca_certificates: str = setting(
        "",
        "LAB_CA_CERTIFICATES",
        matching(
            r"[^\n\0]*", "the path of a file with certificates in PEM; empty: see the comment"
        ),
        "Certificates that builds trust besides Debian's (a proxy that inspects TLS). Empty: what\n"
        "PIP_CERT, REQUESTS_CA_BUNDLE, SSL_CERT_FILE and CURL_CA_BUNDLE of this host name.",
    )


@dataclass(frozen=True)
class Settings:
    """All settings of one lab, validated."""

    name: str = setting(
        "",
        "LAB_NAME",
        matching(r"([a-z0-9][a-z0-9_-]{0,39})?", "lower-case letters, digits, - and _, at most 40"),
        "The lab's name, in front of its containers' names. Empty: notify-lab- and a hash of this\n"
        "folder's path, so that two checkouts do not disturb each other.",
    )
    share: ShareSettings = field(default_factory=ShareSettings)
    front: FrontSettings = field(default_factory=FrontSettings)
    debian: DebianSettings = field(default_factory=DebianSettings)
    ksmbd: KsmbdSettings = field(default_factory=KsmbdSettings)
    samba: SambaSettings = field(default_factory=SambaSettings)
    py: PySettings = field(default_factory=PySettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    build: BuildSettings = field(default_factory=BuildSettings)
    # `[flavours.NAME]`: read, checked and shown in the example by lab.flavours.settings
    flavours: Mapping[str, FlavourSettings] = field(
        default_factory=lambda: MappingProxyType({}), metadata={"table": True}
    )

    @property
    def backends(self) -> tuple[str, ...]:
        """Every server under test, flavours of ksmbd included, in the order of the columns."""
        return backends.with_flavours(self.flavours)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node of this lab."""
        return ("front", *self.backends, "client")

    def slowness_of(self, backend: str) -> int:
        """What a backend's deadlines are multiplied by because of its kernel."""
        flavour = self.flavours.get(backends.flavour(backend))
        return flavour.times_slower if flavour else 1

    def ksmbd_of(self, backend: str) -> KsmbdSettings:
        """What holds for one ksmbd node: [ksmbd], and over it what its flavour says."""
        flavour = self.flavours.get(backends.flavour(backend))
        if flavour is None:
            return self.ksmbd
        return replace(
            self.ksmbd,
            kernel=flavour.kernel or self.ksmbd.kernel,
            memory=flavour.memory_wanted or self.ksmbd.memory,
            debug=flavour.debug or self.ksmbd.debug,
        )


def _sections() -> dict[str, type]:
    hints = get_type_hints(Settings)
    return {"": Settings} | {
        entry.name: hints[entry.name] for entry in fields(Settings) if not entry.metadata
    }


SECTIONS: Mapping[str, type] = _sections()
DECLARED: tuple[Declared, ...] = tuple(
    declared for section, owner in SECTIONS.items() for declared in declared_in(section, owner)
)


def load(root: Path, environ: Mapping[str, str]) -> Settings:
    """Read lab.toml (if there is one) and the environment; raise UsageError naming the key."""
    file = root / "lab.toml"
    values = _from_file(file) if file.exists() else {}
    values |= _from_environment(environ)
    settings = Settings(flavours=values.pop(FLAVOURS, MappingProxyType({})))
    for (section, key), value in values.items():
        if section:
            settings = replace(
                settings, **{section: replace(getattr(settings, section), **{key: value})}
            )
        else:
            settings = replace(settings, **{key: value})
    _check_backend(settings)
    return settings if settings.name else replace(settings, name=default_name(root))


def _check_backend(settings: Settings) -> None:
    chosen = settings.front.backend
    if chosen not in settings.backends:
        raise UsageError(
            f"[front] backend = {chosen!r}: there is no [flavours.{backends.flavour(chosen)}]",
            suggestion(chosen, settings.backends, "servers"),
        )


FLAVOURS = ("", "flavours")  # where `Values` has all of them together
Values = dict[tuple[str, str], Any]


def _from_file(file: Path) -> Values:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not valid TOML: {error}", "compare lab.toml.example") from None
    return from_document(document, str(file))


def from_document(document: Mapping[str, Any], source: str) -> Values:
    """Validate a parsed lab.toml; `source` is named in errors."""
    values: Values = {}
    for name, content in document.items():
        if name == "flavours":
            values[FLAVOURS] = flavours.from_document(content, source)
        elif name in SECTIONS and name:
            if not isinstance(content, Mapping):
                raise UsageError(
                    f"{source}: {name} is a section, not a value", f"write [{name}] and keys below"
                )
            for key, value in content.items():
                values[name, key] = checked(_find(name, key, source), value, source)
        else:
            values["", name] = checked(_find("", name, source), content, source)
    return values


def _find(section: str, key: str, source: str) -> Declared:
    """Return the declaration of a key; an unknown one raises with the nearest and all others."""
    declared = [entry for entry in DECLARED if entry.section == section]
    if section or key in (entry.key for entry in declared):
        return find(declared, key, source)
    candidates = [*(entry.key for entry in declared), *(s for s in SECTIONS if s), "flavours"]
    raise UsageError(
        f"{source}: unknown key or section {key!r}", suggestion(key, candidates, "allowed")
    )


_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _from_environment(environ: Mapping[str, str]) -> Values:
    """Read the variables that are set and not empty; "" means: not set."""
    values: Values = {}
    for declared in DECLARED:
        text = environ.get(declared.env, "")
        if text:
            value = _converted(declared.kind, text)
            source = f"environment variable {declared.env}"
            values[declared.section, declared.key] = checked(declared, value, source)
    return values


def _converted(kind: type, text: str) -> Any:
    """Text of a variable as `kind`; what cannot be converted stays text, and is refused."""
    if kind is int and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind is bool:
        return _BOOLEANS.get(text.lower(), text)
    if kind is tuple:
        try:
            return tuple(shlex.split(text))
        except ValueError:  # a quotation that does not end
            return text
    return text


OTHER_VARIABLES = {"LAB_ROOT", "LAB_DEBUG", "LAB_WATCH_PASSWORD"}  # read, but no settings


def unknown_variables(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """LAB_* variables that nothing reads, each with the nearest one that is read ("" if none)."""
    known = {declared.env for declared in DECLARED} | OTHER_VARIABLES
    strange = sorted(name for name in environ if name.startswith("LAB_") and name not in known)
    return [(name, next(iter(difflib.get_close_matches(name, known, n=1)), "")) for name in strange]


def example() -> str:
    """The text of lab.toml.example: every setting with its comment, default and variable."""
    lines = [
        "# Settings of the lab. Copy to lab.toml and change what you need; all of it is optional.",
        "# An environment variable (named after each setting) wins over this file.",
    ]
    for section, owner in SECTIONS.items():
        lines.append("")
        if section:
            lines += [f"# {owner.__doc__}", f"[{section}]"]
        for declared in declared_in(section, owner):
            lines += [f"# {line}" for line in declared.comment.splitlines()]
            lines += [
                f"# Allowed: {declared.check.allowed}.",
                f"# Variable: {declared.env}.",
                f"#{declared.key} = {toml(declared.default)}",
            ]
    return "\n".join([*lines, "", *flavours.example()]) + "\n"
