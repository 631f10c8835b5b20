from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario

LIMIT = 511
BEYOND = 3


@scenario(
    "H3",
    title="514 requests at a time: three are refused",
    cites=["MS-SMB2 3.3.4.2"],
    rests_on="smbtorture smb2.credits.*_notify_max_async_credits",
    provisional=True,
)
def many_requests(s: Script) -> None:
    """A connection may have 511 requests waiting; the next are refused with
    STATUS_INSUFFICIENT_RESOURCES, and the connection goes on."""
    watcher = s.connect("watcher")
    watched = watcher.open_directory()
    parked = [watched.notify(FILE_NAME) for _ in range(LIMIT)]
    for request in parked:
        request.interim()
    for _ in range(BEYOND):
        refused = watched.notify(FILE_NAME)
        refused.final().status("STATUS_INSUFFICIENT_RESOURCES", rule="MS-SMB2 3.3.4.2")
    watcher.echo()
    watched.close_expecting("STATUS_SUCCESS")
    for request in (parked[0], parked[LIMIT // 2], parked[-1]):
        request.final().status("STATUS_NOTIFY_CLEANUP")
