"""What is compared: a flavour that runs, or a revision of a git tree. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from lab import backends
from lab.declaring import suggestion
from lab.errors import UsageError

RANGE = re.compile(r"^(?P<start>[^.].*?)(?<!\.)\.\.(?!\.)(?P<end>.*)$")


@dataclass(frozen=True)
class Side:
    """`flavour` for a node that runs ("" the default one), `revision` for a commit to be built."""

    word: str
    flavour: str = ""
    revision: str = ""

    @property
    def is_revision(self) -> bool:
        return bool(self.revision)

    @property
    def backend(self) -> str:
        """The node of a flavour."""
        return backends.named(self.flavour)


@dataclass(frozen=True)
class Plan:
    """Base, candidate, and with `each` the range whose every commit is a candidate."""

    base: Side
    candidate: Side
    range: str = ""


def parse(word: str, option: str, flavours: Collection[str], *, in_tree: bool) -> Side:
    """Read `--base` or `--candidate`: `ksmbd`, `ksmbd@sid`, `sid`; with --src also a revision."""
    if not word:
        raise UsageError(
            f"{option} is missing", "lab gate --base ksmbd --candidate HEAD --src ~/linux"
        )
    flavour = backends.flavour(word) or word
    if word == backends.KSMBD:
        return Side(word)
    if flavour in flavours:
        return Side(word, flavour=flavour)
    if backends.flavour(word) or not in_tree:
        known = [backends.KSMBD, *flavours]
        remedy = "" if backends.flavour(word) else "; a revision of a git tree needs --src DIR"
        raise UsageError(
            f"{option} {word}: there is no such flavour",
            suggestion(flavour, known, "flavours") + remedy,
        )
    return Side(word, revision=word)


def plan(
    base: str, candidate: str, flavours: Collection[str], *, in_tree: bool, each: bool
) -> Plan:
    """What the options ask for; `--candidate A..B --each` takes A as the base if none is given."""
    match = RANGE.match(candidate)
    if match and not each:
        raise UsageError(f"--candidate {candidate} is a range", "add --each, or name one commit")
    if each:
        if not match or not in_tree:
            raise UsageError(
                "--each wants a range of commits of a git tree",
                "lab gate --src ~/linux --candidate v6.12..HEAD --each",
            )
        start, end = match["start"], match["end"] or "HEAD"
        first = parse(base or start, "--base", flavours, in_tree=True)
        return Plan(first, Side(end, revision=end), f"{start}..{end}")
    sides = Plan(
        parse(base, "--base", flavours, in_tree=in_tree),
        parse(candidate, "--candidate", flavours, in_tree=in_tree),
    )
    built = sides.base.is_revision or sides.candidate.is_revision
    if not built and sides.base.backend == sides.candidate.backend:
        raise UsageError(f"--base and --candidate are both {base}", "compare two of them")
    return sides
