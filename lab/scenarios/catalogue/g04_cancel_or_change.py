from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, delivered, scenario


@scenario(
    "G4",
    title="CANCEL against a change: one final response, no loss",
    cites=["MS-SMB2 3.3.5.16", "MS-FSA 2.1.5.11.1"],
    rests_on="MS-SMB2",
)
def cancel_against_change(s: Script) -> None:
    """A CANCEL and a change that meet, in either order and both at once: the request ends once,
    with the change or cancelled, and the change is told by that answer or by the next, not by both
    and not by none."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    first = watched.notify(FILE_NAME)
    first.interim()
    s.settle()
    first.cancel()
    first.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    for number, meet in enumerate(("cancel first", "change first", "together") * 2):
        name, fence = f"change{number}", f"fence{number}"
        parked = watched.notify(FILE_NAME)
        parked.interim()
        if meet == "cancel first":
            parked.cancel()
            other.create_file(name)
        elif meet == "change first":
            other.create_file(name)
            parked.cancel()
        else:
            created = other.begin_create_file(name)
            parked.cancel()
            other.finish(created)
        parked.final().status(
            "STATUS_SUCCESS",
            "STATUS_CANCELLED",
            because="either may come first",
            rule=f"MS-SMB2 3.3.5.16: {meet}",
        )
        other.create_file(fence)
        rest = watched.collect(FILE_NAME, until=fence)
        delivered(
            [parked, rest],
            [("ADDED", name), ("ADDED", fence)],
            rule=f"MS-FSA 2.1.5.11.1: {meet}",
        )
