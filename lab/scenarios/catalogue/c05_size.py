from functools import partial

from lab.scenarios.model import CompletionFilter
from lab.scenarios.script import Script, scenario


@scenario(
    "C5",
    title="Extend and truncate: MODIFIED under SIZE",
    cites=["MS-FSA 2.1.5.4", "MS-FSA 2.1.5.15.4", "MS-SMB2 2.2.35"],
    rests_on="MS-FSA; smbtorture smb2.notify.mask",
    provisional=True,
)
def sizes(s: Script) -> None:
    """A write that makes a file longer, and setting its end of file, change its size: MODIFIED,
    and no more than one further MODIFIED for the same change."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.create_file("file")
    watched = watcher.open_directory()
    kind = CompletionFilter.FILE_NOTIFY_CHANGE_SIZE
    parked = watched.notify(kind)
    parked.interim()
    s.settle()
    for change in (
        partial(other.write, "file", length=100),
        partial(other.truncate, "file", 10),
        partial(other.truncate, "file", 1000),
    ):
        change()
        parked.final().records([("MODIFIED", "file")], rule="MS-FSA 2.1.4.1")
        rest = watched.collect(kind)
        rest.records(
            [],
            [("MODIFIED", "file")],
            because="whether a write and the close after it are one change is left open",
        )
        parked = rest
