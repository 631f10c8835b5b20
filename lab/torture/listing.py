"""The subtests that there are, by the names that smbtorture itself lists; choosing from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from lab.declaring import suggestion
from lab.errors import UsageError
from lab.scenarios.model import Scenario

# What rests on CHANGE_NOTIFY, or on what a parked request rests on: compounds, credits, sessions.
# No test that needs Kerberos.
DEFAULT_PATTERNS = (
    "smb2.notify",
    "smb2.notify-inotify",
    "smb2.change_notify_disabled",
    "smb2.compound.related[789]",
    "smb2.compound.interim[123]",
    "smb2.credits.*notify_max_async_credits",
    "smb2.credits.multichannel_max_async_credits",
    "smb2.session.reconnect*",
    "smb2.session.reauth*",
    "smb2.session.signing-*",
    "smb2.session.encryption-*",
)
NOTIFY_OFF_SHARE = "NOTIFY_OFF"
SHARES = {"smb2.change_notify_disabled": NOTIFY_OFF_SHARE}  # suites that need a share of their own
PREFIX = "smb2."
DEADLINE_S = 60.0
DEADLINES_S = {"smb2.notify.mask": 180.0}  # waits for 100 s
_GLOB = frozenset("*?[")
_BANNER = "smbtorture "  # the first line: its version


@dataclass(frozen=True)
class Subtest(Scenario):
    """A row of the matrix: nothing is recorded in it, smbtorture knows what to do."""

    evidence: ClassVar[str] = "smbtorture.txt"

    @property
    def group(self) -> str:
        """The suite: `smb2.notify` of `smb2.notify.dir`."""
        return self.name.rpartition(".")[0]


def subtest(name: str) -> Subtest:
    """The row of one subtest."""
    return Subtest(
        name=name,
        title="",
        about="",
        cites=(),
        rests_on="smbtorture",
        provisional=False,
        steps=(),
        expectations=(),
    )


def share_of(name: str, default: str) -> str:
    """The share that a subtest runs on."""
    return next((share for suite, share in SHARES.items() if _within(name, suite)), default)


def deadline_of(name: str) -> float:
    """Seconds that a subtest may take on a server that is not emulated."""
    return DEADLINES_S.get(name, DEADLINE_S)


def parse_list(text: str) -> list[str]:
    """The names of `smbtorture --list`, in its order, each once.

    It prints `smb2.notify.dir.dir`: test case and test, which are one for most. `smb2.notify.dir`
    names the same, and is what people and Samba's own lists write.
    """
    lines = (line.strip() for line in text.splitlines())
    names = (_without_echo(line) for line in lines if line and not line.startswith(_BANNER))
    return list(dict.fromkeys(names))


def _without_echo(name: str) -> str:
    for at, letter in enumerate(name):
        if letter == "." and name[:at].endswith(name[at:]):
            return name[:at]
    return name


def select(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Those of `names` that a pattern means, in the order of `names`; none: the default ones.

    A pattern is a name, a suite, or has `*`, `?` or `[…]` in it; `smb2.` may be left out. Raises
    UsageError for one that means nothing. (A default that this smbtorture lacks is left out.)
    """
    wanted: set[str] = set()
    for pattern in patterns or DEFAULT_PATTERNS:
        found = _matching(names, pattern) or _matching(names, PREFIX + pattern)
        if patterns and not found:
            raise _unknown(names, pattern)
        wanted.update(found)
    return [name for name in names if name in wanted]


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    if _GLOB & set(pattern):
        return [name for name in names if fnmatchcase(name, pattern)]
    return [name for name in names if _within(name, pattern)]


def _within(name: str, suite: str) -> bool:
    return name == suite or name.startswith(suite + ".")


def _unknown(names: Sequence[str], pattern: str) -> UsageError:
    """Offers the subtests of the suite that was named, else the suites for SMB2."""
    full = pattern if pattern.startswith(PREFIX) else PREFIX + pattern
    suite = full.rpartition(".")[0]
    offers, label = _matching(names, suite), "subtests"
    if not offers or "." not in suite:
        offers, label = (
            list(dict.fromkeys(_suite(name) for name in names if PREFIX in name)),
            "suites",
        )
    return UsageError(f"smbtorture has no test {pattern!r}", suggestion(full, offers, label))


def _suite(name: str) -> str:
    return ".".join(name.split(".")[:2])
