"""Every scenario, one file each, in the order of the groups A to H.

A file named like `c02_rename.py` holds one function decorated with `@scenario("C2", ...)`; nothing
else is needed for it to be listed, selected, run and judged.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from lab.errors import UsageError
from lab.scenarios.model import Scenario
from lab.scenarios.script import ScenarioSource

GROUPS = {
    "A": "Wire",
    "B": "Validation",
    "C": "Changes",
    "D": "Handle state",
    "E": "Recursion",
    "F": "Teardown",
    "G": "Cancel",
    "H": "Compound and clients",
}
# One or two of each group: the quick answer to "does notify work at all?", selected by "core".
CORE = ("A1", "A2", "A5", "B1", "B2", "C1", "C2", "D1", "D4", "E1", "E4", "F1", "G1", "H1")


@dataclass(frozen=True)
class Catalogue:
    """Scenarios in order, found by name ("C2"), by group ("C"), or by section cited."""

    scenarios: tuple[Scenario, ...]

    def __iter__(self) -> Iterator[Scenario]:
        return iter(self.scenarios)

    def __len__(self) -> int:
        return len(self.scenarios)

    def select(self, words: Sequence[str]) -> tuple[Scenario, ...]:
        """The scenarios that any of the words names; all of them when there are no words.

        A section is written "MS-SMB2/3.3.5.16" and holds its subsections; "core" is a selection
        over all groups. Raises `UsageError` with the nearest valid names for a word that names
        nothing.
        """
        if not words:
            return self.scenarios
        chosen: set[str] = set()
        for word in words:
            found = {item.name for item in self.scenarios if _names(word, item)}
            if not found:
                raise UsageError(f"No scenario is called {word!r}.", self._suggest(word))
            chosen |= found
        return tuple(item for item in self.scenarios if item.name in chosen)

    def _suggest(self, word: str) -> str:
        names = [item.name for item in self.scenarios]
        sections = sorted({_section(cite) for item in self.scenarios for cite in item.cites})
        near = difflib.get_close_matches(
            word.upper(), [*names, *(s.upper() for s in sections)], n=3, cutoff=0.4
        )
        hint = f"Nearest: {', '.join(near)}. " if near else ""
        groups = " ".join(sorted({name[0] for name in names}))
        return f"{hint}Names: {' '.join(names)}; groups: {groups}; or core."


def _section(cite: str) -> str:
    return cite.replace(" ", "/")


def _names(word: str, item: Scenario) -> bool:
    wanted = word.upper()
    if wanted in (item.name.upper(), item.group) or (wanted == "CORE" and item.name in CORE):
        return True
    sections = [_section(cite).upper() for cite in item.cites]
    return any(s == wanted or s.startswith(wanted + ".") for s in sections) and "/" in wanted


def _order(item: Scenario) -> tuple[str, int, str]:
    match = re.fullmatch(r"([A-Z])(\d+)(\w*)", item.name)
    if match is None:
        raise ValueError(f"{item.name!r} is no scenario name: a letter and a number")
    return match[1], int(match[2]), match[3]


def load() -> Catalogue:
    """Import the files of this package and record every scenario in them."""
    names = [info.name for info in pkgutil.iter_modules(__path__)]
    return _recorded([importlib.import_module(f"{__name__}.{name}") for name in names])


def load_files(paths: Sequence[Path]) -> Catalogue:
    """The scenarios of files that are not part of the catalogue. Raises `UsageError`."""
    try:
        catalogue = _recorded([_imported(path) for path in paths])
    except (OSError, SyntaxError, ImportError, ValueError) as error:
        raise UsageError(f"{' '.join(map(str, paths))}: {error}", "See CONTRIBUTING.md.") from error
    if not len(catalogue):
        raise UsageError(
            f"{' '.join(map(str, paths))}: no function with @scenario(…)", "See CONTRIBUTING.md."
        )
    return catalogue


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scenario_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _recorded(modules: Sequence[ModuleType]) -> Catalogue:
    found = [
        value.record()
        for module in modules
        for value in vars(module).values()
        if isinstance(value, ScenarioSource)
    ]
    names = [item.name for item in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"declared twice: {', '.join(sorted(twice))}")
    return Catalogue(tuple(sorted(found, key=_order)))
