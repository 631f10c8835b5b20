from collections.abc import Callable

from lab.scenarios.model import CompletionFilter
from lab.scenarios.script import Conn, Script, scenario

NOON = 133_500_000_000_000_000  # a FILETIME in 2024

CHANGES: tuple[tuple[CompletionFilter, str], ...] = (
    (CompletionFilter.FILE_NOTIFY_CHANGE_ATTRIBUTES, "file_attributes"),
    (CompletionFilter.FILE_NOTIFY_CHANGE_CREATION, "creation_time"),
    (CompletionFilter.FILE_NOTIFY_CHANGE_LAST_ACCESS, "last_access_time"),
    (CompletionFilter.FILE_NOTIFY_CHANGE_LAST_WRITE, "last_write_time"),
)


def _change(other: Conn, field: str, turn: int) -> Callable[[], None]:
    value = (0x20, 0x02)[turn % 2] if field == "file_attributes" else NOON + turn * 10_000_000
    return lambda: other.set_basic("file", **{field: value})


@scenario(
    "C4",
    title="Attributes and each time stamp: one MODIFIED",
    cites=["MS-FSA 2.1.5.15.2", "MS-SMB2 2.2.35"],
    rests_on="MS-FSA; smbtorture smb2.notify.mask; WPTS BVT_SMB2Basic_ChangeNotify*",
)
def metadata(s: Script) -> None:
    """Setting the attributes or one of the times is one MODIFIED under its own filter bit, the
    second time as the first, and nothing more."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.create_file("file")
    for kind, field in CHANGES:
        watched = watcher.open_directory()
        parked = watched.notify(kind)
        parked.interim()
        s.settle()
        for turn in (1, 2):
            _change(other, field, turn)()
            parked.final().records([("MODIFIED", "file")], rule="MS-FSA 2.1.5.15.2")
            parked = watched.notify(kind)
            s.still(parked, 0.05, rule=f"one change of {field} is one record")
        watched.close()
