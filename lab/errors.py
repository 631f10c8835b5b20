"""Errors that reach the user: what is wrong, and what to do about it."""

from __future__ import annotations


class LabError(Exception):
    """Base of every error that `lab` prints instead of a traceback.

    `message` names the cause in one sentence; `remedy` (may be empty) is what to type or change.
    `exit_code` is the process's: 2 for usage and configuration, 3 when the lab itself failed.
    """

    exit_code = 3

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class UsageError(LabError):
    """The command line or `lab.toml` is wrong; nothing was done (exit 2)."""

    exit_code = 2


class LabFailed(LabError):
    """The lab could not do what was asked: engine, build, guest, network (exit 3)."""
