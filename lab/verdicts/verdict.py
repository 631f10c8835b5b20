"""The words of a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lab.crashes.known import Identified


class Outcome(StrEnum):
    """What a cell of the matrix says."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    KNOWN_DEVIATION = "known deviation"
    UNEXPECTED_PASS = "unexpected pass"  # noqa: S105
    UNSUPPORTED = "unsupported"
    TIMEOUT = "timeout"
    SERVER_CRASH = "server crash"
    CLIENT_CRASH = "client crash"
    NO_EVIDENCE = "no evidence"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Finding:
    """A breach of the wire rules, whatever the scenario itself expected.

    `rule` is the row of `lab.verdicts.wire.RULES` that it breaks, `at` the observation.
    """

    rule: str
    text: str
    at: int


@dataclass(frozen=True)
class Verdict:
    """An outcome, one line of reason, and where the evidence is.

    `step` is the scenario's step, `at` the index of the observation that decided; both -1 when no
    single one did. `declared` tells a known `unsupported` from a new one. `crashes` are what the
    server's kernel reported meanwhile.
    """

    outcome: Outcome
    reason: str = ""
    step: int = -1
    at: int = -1
    findings: tuple[Finding, ...] = ()
    link: str = ""
    declared: bool = False
    crashes: tuple[Identified, ...] = ()

    @property
    def as_expected(self) -> bool:
        """Whether the cell leaves the run's exit code at 0."""
        if self.outcome is Outcome.UNSUPPORTED:
            return self.declared
        return self.outcome in (Outcome.PASS, Outcome.KNOWN_DEVIATION)
