from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "D6",
    title="Two requests on one handle: first in, first out",
    cites=["MS-FSA 2.1.5.11.1"],
    rests_on="MS-FSA; smbtorture smb2.notify.double",
)
def first_in_first_out(s: Script) -> None:
    """Requests on one handle are answered in their order, one change each; a cancelled one leaves
    the queue without taking a change with it."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    first = watched.notify(FILE_NAME)
    first.interim()
    second = watched.notify(FILE_NAME)
    second.interim()
    third = watched.notify(FILE_NAME)
    third.interim()
    s.settle()
    other.create_file("one")
    first.final().records([("ADDED", "one")], rule="MS-FSA 2.1.5.11.1")
    second.still_pending("MS-FSA 2.1.5.11.1: one change answers one request")
    second.cancel()
    second.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    other.create_file("two")
    third.final().records([("ADDED", "two")], rule="MS-FSA 2.1.5.11.1")
