"""Operations on files → actions and filter bits: one table for all changes.

[MS-FSA] names action and FilterMatch on each operation; where it leaves them open ("a set of
flags capturing modifications") smbtorture's smb2.notify and Windows' habit decide. A change made
beside the server is only as exact as the kernel's event: see `Beside`.
"""

from __future__ import annotations

from enum import Enum

from notify_server.notify.change import Change, DirectoryMoved, Event, Report
from notify_server.wire.constants import CompletionFilter as Filter
from notify_server.wire.fscc import NotifyAction as Action

_FILE = Filter.FILE_NOTIFY_CHANGE_FILE_NAME
_DIR = Filter.FILE_NOTIFY_CHANGE_DIR_NAME
_ATTRIBUTES = Filter.FILE_NOTIFY_CHANGE_ATTRIBUTES
_SIZE = Filter.FILE_NOTIFY_CHANGE_SIZE
_LAST_WRITE = Filter.FILE_NOTIFY_CHANGE_LAST_WRITE
_LAST_ACCESS = Filter.FILE_NOTIFY_CHANGE_LAST_ACCESS
_CREATION = Filter.FILE_NOTIFY_CHANGE_CREATION
_EA = Filter.FILE_NOTIFY_CHANGE_EA
_SECURITY = Filter.FILE_NOTIFY_CHANGE_SECURITY
_STREAM_NAME = Filter.FILE_NOTIFY_CHANGE_STREAM_NAME
_STREAM_SIZE = Filter.FILE_NOTIFY_CHANGE_STREAM_SIZE
_STREAM_WRITE = Filter.FILE_NOTIFY_CHANGE_STREAM_WRITE


class Operation(Enum):
    """What was done to one name: (Action, FilterMatch). Names of values say who did it."""

    # Made over SMB, section of [MS-FSA] at the right
    FILE_ADDED = (Action.FILE_ACTION_ADDED, _FILE)  # 2.1.5.1.1, 2.1.5.15.6
    DIRECTORY_ADDED = (Action.FILE_ACTION_ADDED, _DIR)  # 2.1.5.1.1
    FILE_REMOVED = (Action.FILE_ACTION_REMOVED, _FILE)  # 2.1.5.5
    DIRECTORY_REMOVED = (Action.FILE_ACTION_REMOVED, _DIR)  # 2.1.5.5
    OVERWRITTEN = (Action.FILE_ACTION_MODIFIED, _ATTRIBUTES | _SIZE | _LAST_WRITE)  # 2.1.5.1.2
    WRITTEN = (Action.FILE_ACTION_MODIFIED, _LAST_WRITE)  # 2.1.5.4, 2.1.4.17
    EXTENDED = (Action.FILE_ACTION_MODIFIED, _SIZE | _LAST_WRITE)  # 2.1.5.4
    RESIZED = (Action.FILE_ACTION_MODIFIED, _SIZE | _LAST_WRITE)  # 2.1.5.15.1, .4
    EA_CHANGED = (Action.FILE_ACTION_MODIFIED, _EA)  # 2.1.5.15.5
    SECURITY_CHANGED = (Action.FILE_ACTION_MODIFIED, _SECURITY)  # 2.1.5.17
    STREAM_ADDED = (Action.FILE_ACTION_ADDED_STREAM, _STREAM_NAME)  # 2.1.5.1.1, .2
    STREAM_REMOVED = (Action.FILE_ACTION_REMOVED_STREAM, _STREAM_NAME)  # 2.1.5.5
    STREAM_OVERWRITTEN = (
        Action.FILE_ACTION_MODIFIED_STREAM,
        _STREAM_SIZE | _STREAM_WRITE,
    )  # 2.1.5.1.2
    STREAM_WRITTEN = (Action.FILE_ACTION_MODIFIED_STREAM, _STREAM_WRITE)  # 2.1.5.4
    STREAM_EXTENDED = (Action.FILE_ACTION_MODIFIED_STREAM, _STREAM_SIZE | _STREAM_WRITE)
    STREAM_RESIZED = (Action.FILE_ACTION_MODIFIED_STREAM, _STREAM_SIZE)  # 2.1.5.15.4

    # Seen beside the server: the kernel says that the inode or its data changed, not what
    DATA_CHANGED_BESIDE = (Action.FILE_ACTION_MODIFIED, _SIZE | _LAST_WRITE)
    INODE_CHANGED_BESIDE = (
        Action.FILE_ACTION_MODIFIED,
        _ATTRIBUTES | _LAST_WRITE | _LAST_ACCESS | _EA | _SECURITY,
    )

    def __init__(self, action: Action, filter_match: Filter) -> None:
        self.action = action
        self.filter_match = int(filter_match)


# FileBasicInformation ([MS-FSA] 2.1.5.15.2): one MODIFIED with a bit for each field that is set.
# ChangeTime has none: smbtorture mask wants its change silent.
BASIC_BITS = {
    "creation_time": int(_CREATION),
    "last_access_time": int(_LAST_ACCESS),
    "last_write_time": int(_LAST_WRITE),
    "change_time": 0,
    "file_attributes": int(_ATTRIBUTES),
}

_RENAME_TOUCHES = int(_ATTRIBUTES | _CREATION)


def done(operation: Operation, directory: str, name: str) -> Change:
    """One operation on one name."""
    return Change((Report(directory, name, operation.action, operation.filter_match),))


def added(directory: str, name: str, *, is_directory: bool) -> Change:
    return done(
        Operation.DIRECTORY_ADDED if is_directory else Operation.FILE_ADDED, directory, name
    )


def removed(directory: str, name: str, *, is_directory: bool) -> Change:
    return done(
        Operation.DIRECTORY_REMOVED if is_directory else Operation.FILE_REMOVED, directory, name
    )


def basic_changed(directory: str, name: str, filter_match: int) -> Change:
    """FileBasicInformation was set; `filter_match` sums BASIC_BITS of the fields."""
    return Change((Report(directory, name, Action.FILE_ACTION_MODIFIED, filter_match),))


def renamed(
    old_directory: str, old_name: str, new_directory: str, new_name: str, *, is_directory: bool
) -> list[Event]:
    """A rename ([MS-FSA] 2.1.5.15.11), made over SMB or beside.

    Inside one directory both names are one change. Across directories they are two: whoever
    watches only one of them sees a removal or an addition, and who watches both sees both.
    """
    name_bit = int(_DIR if is_directory else _FILE)
    touched: tuple[Report, ...] = ()
    if not is_directory:
        touched = (
            Report(new_directory, new_name, Action.FILE_ACTION_MODIFIED, _RENAME_TOUCHES, name_bit),
        )
    events: list[Event]
    if old_directory == new_directory:
        events = [
            Change(
                (
                    Report(old_directory, old_name, Action.FILE_ACTION_RENAMED_OLD_NAME, name_bit),
                    Report(new_directory, new_name, Action.FILE_ACTION_RENAMED_NEW_NAME, name_bit),
                    *touched,
                )
            )
        ]
    else:
        events = [
            Change((Report(old_directory, old_name, Action.FILE_ACTION_REMOVED, name_bit),)),
            Change((Report(new_directory, new_name, Action.FILE_ACTION_ADDED, name_bit), *touched)),
        ]
    if is_directory:
        events.append(DirectoryMoved(f"{old_directory}/{old_name}", f"{new_directory}/{new_name}"))
    return events


def exchanged(directory: str, name: str, other_directory: str, other_name: str) -> list[Event]:
    """Two directories have exchanged their names (renameat2(2)): two renames, and who watches one
    of them, or below it, follows it."""
    names = (directory, name), (other_directory, other_name)
    one, other = (f"{where}/{what}" for where, what in names)
    aside = f"{other}\0"  # no path that a client could name
    return [
        *renamed(*names[0], *names[1], is_directory=True)[:-1],
        *renamed(*names[1], *names[0], is_directory=True)[:-1],
        DirectoryMoved(other, aside),
        DirectoryMoved(one, other),
        DirectoryMoved(aside, one),
    ]
