from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "D1",
    title="Unarmed changes are buffered, in order",
    cites=["MS-FSA 2.1.5.11", "MS-FSA 2.1.5.11.1", "MS-SMB2 3.3.5.19"],
    rests_on="MS-FSA; smbtorture smb2.notify.dir",
)
def unarmed_changes_are_buffered(s: Script) -> None:
    """From the first CHANGE_NOTIFY on a handle, changes are kept for it. A request that finds some
    is answered at once with all of them, in their order. A handle armed later knows nothing of
    them."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    fence = s.fence(watcher)
    late = watcher.open_directory()
    armed = watched.notify(FILE_NAME)
    armed.interim()
    s.settle()
    other.create_file("one")
    armed.final().records([("ADDED", "one")])
    other.create_file("two")
    other.create_file("three")
    other.delete("two")
    other.rename("three", "four")
    fence.passed(by=other)
    at_once = watched.notify(FILE_NAME)
    at_once.final().records(
        [
            ("ADDED", "two"),
            ("ADDED", "three"),
            ("REMOVED", "two"),
            ("RENAMED_OLD_NAME", "three"),
            ("RENAMED_NEW_NAME", "four"),
        ],
        rule="MS-FSA 2.1.5.11.1: first in, first out",
    )
    at_once.at_once("MS-FSA 2.1.5.11: nothing to wait for")
    s.silence(late.notify(FILE_NAME), by=other, sentinel="sentinel")
    again = watched.notify(FILE_NAME)
    again.final().records([("ADDED", "sentinel")], rule="each change is delivered once")
