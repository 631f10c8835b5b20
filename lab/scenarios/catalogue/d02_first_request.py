from lab.scenarios.model import ANY_NAME, FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "D2",
    title="Filter and WATCH_TREE stay as first asked",
    cites=["MS-FSA 2.1.5.11", "MS-SMB2 3.3.5.19"],
    rests_on="MS-FSA; smbtorture smb2.notify.mask-change",
)
def first_request_decides(s: Script) -> None:
    """The first request on a handle fixes what it watches. A later one that asks for directories
    and for the whole tree gets neither; one that asks for less still gets the same."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.mkdir("sub")
    watched = watcher.open_directory()
    first = watched.notify(FILE_NAME)
    first.interim()
    s.settle()
    other.create_file("one")
    first.final().records([("ADDED", "one")])
    wider = watched.notify(ANY_NAME, tree=True)
    wider.interim()
    other.mkdir("dir")
    other.create_file("sub\\deep")
    s.still(wider, 0.3, rule="MS-FSA 2.1.5.11: fixed by the first request")
    other.create_file("two")
    wider.final().records([("ADDED", "two")], rule="MS-FSA 2.1.5.11")
