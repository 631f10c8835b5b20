"""How a setting is declared and checked: what `lab.settings` and `lab.flavours.settings` share.

A field of a dataclass *is* a setting: its type, default, environment variable, allowed values and
comment stand in it. Pure.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Any, get_origin, get_type_hints

from lab.errors import UsageError


@dataclass(frozen=True)
class Check:
    """What a value must be: a test, and the words that say so in errors and in the example."""

    allowed: str
    accepts: Callable[[Any], bool]


def one_of(*values: str) -> Check:
    """One of these words."""
    return Check(" | ".join(values), values.__contains__)


def matching(pattern: str, allowed: str) -> Check:
    """Text that `pattern` matches as a whole."""
    return Check(allowed, lambda value: re.fullmatch(pattern, value) is not None)


def between(low: int, high: int) -> Check:
    """An integer in this range."""
    return Check(f"an integer from {low} to {high}", lambda value: low <= value <= high)


def _is_address(value: str) -> bool:
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        return False
    return True


def each(pattern: str, allowed: str) -> Check:
    """A list of texts, each of which `pattern` matches as a whole."""
    return Check(
        f"a list of {allowed}; a variable's words are split as a shell does",
        lambda values: all(
            isinstance(value, str) and re.fullmatch(pattern, value) for value in values
        ),
    )


# `git:` takes what git clone takes; the reference is a branch, a tag or a commit. The user in
# git@host:x.git and ssh://git@host/x.git is no address with a reference behind it.
REPOSITORY = r"git:(?![a-z+]+://[^/\s]*@[^@\s]*$)[^\s@]\S*@[^\s@:]+"
SOURCE = rf"debian|{REPOSITORY}|(/|~/|\.{{1,2}}/)[^\n\0]*"
SOURCE_WORDS = "git:URL@REF | a folder: /path, ~/path or ./path"

BOOLEAN = Check("true | false", lambda value: isinstance(value, bool))
IPV4_ADDRESS = Check("an IPv4 address of this host, or 0.0.0.0 for all", _is_address)


def setting(default: Any, env: str, check: Check, comment: str) -> Any:
    """Declare one setting; the field's annotation gives its type."""
    return field(default=default, metadata={"env": env, "check": check, "comment": comment})


@dataclass(frozen=True)
class Declared:
    """One declared setting: where it stands, and what its field says of it."""

    section: str  # "" for the top level
    key: str
    kind: type
    default: Any
    env: str
    check: Check
    comment: str

    @property
    def where(self) -> str:
        """How errors and people name it: `[front] port`, or `name`."""
        return f"[{self.section}] {self.key}" if self.section else self.key


def declared_in(section: str, owner: type) -> Iterable[Declared]:
    hints = get_type_hints(owner)
    for entry in fields(owner):
        if "env" in entry.metadata:
            yield _declare(section, entry, hints[entry.name])


def _declare(section: str, entry: Field[Any], kind: type) -> Declared:
    # `tuple[str, ...]`, a list in TOML, is checked as a tuple
    return Declared(section, entry.name, get_origin(kind) or kind, entry.default, **entry.metadata)


def find(declared: Iterable[Declared], key: str, source: str) -> Declared:
    """Return a section's declaration of `key`; an unknown one raises with the nearest and all."""
    known = {entry.key: entry for entry in declared}
    if key in known:
        return known[key]
    section = next(iter(known.values())).section
    raise UsageError(f"{source}: [{section}] has no key {key!r}", suggestion(key, known, "allowed"))


def suggestion(word: str, candidates: Iterable[str], label: str) -> str:
    """Return `did you mean "x"? LABEL: a, b, c`, the question only where one is near."""
    candidates = list(candidates)
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    question = f"did you mean {near[0]!r}? " if near else ""
    return f"{question}{label}: {', '.join(candidates)}"


def checked(declared: Declared, value: Any, source: str) -> Any:
    """Return the value; raise UsageError naming source, key, value and what is allowed."""
    if declared.kind is tuple and isinstance(value, list):
        value = tuple(value)
    # bool is an int to Python: a port of `true` must not pass.
    right_type = type(value) is declared.kind
    if right_type and declared.check.accepts(value):
        return value
    shown = toml(value) if isinstance(value, bool | tuple) else repr(value)
    quotes = "text in quotes: " if declared.kind is str and not isinstance(value, str) else ""
    raise UsageError(
        f"{source}: {declared.where} = {shown} is not allowed",
        f"allowed: {quotes}{declared.check.allowed}",
    )


def toml(value: Any) -> str:
    """Return a value as lab.toml has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return str(value) if isinstance(value, int) else '"' + str(value).replace("\\", "\\\\") + '"'
