"""ksmbd's debug classes: which there are, which are on, and what has to be toggled. Pure.

`/sys/class/ksmbd-control/debug` reads `[smb] auth vfs …`, those in brackets being on; writing a
class's name to it toggles that class (and so does `ksmbd.control --debug`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.declaring import suggestion
from lab.errors import UsageError

PATH = "/sys/class/ksmbd-control/debug"
ON, OFF = "on", "off"


def parse(text: str) -> dict[str, bool]:
    """Every class and whether it is on, in the module's order."""
    return {word.strip("[]"): word.startswith("[") for word in text.split()}


def wanted(words: Sequence[str], known: Sequence[str]) -> set[str]:
    """The classes that shall be on: all (`on`), none (`off`), or those named."""
    named = [part for word in words for part in word.replace(",", " ").split()]
    if ON in named or OFF in named:
        if len(named) > 1:
            raise UsageError(
                f"{' '.join(named)}: on and off stand alone", "or name the classes: smb vfs"
            )
        return set(known) if named == [ON] else set()
    for name in named:
        if name not in known:
            raise UsageError(
                f"ksmbd has no debug class {name!r}", suggestion(name, [ON, OFF, *known], "allowed")
            )
    return set(named)


def toggles(state: Mapping[str, bool], wanted: set[str]) -> list[str]:
    """The classes to toggle to get from one to the other."""
    return [name for name, on in state.items() if on != (name in wanted)]
