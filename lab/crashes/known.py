"""Reports that are known, and why: `known.toml` beside this file.

    [[known]]
    fingerprint = "bug: smb2_open+0x1b5 < handle_ksmbd_work+0x16e < process_one_work+0x179"
    reason = "..."                      # one line
    link = "..."

    [[known]]
    kind = "warning"                    # optional
    pattern = "in smb2_open: list_add"  # regular expression, found in title or functions
    reason = "..."
    link = "..."

A known report is told, and fails nothing. A fingerprint holds offsets and so names one build; a
pattern holds for every build, and is to be written as narrowly as what is known.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.crashes.model import Crash, Kind
from lab.errors import UsageError

FILE = Path(__file__).with_name("known.toml")


@dataclass(frozen=True)
class Known:
    """One entry; exactly one of `fingerprint` and `pattern` is set."""

    reason: str
    link: str
    fingerprint: str = ""
    pattern: str = ""
    kind: Kind | None = None

    def explains(self, crash: Crash) -> bool:
        if self.kind is not None and self.kind is not crash.kind:
            return False
        if self.fingerprint:
            return self.fingerprint == crash.fingerprint
        return any(re.search(self.pattern, words) for words in (crash.title, crash.functions))


@dataclass(frozen=True)
class Identified:
    """A report, and the entry that explains it, if one does."""

    crash: Crash
    known: Known | None = None

    @property
    def words(self) -> str:
        """One line for a reason."""
        return f"kernel: {self.crash.title}"


def identify(crashes: Iterable[Crash], known: Sequence[Known]) -> tuple[Identified, ...]:
    return tuple(
        Identified(crash, next((entry for entry in known if entry.explains(crash)), None))
        for crash in crashes
    )


def load(path: Path = FILE) -> tuple[Known, ...]:
    """Raises `UsageError` if the file is not as documented above."""
    try:
        return parse(tomllib.loads(path.read_text("utf-8")))
    except (OSError, tomllib.TOMLDecodeError, re.error, TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}", "See lab/crashes/known.py.") from error


def parse(plain: Mapping[str, Any]) -> tuple[Known, ...]:
    """Raises TypeError or ValueError on anything that is not as documented above."""
    unknown = set(plain) - {"known"}
    if unknown:
        raise ValueError(f"unknown table {sorted(unknown)[0]!r}")
    return tuple(_entry(dict(table)) for table in plain.get("known", []))


def _entry(table: dict[str, Any]) -> Known:
    if ("fingerprint" in table) == ("pattern" in table):
        raise ValueError(f"{table}: one of `fingerprint` and `pattern` is needed")
    if "kind" in table:
        table["kind"] = Kind(table["kind"])
    entry = Known(**table)
    re.compile(entry.pattern)
    if not entry.reason.strip() or not entry.link.strip():
        raise ValueError(f"{table}: a reason and a link are needed")
    return entry
