from functools import partial

from lab.scenarios.model import CompletionFilter
from lab.scenarios.script import Script, scenario

READ_AND_WRITE = 0x12019F
FULL = 0x1F01FF


@scenario(
    "C4b",
    title="Extended attribute, security descriptor: one MODIFIED",
    cites=["MS-FSA 2.1.5.15.5", "MS-FSA 2.1.5.17", "MS-SMB2 2.2.35"],
    rests_on="MS-FSA; WPTS BVT_SMB2Basic_ChangeNotify_ChangeEa, ChangeSecurity",
    provisional=True,
)
def extended_attribute_and_security(s: Script) -> None:
    """Setting an extended attribute, and a security descriptor, is one MODIFIED under its own
    filter bit, the second time as the first."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.create_file("file")
    for kind, changes in (
        (
            CompletionFilter.FILE_NOTIFY_CHANGE_EA,
            (partial(other.set_ea, "file", "one"), partial(other.set_ea, "file", "two")),
        ),
        (
            CompletionFilter.FILE_NOTIFY_CHANGE_SECURITY,
            (
                partial(other.set_dacl, "file", READ_AND_WRITE),
                partial(other.set_dacl, "file", FULL),
            ),
        ),
    ):
        with s.point(str(kind.name)):
            watched = watcher.open_directory()
            parked = watched.notify(kind)
            parked.interim()
            s.settle()
            for change in changes:
                change()
                parked.final().records([("MODIFIED", "file")], rule="MS-FSA 2.1.4.1")
                parked = watched.notify(kind)
                s.still(parked, 0.05, rule="one change is one record")
            watched.close()
