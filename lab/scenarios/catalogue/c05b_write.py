from functools import partial

from lab.scenarios.model import CompletionFilter
from lab.scenarios.script import Script, scenario


@scenario(
    "C5b",
    title="Write, extend, truncate: MODIFIED under LAST_WRITE",
    cites=["MS-FSA 2.1.5.4", "MS-FSA 2.1.5.15.4", "MS-FSA 2.1.4.1", "MS-SMB2 2.2.35"],
    rests_on="MS-FSA; WPTS BVT_SMB2Basic_ChangeNotify_ChangeLastWrite",
    provisional=True,
)
def last_write(s: Script) -> None:
    """A write inside the file, one that makes it longer, and setting its end of file change when it
    was last written: MODIFIED, by the time that the handle is closed, and no more than one further
    MODIFIED."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.create_file("file")
    other.write("file", length=100)
    watched = watcher.open_directory()
    kind = CompletionFilter.FILE_NOTIFY_CHANGE_LAST_WRITE
    parked = watched.notify(kind)
    parked.interim()
    s.settle()
    for point, change in (
        ("write in place", partial(other.write, "file", length=10)),
        ("extend", partial(other.write, "file", length=10, offset=100)),
        ("truncate", partial(other.truncate, "file", 5)),
    ):
        with s.point(point):
            change()
            parked.final().records([("MODIFIED", "file")], rule="MS-FSA 2.1.5.4")
            rest = watched.collect(kind)
            rest.records(
                [],
                [("MODIFIED", "file")],
                because="whether a write and the close after it are one change is left open",
            )
            parked = rest
