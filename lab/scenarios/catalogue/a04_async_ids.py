from lab.scenarios.model import FILE_NAME, same_as
from lab.scenarios.script import Script, distinct, scenario

COUNT = 8


@scenario(
    "A4",
    title="Eight requests at a time: unique AsyncIds",
    cites=["MS-SMB2 3.3.4.2", "MS-SMB2 2.2.1.1"],
    rests_on="MS-SMB2",
)
def unique_async_ids(s: Script) -> None:
    """Requests that wait on eight handles have eight AsyncIds, and each keeps its own to the end,
    whatever the order in which they end."""
    watcher = s.connect("watcher")
    handles = [watcher.open_directory() for _ in range(COUNT)]
    parked = [handle.notify(FILE_NAME) for handle in handles]
    for request in parked:
        request.interim()
    distinct(parked, "interim", "header.async_id", rule="MS-SMB2 3.3.4.2")
    for request in (*parked[::2], *parked[1::2]):
        request.cancel()
        final = request.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
        final.field(
            "header.async_id",
            same_as(request.ref, "interim", "header.async_id"),
            rule="MS-SMB2 3.3.4.3",
        )
