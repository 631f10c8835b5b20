from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario

CORKED, AFTER_INTERIM = -1.0, -2.0
POINTS = (
    ("in one piece with the request", CORKED),
    ("right behind the request", 0.0),
    *((f"{wait} us behind the request", wait / 1e6) for wait in (30, 100, 200, 300, 500, 1000)),
    ("after the interim response", AFTER_INTERIM),
)


@scenario(
    "G2",
    title="CANCEL by MessageId, racing the interim response",
    cites=["MS-SMB2 3.3.5.16", "MS-SMB2 3.2.4.24"],
    rests_on="MS-SMB2",
)
def cancel_by_message_id(s: Script) -> None:
    """Without the ASYNC flag CANCEL names its target by MessageId: in one piece with the request,
    before the client can know an AsyncId, and at growing distances behind it, the interim response
    on its way. The request ends with STATUS_CANCELLED each time, and only that one."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    stays = watcher.open_directory().notify(FILE_NAME)
    stays.interim()
    for turn in ("first request on its handle", "second request on its handle"):
        for when, wait in POINTS:
            with s.point(f"{turn}, CANCEL {when}"):
                watched = watcher.open_directory()
                if turn.startswith("second"):
                    first = watched.notify(FILE_NAME)
                    first.interim()
                    first.cancel()
                    first.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
                if wait == CORKED:
                    with watcher.corked():
                        parked = watched.notify(FILE_NAME)
                        parked.cancel(by_async_id=False, by_message_id=True)
                else:
                    parked = watched.notify(FILE_NAME)
                    if wait == AFTER_INTERIM:
                        parked.interim()
                    s.pause(max(wait, 0.0))
                    parked.cancel(by_async_id=False, by_message_id=True)
                parked.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
                watched.close()
        stays.still_pending("MS-SMB2 3.3.5.16: another MessageId")
    s.settle()
    other.create_file("a")
    stays.final().records([("ADDED", "a")])
