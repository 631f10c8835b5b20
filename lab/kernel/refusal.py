"""Why the kernel did not take a module, in words. Pure: what insmod and the kernel said, in.

A table: what the kernel says → what that means and what to do about it. The kernel's own line is
always shown with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_HEADERS = "build it against this guest's headers: lab ksmbd build"


@dataclass(frozen=True)
class Refusal:
    """`words` is one sentence, `line` what the kernel (or insmod) said, `remedy` what to do."""

    words: str
    line: str
    remedy: str


_RULES: tuple[tuple[str, str, str], ...] = (
    (
        r"version magic '(?P<its>[^']*)' should be '(?P<kernel>[^']*)'",
        "it was built for the kernel {its!r}, but the guest runs {kernel!r}",
        _HEADERS,
    ),
    (
        r"disagrees about version of symbol (?P<symbol>\S+)",
        "{symbols}: the kernel has other versions than the headers it was built against",
        _HEADERS,
    ),
    (
        r"no symbol version for (?P<symbol>\S+)",
        "it was built without the checksums of the kernel's symbols ({symbol})",
        "build it against headers with a complete Module.symvers: lab ksmbd build",
    ),
    (
        r"Unknown symbol (?P<symbol>\S+)",
        "it needs {symbols}, which the guest's kernel does not have or does not export",
        "take a source that fits this kernel, or a flavour whose kernel fits the source",
    ),
    (
        r"(Loading of .* is rejected|Key was rejected|Required key not available)",
        "the kernel takes signed modules only",
        "a flavour whose kernel does not enforce signatures",
    ),
    (
        r"failed to validate module \[\S+\] BTF",
        "its BTF type information does not fit the kernel's",
        "build it against this guest's headers, or without BTF",
    ),
    (
        r"(Cannot allocate memory|[Oo]ut of memory|vmap allocation .* failed)",
        "the guest has no memory left for it",
        "give it more: memory under [ksmbd], or of the flavour, in lab.toml",
    ),
    (
        r"(exports duplicate symbol (?P<symbol>\S+)|File exists)",
        "the kernel has it already, built in or under another name",
        "a flavour whose kernel has ksmbd as a module",
    ),
    (
        r"(?i)(invalid module format|exec format error|invalid ELF)",
        "its format is not this kernel's",
        _HEADERS,
    ),
)


def explain(said: Sequence[str]) -> Refusal:
    """The first rule that fits decides; a module that ends its own init with an error is the rest.

    `said` are lines as `lab-ksmbd reload` prints them: `insmod: …` and `kernel: …`.
    """
    kernel_first = sorted(said, key=lambda line: not line.startswith("kernel:"))
    for pattern, words, remedy in _RULES:
        found = [(line, match) for line in kernel_first if (match := re.search(pattern, line))]
        if found:
            line, match = found[0]
            groups = match.groupdict()
            if "{symbols}" in words:
                groups["symbols"] = ", ".join(dict.fromkeys(m["symbol"] for _, m in found))
            return Refusal(words.format(**groups), _plain(line), remedy)
    last = [line for line in said if line.startswith("kernel:")] or [*said] or ["not a word"]
    line = _plain(last[-1])
    return Refusal(
        "its own start ended with an error", line, "its init function says why: lab ksmbd console"
    )


def _plain(line: str) -> str:
    """Without our mark and the kernel's time."""
    return re.sub(r"^(insmod|kernel): (\[\s*[\d.]+\] )?", "", line).strip()
