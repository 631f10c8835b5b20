from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario

STEPS_US = (0, 100, 200, 300, 500, 1000, 2000)


@scenario(
    "G5",
    title="A change before, during, after arming: told once",
    cites=["MS-FSA 2.1.5.11", "MS-SMB2 3.3.4.2"],
    rests_on="MS-FSA",
)
def changes_around_arming(s: Script) -> None:
    """Once a client has the interim response to its first request on a handle, no change is lost,
    and none is told twice: neither one made right then, nor, later, one made while no request
    waits or while one is on its way. A change that overtakes the first request, sent behind it, may
    be older than the watch; it is told once or not at all."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    for us in STEPS_US:
        change, before, during, fence, last = (
            f"{word}{us}" for word in ("change", "before", "during", "fence", "last")
        )
        watched = watcher.open_directory()
        with s.point(f"change {us} us after the interim response"):
            parked = watched.notify(FILE_NAME)
            parked.interim()
            s.pause(us / 1e6)
            other.create_file(change)
            s.settle()
            other.create_file(fence)
            told = watched.collect(FILE_NAME, until=fence, first=parked)
            told.records(
                [("ADDED", change), ("ADDED", fence)], rule="MS-FSA 2.1.5.11: after the interim"
            )
        with s.point(f"request {us} us behind the change"):
            other.create_file(before)
            created = other.begin_create_file(during)
            s.pause(us / 1e6)
            again = watched.notify(FILE_NAME)
            other.finish(created)
            other.create_file(last)
            rest = watched.collect(FILE_NAME, until=last, first=again)
            rest.records(
                [("ADDED", before), ("ADDED", during), ("ADDED", last)],
                rule="MS-FSA 2.1.5.11: a handle armed before",
            )
        watched.close()

    for us in STEPS_US:
        change, fence = f"behind{us}", f"behind-fence{us}"
        watched = watcher.open_directory()
        with s.point(f"change {us} us behind the first request"):
            parked = watched.notify(FILE_NAME)
            s.pause(us / 1e6)
            created = watcher.begin_create_file(change)
            watcher.finish(created)
            s.settle()
            other.create_file(fence)
            watched.collect(FILE_NAME, until=fence, first=parked).records(
                [("ADDED", change), ("ADDED", fence)],
                [("ADDED", fence)],
                because="a server may work on several requests of a connection at the same time",
                rule="MS-FSA 2.1.5.11: the watch may be younger",
            )
        watched.close()
