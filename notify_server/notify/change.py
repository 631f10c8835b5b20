"""What a change is, on its way from the file system to the watch table.

A *directory* is named by its key: its real absolute path, `/` between names, each name as
clients see it. Shares that overlap on disk therefore share keys, and a symbolic link or a
differently cased spelling does not make a second directory of one.
"""

from __future__ import annotations

from typing import NamedTuple

from notify_server.wire.fscc import NotifyAction


class Report(NamedTuple):
    """One call of the algorithm that reports a change notification ([MS-FSA] 2.1.4.1)."""

    directory: str
    """Key of the directory that holds `name`."""
    name: str
    """Last component, `name` or `name:stream:$DATA`."""
    action: NotifyAction
    filter_match: int
    """CompletionFilter bits; a watch that has one of them is told."""
    unless: int = 0
    """A watch that filters on one of these was told by another report of the same change."""


class Change(NamedTuple):
    """Reports that reach a watch together, in one reply: they are one thing that happened."""

    reports: tuple[Report, ...]


class DirectoryMoved(NamedTuple):
    """A directory has a new key, and so has all that is below it; watches follow their handles."""

    old: str
    new: str


class DirectoryDoomed(NamedTuple):
    """A directory was marked for deletion or is gone ([MS-FSA] 2.1.5.15.3); or, undone, no more."""

    directory: str
    undone: bool = False


class ChangesLost(NamedTuple):
    """Changes were made that nobody can name any more: whoever watched must enumerate again.

    With a directory: in it and below it; without one: anywhere.
    """

    directory: str | None = None


Event = Change | DirectoryMoved | DirectoryDoomed | ChangesLost
"""What a change source hands on, in the order in which it happened."""
