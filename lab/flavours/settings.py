"""`[flavours.NAME]` of lab.toml: what one more ksmbd node, `ksmbd@NAME`, runs.

A flavour has one kernel: Debian's (`suite`, `kernel`), one that exists (`image` and `modules`), or
one that is built (`tree`). Without any of these it has the kernel of [ksmbd], and is there for
another module (`source`, `patches`) or other settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from lab.backends import FLAVOUR, FLAVOUR_WORDS
from lab.declaring import (
    Check,
    Declared,
    between,
    checked,
    declared_in,
    each,
    find,
    matching,
    setting,
    toml,
)
from lab.errors import UsageError

Kernel = Literal["same", "debian", "image", "tree"]

PATH = r"[^\n\0]*"
DEBUG = "debug"  # may stand for a whole `config`
DEBUG_SLOWNESS = 5  # KASAN and lockdep, emulated
DEBUG_MEMORY = 1024
DEBIAN_SOURCE = "debian"  # as `tree` or `source`: linux-source of the flavour's suite


@dataclass(frozen=True)
class FlavourSettings:
    """One more ksmbd node."""

    suite: str = setting(
        "",
        "",
        matching(r"[a-z]*", "a Debian code name, as sid"),
        "A Debian suite to take the kernel from.",
    )
    kernel: str = setting(
        "",
        "",
        matching(r"([a-z0-9][a-z0-9.+-]*)?", "a Debian kernel flavour: the X of linux-image-X"),
        "Debian's linux-image-<this>. Empty: as under [ksmbd].",
    )
    image: str = setting(
        "",
        "",
        matching(PATH, "the path of a bzImage"),
        "A kernel that you built: its bzImage, together with `modules`.",
    )
    modules: str = setting(
        "",
        "",
        matching(PATH, "the path of a lib/modules/RELEASE, or of a folder that contains one"),
        "Its modules: lib/modules/RELEASE as `make modules_install` leaves it.",
    )
    tree: str = setting(
        "",
        "",
        matching(PATH, f'the path of a kernel source tree, or "{DEBIAN_SOURCE}"'),
        f'A kernel source tree to build kernel and modules from; "{DEBIAN_SOURCE}": Debian\'s own.',
    )
    config: tuple[str, ...] = setting(
        (),
        "",
        each(r"[^\n\0]+", 'paths of config fragments, or names of those shipped ("debug")'),
        "With `tree`: fragments of kernel configuration, applied in this order.",
    )
    source: str = setting(
        "",
        "",
        matching(PATH, f'the path of a kernel tree or a ksmbd tree, or "{DEBIAN_SOURCE}"'),
        "Where `lab ksmbd build` takes the module from, unless --src says otherwise.",
    )
    patches: tuple[str, ...] = setting(
        (),
        "",
        each(r"[^\n\0]+", "paths of patches"),
        "Patches for the module's source, in this order; the source itself stays as it is.",
    )
    memory: int = setting(
        0,
        "",
        Check(
            "an integer from 128 to 65536; 0: as under [ksmbd]",
            lambda value: value == 0 or between(128, 65536).accepts(value),
        ),
        'The guest\'s memory in MiB. 0: as under [ksmbd], with config = "debug" 1024.',
    )
    slowness: int = setting(
        0,
        "",
        between(0, 100),
        'What deadlines are multiplied by. 0: 1, and 5 if `config` has "debug".',
    )
    debug: str = setting(
        "",
        "",
        matching(
            r"((all|smb|auth|vfs|oplock|ipc|conn|rdma)( |$))*",
            "all, or any of smb auth vfs oplock ipc conn rdma; empty: as under [ksmbd]",
        ),
        "The debug classes that the module logs.",
    )

    @property
    def times_slower(self) -> int:
        """Than a guest whose kernel checks nothing."""
        return self.slowness or (DEBUG_SLOWNESS if DEBUG in self.config else 1)

    # of a temporary flavour: the one whose kernel it has ("" is the default one's)
    copied_from: str = ""

    @property
    def memory_wanted(self) -> int:
        """The guest's memory in MiB, 0 where [ksmbd] decides: KASAN keeps an eighth for itself."""
        return self.memory or (DEBUG_MEMORY if DEBUG in self.config else 0)

    @property
    def kernel_from(self) -> Kernel:
        """Where the kernel comes from."""
        if self.tree:
            return "tree"
        if self.image:
            return "image"
        return "debian" if self.suite or self.kernel else "same"


def declared(name: str) -> list[Declared]:
    """The keys of one flavour's section."""
    return list(declared_in(f"flavours.{name}", FlavourSettings))


def from_document(content: Any, source: str) -> Mapping[str, FlavourSettings]:
    """Validate `[flavours.*]` of a parsed lab.toml; `source` is named in errors."""
    if not isinstance(content, Mapping):
        raise UsageError(
            f"{source}: flavours is a section, not a value", "write [flavours.NAME] and keys below"
        )
    return MappingProxyType(
        {name: _flavour(name, section, source) for name, section in content.items()}
    )


def _flavour(name: str, section: Any, source: str) -> FlavourSettings:
    if re.fullmatch(FLAVOUR, name) is None:
        raise UsageError(
            f"{source}: {name!r} is no name for a flavour", f"allowed: {FLAVOUR_WORDS}"
        )
    if name == "ksmbd":
        raise UsageError(
            f"{source}: a flavour cannot be named ksmbd, which is the node without one",
            "its settings stand under [ksmbd]",
        )
    if not isinstance(section, Mapping):
        raise UsageError(
            f"{source}: flavours.{name} is a section, not a value",
            f"write [flavours.{name}] and keys below",
        )
    known = declared(name)
    if section.get("config") == DEBUG:
        section = {**section, "config": [DEBUG]}
    values = {
        key: checked(find(known, key, source), value, source) for key, value in section.items()
    }
    settings = FlavourSettings(**values)
    for problem, remedy in _contradictions(settings):
        raise UsageError(f"{source}: [flavours.{name}] {problem}", remedy)
    return settings


def _contradictions(settings: FlavourSettings) -> Iterable[tuple[str, str]]:
    """What cannot be meant; each with its remedy."""
    if bool(settings.image) != bool(settings.modules):
        has, lacks = ("image", "modules") if settings.image else ("modules", "image")
        yield f"has {has} but no {lacks}", "a kernel of your own needs both"
    chosen = [
        key
        for key, given in (
            ("suite", settings.suite and settings.tree != DEBIAN_SOURCE),
            ("kernel", settings.kernel),
            ("image", settings.image),
            ("tree", settings.tree),
        )
        if given
    ]
    if len(chosen) > 1 and chosen != ["suite", "kernel"]:
        yield (
            f"has several kernels: {', '.join(chosen)}",
            "keep suite and kernel (Debian's), or image and modules, or tree",
        )
    if settings.config and not settings.tree:
        yield (
            "has config but no tree to configure",
            f'add tree = "/path/to/linux", or tree = "{DEBIAN_SOURCE}"',
        )


def example() -> list[str]:
    """The lines of lab.toml.example about flavours; all are comments."""
    lines = [
        "# Flavours: further ksmbd nodes, named ksmbd@NAME, each with a kernel or a module of its",
        "# own, side by side with the others. Any number of sections, for example:",
        "#",
        "# [flavours.sid]",
        '# suite = "sid"',
        "#",
        "# [flavours.mine]",
        '# source = "/home/me/linux"',
        "#",
        "# All keys of such a section (docs/flavours.md explains):",
    ]
    for entry in declared("NAME"):
        lines.append("#")
        lines += [f"# {line}" for line in entry.comment.splitlines()]
        lines += [f"# Allowed: {entry.check.allowed}.", f"# {entry.key} = {toml(entry.default)}"]
    return lines
