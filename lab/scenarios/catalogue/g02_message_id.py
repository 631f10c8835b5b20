from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "G2",
    title="CANCEL by MessageId, racing the interim response",
    cites=["MS-SMB2 3.3.5.16", "MS-SMB2 3.2.4.24"],
    rests_on="MS-SMB2",
)
def cancel_by_message_id(s: Script) -> None:
    """Without the ASYNC flag CANCEL names its target by MessageId: right behind the request, before
    the client can know an AsyncId, and after the interim response. Either way the request ends
    with STATUS_CANCELLED, and only that one."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    stays = watcher.open_directory().notify(FILE_NAME)
    stays.interim()
    watched = watcher.open_directory()
    for late in (False, True, False, True):
        parked = watched.notify(FILE_NAME)
        if late:
            parked.interim()
        parked.cancel(by_async_id=False, by_message_id=True)
        parked.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
        stays.still_pending("MS-SMB2 3.3.5.16: another MessageId")
    s.settle()
    other.create_file("a")
    stays.final().records([("ADDED", "a")])
