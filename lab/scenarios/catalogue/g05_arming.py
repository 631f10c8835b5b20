from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario

ROUNDS = 3


@scenario(
    "G5",
    title="A change before, during, after arming: told once",
    cites=["MS-FSA 2.1.5.11", "MS-SMB2 3.3.4.2"],
    rests_on="MS-FSA",
)
def changes_around_arming(s: Script) -> None:
    """Once a client has the interim response to its first request on a handle, no change is lost,
    and none is told twice: neither one made right then, nor, later, one made while no request
    waits or while one is on its way. A change that overtakes the first request, sent right behind
    it, may be older than the watch; it is told once or not at all."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    for turn in range(ROUNDS):
        change, before, during, fence, last = (
            f"{word}{turn}" for word in ("change", "before", "during", "fence", "last")
        )
        watched = watcher.open_directory()
        parked = watched.notify(FILE_NAME)
        parked.interim()
        other.create_file(change)
        other.create_file(fence)
        told = watched.collect(FILE_NAME, until=fence, first=parked)
        told.records(
            [("ADDED", change), ("ADDED", fence)], rule="MS-FSA 2.1.5.11: after the interim"
        )
        other.create_file(before)
        created = other.begin_create_file(during)
        again = watched.notify(FILE_NAME)
        other.finish(created)
        other.create_file(last)
        rest = watched.collect(FILE_NAME, until=last, first=again)
        rest.records(
            [("ADDED", before), ("ADDED", during), ("ADDED", last)],
            rule="MS-FSA 2.1.5.11: a handle armed before",
        )
        watched.close()

    for turn in range(ROUNDS):
        change, fence = f"behind{turn}", f"behind-fence{turn}"
        watched = watcher.open_directory()
        parked = watched.notify(FILE_NAME)
        created = watcher.begin_create_file(change)
        watcher.finish(created)
        s.settle()
        other.create_file(fence)
        watched.collect(FILE_NAME, until=fence, first=parked).records(
            [("ADDED", change), ("ADDED", fence)],
            [("ADDED", fence)],
            because="a server may work on several requests of a connection at the same time",
            rule="MS-FSA 2.1.5.11: right behind the request",
        )
        watched.close()
