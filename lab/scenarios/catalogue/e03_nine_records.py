from lab.scenarios.fields import (
    DELETE,
    FILE_CREATE,
    FILE_DIRECTORY_FILE,
    FILE_NON_DIRECTORY_FILE,
    FILE_READ_ATTRIBUTES,
    FILE_RENAME_INFORMATION,
    GENERIC_READ,
    SYNCHRONIZE,
)
from lab.scenarios.model import ANY_NAME, CompletionFilter
from lab.scenarios.script import Conn, Script, scenario

FILTER = (
    ANY_NAME
    | CompletionFilter.FILE_NOTIFY_CHANGE_ATTRIBUTES
    | CompletionFilter.FILE_NOTIFY_CHANGE_CREATION
)
ACCESS = GENERIC_READ | DELETE | FILE_READ_ATTRIBUTES | SYNCHRONIZE


def _make_and_rename(by: Conn, old: str, new: str, options: int) -> None:
    """Create and rename through one handle, which is closed at the end."""
    made = by.opened(f"create {old}", old, access=ACCESS, disposition=FILE_CREATE, options=options)
    made.set_info(FILE_RENAME_INFORMATION, target=new)
    made.close()


@scenario(
    "E3",
    title="Nine records of a tree, in order",
    cites=["MS-FSCC 2.7.1", "MS-FSA 2.1.4.1", "MS-FSA 2.1.5.11.1"],
    rests_on="smbtorture smb2.notify.rec",
    provisional=True,
)
def nine_records(s: Script) -> None:
    """Directories and files made, renamed in place and moved up below a watch of the whole tree:
    nine records, in the order of the changes, in one answer. A move to another directory is REMOVED
    and ADDED. The filter holds ATTRIBUTES and CREATION too, and a rename is no change of either:
    smbtorture has it so here, and otherwise in smb2.notify.mask-change."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    fence = s.fence(watcher)
    watched = watcher.open_directory()
    armed = watched.notify(FILTER, tree=True)
    armed.interim()
    s.settle()
    armed.cancel()
    armed.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    other.mkdir("subdir")
    _make_and_rename(other, "subdir\\sub1", "subdir\\sub1-r", FILE_DIRECTORY_FILE)
    _make_and_rename(other, "subdir\\sub2", "sub2-r", FILE_NON_DIRECTORY_FILE)
    other.rename("sub2-r", "sub3-r")
    fence.passed(by=other)
    reported = watched.notify(FILTER, tree=True).final()
    nine = [
        ("ADDED", "subdir"),
        ("ADDED", "subdir\\sub1"),
        ("RENAMED_OLD_NAME", "subdir\\sub1"),
        ("RENAMED_NEW_NAME", "subdir\\sub1-r"),
        ("ADDED", "subdir\\sub2"),
        ("REMOVED", "subdir\\sub2"),
        ("ADDED", "sub2-r"),
        ("RENAMED_OLD_NAME", "sub2-r"),
        ("RENAMED_NEW_NAME", "sub3-r"),
    ]
    reported.records([*nine, ("ADDED", "fence\\passed")], rule="smbtorture smb2.notify.rec")
