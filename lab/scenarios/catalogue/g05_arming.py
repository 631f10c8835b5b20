from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, delivered, scenario


@scenario(
    "G5",
    title="A change before, during, after arming: told once",
    cites=["MS-FSA 2.1.5.11", "MS-SMB2 3.3.4.2"],
    rests_on="MS-FSA",
)
def changes_around_arming(s: Script) -> None:
    """From the moment a handle has its first request, no change is lost and none is told twice: one
    made right after the interim response, one sent right behind the request on the same
    connection, and, on a handle armed before, those made while no request waits."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    for number, point in enumerate(("after the interim", "right behind") * 2):
        name, fence = f"change{number}", f"fence{number}"
        watched = watcher.open_directory()
        parked = watched.notify(FILE_NAME)
        if point == "after the interim":
            parked.interim()
            other.create_file(name)
        else:
            created = watcher.begin_create_file(name)
            watcher.finish(created)
        other.create_file(fence)
        told = watched.collect(FILE_NAME, until=fence, first=parked)
        told.records([("ADDED", name), ("ADDED", fence)], rule=f"MS-FSA 2.1.5.11: {point}")

        before, during = f"before{number}", f"during{number}"
        other.create_file(before)
        created = other.begin_create_file(during)
        again = watched.notify(FILE_NAME)
        other.finish(created)
        other.create_file(f"last{number}")
        rest = watched.collect(FILE_NAME, until=f"last{number}", first=again)
        delivered(
            [rest],
            [("ADDED", before), ("ADDED", during), ("ADDED", f"last{number}")],
            rule="MS-FSA 2.1.5.11: a handle armed before",
        )
        watched.close()
