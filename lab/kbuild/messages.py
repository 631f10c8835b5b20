"""From what a build in a container says to what the user reads. Pure.

The compiler's own words stay as they are; only the container's paths become the user's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MARK = "LAB "
_WARNING = re.compile(r": warning: ")
_UNDEFINED = re.compile(r'^ERROR: modpost: "(\w+)" \[\S+\] undefined!')
_PROGRESS = re.compile(r"^  [A-Z]{2,9}( \[M\])? +\S+$|^make(\[\d+\])?: (Entering|Leaving) ")
MOST_LINES = 60  # of the compiler's words in an error


@dataclass
class Output:
    """The lines of one build as they come; `paths` maps the container's paths to the user's."""

    paths: Mapping[str, str]
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def take(self, line: str) -> str:
        """Take a line; return it as the user shall see it, "" for one that is for us."""
        if line.startswith(MARK):
            event = json.loads(line.removeprefix(MARK))
            self.events.append(event)
            if event["kind"] == "note":
                self.notes.append(event["text"])
            return ""
        shown = self.translated(line)
        self.lines.append(shown)
        return shown

    def translated(self, text: str) -> str:
        """Replace the container's paths, where a path begins."""
        return translated(text, self.paths)

    def event(self, kind: str) -> dict[str, Any]:
        """The last event of a kind, {} if there was none."""
        return next((event for event in reversed(self.events) if event["kind"] == kind), {})

    @property
    def warnings(self) -> tuple[str, ...]:
        """The compiler's warnings, a line each."""
        return tuple(line for line in self.lines if _WARNING.search(line))

    @property
    def compiler(self) -> list[str]:
        """What the compiler and modpost said, without make's progress."""
        return [line for line in self.lines if line.strip() and not is_progress(line)]


def translated(text: str, paths: Mapping[str, str]) -> str:
    """Replace the container's paths by the user's, in one go: his may contain the container's.

    The longest counts, and only whole components: /linux/ is a path, and a part of include/linux/.
    """
    inside = "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])(?:{inside})(?![\w.-])", lambda found: paths[found[0]], text)


def is_progress(line: str) -> bool:
    """Tell whether a line only says what make is at."""
    return _PROGRESS.match(line) is not None


def explained(output: Output, source: str, release: str) -> tuple[str, str]:
    """Message and remedy of a failed build."""
    failed = output.event("failed")
    what, detail = failed.get("what", ""), failed.get("detail", "")
    if what == "not-ksmbd":
        return f"{source} is no source of ksmbd: {detail}", "give a kernel tree or a ksmbd tree"
    if what == "patch":
        return f"a patch does not apply: {detail}", "nothing was changed; the source is untouched"
    if what == "unreadable":
        return (
            f"the source cannot be read: {output.translated(detail)}",
            "the build runs as you; let yourself read it",
        )
    if what == "versions":
        return (
            f"the module does not fit {release}: symbols differ in their versions\n"
            + _indented(detail.splitlines()),
            "headers and kernel must be of one build: lab up fetches both anew",
        )
    undefined = _undefined(output.lines)
    if undefined:
        names = ", ".join(undefined)
        return (
            f"the kernel {release} has no {names}, which this source uses",
            "the source is for another kernel: build it for a flavour with its own "
            f"(tree = …), or take a source for {release.partition('+')[0]}",
        )
    said = output.compiler[:MOST_LINES]
    if not said:
        return "the build ended without a word", "its log has all of it"
    return "ksmbd.ko was not built:\n" + _indented(said), ""


def _undefined(lines: Iterable[str]) -> list[str]:
    found = (_UNDEFINED.match(line) for line in lines)
    return list(dict.fromkeys(match.group(1) for match in found if match))


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def vermagic_difference(vermagic: str, release: str) -> str:
    """What is wrong with a module's vermagic for a kernel, in words; "" if it fits."""
    built_for = vermagic.split(" ", 1)[0]
    if built_for == release:
        return ""
    return f"the module was built for {built_for}, the flavour's kernel is {release}"
