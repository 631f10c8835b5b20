"""Files and lines for the frames of a report, where there is a binary with debug information.

binutils does the reading: objdump lists the symbols, addr2line turns places into lines, with what
the compiler inlined. Only which question to ask, and what the answers mean, is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lab.crashes.model import Frame

_SYMBOL = re.compile(
    r"^(?P<value>[0-9a-f]+) .{7} (?P<section>\S+)\s+[0-9a-f]+\s+(?:\.hidden )?(?P<name>\S+)$"
)
_IN_TEXT = re.compile(
    r"(?P<function>[A-Za-z_][\w.]*)\+(?P<offset>0x[0-9a-f]+)/0x[0-9a-f]+"
    r"(?: \[(?P<module>\w+)[^\]]*\])?"
)
# A path of the source below a folder that every kernel tree has.
_TREE = re.compile(
    r"(?:^|/)((?:arch|block|crypto|drivers|fs|include|init|io_uring|ipc|kernel|lib|mm|net|security)/.*)"
)

Run = Callable[[Sequence[str]], str]
"""Runs a program of binutils and returns what it printed."""


@dataclass(frozen=True)
class Place:
    """An address as binutils wants it: in a module relative to its section, in a kernel whole."""

    section: str
    address: int


def symbols(listing: str) -> dict[str, Place]:
    """Functions by name, from `objdump --syms`."""
    found = {}
    for line in listing.splitlines():
        if (match := _SYMBOL.match(line)) and match["section"].startswith("."):
            found[match["name"]] = Place(match["section"], int(match["value"], 16))
    return found


def lines_of(binary: str, frames: Sequence[Frame], run: Run) -> dict[Frame, str]:
    """`frame` → "smb2pdu.c:3583", and what was inlined there; frames that are unknown are absent.

    Any frame but one right at a fault is where a call returns to; the call is the byte before.
    """
    table = symbols(run(["objdump", "--syms", binary]))
    places = {
        frame: Place(table[frame.function].section, table[frame.function].address + frame.offset)
        for frame in frames
        if frame.function in table
    }
    found: dict[Frame, str] = {}
    # A module is not linked: each of its sections begins at 0. A kernel is, and addr2line, told a
    # section, would add where that begins once more.
    relative = any(frame.module for frame in frames)
    for section in sorted({place.section for place in places.values()}):
        asked = [frame for frame, place in places.items() if place.section == section]
        addresses = [f"{places[frame].address - 1:#x}" for frame in asked]
        argv = ["addr2line", "--addresses", "--functions", "--inlines", f"--exe={binary}"]
        argv += [f"--section={section}"] if relative else []
        answer = run([*argv, *addresses])
        found.update(zip(asked, _answers(answer), strict=False))
    return {frame: line for frame, line in found.items() if line}


def _answers(text: str) -> list[str]:
    """One line of words for each address that addr2line answers, "" where it knows nothing."""
    answers: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("0x"):
            answers.append([])
        elif answers:
            answers[-1].append(line)
    return [_words(answer) for answer in answers]


def _words(answer: Sequence[str]) -> str:
    """The function's own line first; innermost of what it inlined last."""
    pairs = [(answer[i], source(answer[i + 1])) for i in range(0, len(answer) - 1, 2)]
    if not pairs or pairs[-1][1].startswith("?"):
        return ""
    inlined = [f"{name} {place}" for name, place in reversed(pairs[:-1])]
    return ", inlined ".join([pairs[-1][1], *inlined])


def source(place: str) -> str:
    """A file and line without the folder that it was built in, and without notes."""
    path = place.partition(" (")[0]
    found = _TREE.search(path)
    return found[1] if found else path.rpartition("/")[2]


def frames_in(text: str) -> list[Frame]:
    """Every place that a report names, doubted ones too, each once."""
    return list(dict.fromkeys(_frame(match) for match in _IN_TEXT.finditer(text)))


def annotated(text: str, lines: Mapping[Frame, str]) -> str:
    """The report with the lines beside its frames."""

    def one(line: str) -> str:
        match = _IN_TEXT.search(line)
        words = lines.get(_frame(match)) if match else None
        return f"{line}  ({words})" if words else line

    return "\n".join(one(line) for line in text.splitlines())


def _frame(match: re.Match[str]) -> Frame:
    return Frame(match["function"], int(match["offset"], 16), match["module"] or "")
