from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, delivered, scenario

STEPS_US = (100, 200, 300, 500, 1000, 2000)
POINTS = (
    *((f"CANCEL {us} us before the change", -us) for us in reversed(STEPS_US)),
    ("CANCEL right before the change", -1),
    ("CANCEL right behind the change", 0),
    *((f"CANCEL {us} us behind the change", us) for us in STEPS_US),
)


@scenario(
    "G4",
    title="CANCEL against a change: one final response, no loss",
    cites=["MS-SMB2 3.3.5.16", "MS-FSA 2.1.5.11.1"],
    rests_on="MS-SMB2",
)
def cancel_against_change(s: Script) -> None:
    """A CANCEL and a change that meet, from well before to well behind: the request ends once, with
    the change or cancelled, and the change is told by that answer or by the next, not by both and
    not by none."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    first = watched.notify(FILE_NAME)
    first.interim()
    s.settle()
    first.cancel()
    first.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    for number, (point, wait) in enumerate(POINTS):
        with s.point(point):
            name, fence = f"change{number}", f"fence{number}"
            parked = watched.notify(FILE_NAME)
            parked.interim()
            if wait < 0:
                parked.cancel()
                s.pause(-wait / 1e6 if wait < -1 else 0.0)
                other.create_file(name)
            else:
                created = other.begin_create_file(name)
                s.pause(wait / 1e6)
                parked.cancel()
                other.finish(created)
            parked.final().status(
                "STATUS_SUCCESS",
                "STATUS_CANCELLED",
                because="either may come first",
                rule="MS-SMB2 3.3.5.16",
            )
            other.create_file(fence)
            rest = watched.collect(FILE_NAME, until=fence)
            delivered(
                [parked, rest],
                [("ADDED", name), ("ADDED", fence)],
                rule="MS-FSA 2.1.5.11.1",
            )
