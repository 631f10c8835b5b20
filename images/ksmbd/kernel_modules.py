"""Which module files a guest needs, by what the kernel package itself says about them.

`depmod` writes four text tables beside the modules; this reads them:

    modules.dep       path: paths it needs         (hard dependencies, complete)
    modules.softdep   softdep NAME pre: A B post: C (wanted, but the kernel loads without them)
    modules.alias     alias PATTERN NAME           (what request_module() asks for: `crypto-ghash`)
    modules.builtin   path                         (nothing to load)

A fixed list would rot: ghash-generic is a module in one release and gone in the next, cmac moves
into the kernel image. Hard dependencies must resolve; soft ones and aliases may be built in or
absent, which the caller is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath


def module_name(path_or_name: str) -> str:
    """Return the name the kernel knows a module by: no folder, no suffix, `_` for `-`."""
    name = PurePosixPath(path_or_name).name
    return name.split(".ko", 1)[0].replace("-", "_")


class MissingModule(Exception):
    """A module that was asked for by name is neither a file of this kernel nor built in."""


@dataclass(frozen=True)
class Resolution:
    """`load` is in load order, as paths relative to the release's folder."""

    load: tuple[str, ...]
    built_in: tuple[str, ...]
    absent: tuple[str, ...]


@dataclass
class ModuleTables:
    """The tables of one kernel release, parsed."""

    depends: dict[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # name -> paths, nearest first
    paths: dict[str, str] = field(default_factory=dict)  # name -> path
    soft: dict[str, list[str]] = field(default_factory=dict)  # name -> wanted before it
    aliases: list[tuple[str, str]] = field(default_factory=list)  # pattern, name
    built_in: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, release_dir: Path) -> ModuleTables:
        """Read the tables that `depmod` left in `lib/modules/RELEASE`."""

        def lines(name: str) -> Iterator[str]:
            table = release_dir / name
            if table.exists():
                yield from table.read_text(encoding="utf-8").splitlines()

        return cls.parse(
            dep=lines("modules.dep"),
            softdep=lines("modules.softdep"),
            alias=lines("modules.alias"),
            builtin=lines("modules.builtin"),
        )

    @classmethod
    def parse(
        cls,
        *,
        dep: Iterable[str],
        softdep: Iterable[str] = (),
        alias: Iterable[str] = (),
        builtin: Iterable[str] = (),
    ) -> ModuleTables:
        """Parse the four tables; lines that are comments or empty are skipped."""
        tables = cls()
        for line in dep:
            path, colon, needs = line.partition(":")
            if colon:
                name = module_name(path)
                tables.paths[name] = path.strip()
                tables.depends[name] = tuple(needs.split())
        for line in softdep:
            words = line.split()
            if len(words) > 2 and words[0] == "softdep":
                tables.soft.setdefault(module_name(words[1]), []).extend(_wanted_before(words[2:]))
        for line in alias:
            words = line.split()
            if len(words) == 3 and words[0] == "alias":
                tables.aliases.append((words[1], module_name(words[2])))
        tables.built_in.update(module_name(line) for line in builtin if line.strip())
        return tables

    def candidates(self, wanted: str) -> list[str]:
        """Return the modules that `modprobe wanted` would load: one by name, or any by alias."""
        name = module_name(wanted)
        if name in self.paths:
            return [name]
        return [
            module
            for pattern, module in self.aliases
            if module in self.paths and (fnmatchcase(wanted, pattern) or pattern == name)
        ]

    def resolve(self, required: Iterable[str], optional: Iterable[str] = ()) -> Resolution:
        """Order all files to load so that each comes after what it needs and what it wants.

        Raises MissingModule when one of `required` is neither a file nor built in.
        """
        load: list[str] = []
        built_in: list[str] = []
        absent: list[str] = []
        visited: set[str] = set()

        def visit(wanted: str, *, must: bool) -> None:
            name = module_name(wanted)
            if name in visited:
                return
            visited.add(name)
            found = self.candidates(wanted)
            if not found:
                if name in self.built_in:
                    built_in.append(name)
                elif must:
                    raise MissingModule(wanted)
                else:
                    absent.append(wanted)
                return
            for module in found:
                visited.add(module)
                for soft in self.soft.get(module, ()):
                    visit(soft, must=False)
                # modules.dep lists the nearest first; insmod needs the farthest first
                for path in reversed(self.depends[module]):
                    visit(module_name(path), must=True)
                if self.paths[module] not in load:
                    load.append(self.paths[module])

        for wanted in required:
            visit(wanted, must=True)
        for wanted in optional:
            visit(wanted, must=False)
        return Resolution(tuple(load), tuple(built_in), tuple(absent))


def _wanted_before(words: list[str]) -> Iterator[str]:
    """Yield a softdep line's modules; those after `post:` are loaded later, so not by us.

    A line without `pre:` (as cifs has it) is read as kmod's authors meant it: before.
    """
    for word in words:
        if word == "post:":
            return
        if word != "pre:":
            yield word
