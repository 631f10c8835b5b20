from lab.scenarios.model import FILE_NAME, equals, same_as
from lab.scenarios.script import Script, distinct, scenario


@scenario(
    "G1",
    title="CANCEL by AsyncId",
    cites=["MS-SMB2 3.3.5.16", "MS-SMB2 3.2.4.24", "MS-SMB2 2.2.30"],
    rests_on="MS-SMB2; WPTS CancelRegisteredChangeNotify",
)
def cancel_by_async_id(s: Script) -> None:
    """CANCEL with the ASYNC flag names its target by AsyncId alone: the older of two requests ends
    with STATUS_CANCELLED, the newer stays, CANCEL itself is not answered, and a cancelled watch can
    be armed again."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    older = watched.notify(FILE_NAME)
    older.interim()
    newer = watcher.open_directory().notify(FILE_NAME)
    newer.interim()
    s.settle()
    distinct([older, newer], "interim", "header.async_id", rule="MS-SMB2 3.3.4.2")
    older.cancel(by_async_id=True, by_message_id=False)
    final = older.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    for field in ("header.message_id", "header.async_id"):
        final.field(field, same_as(older.ref, "interim", field), rule="MS-SMB2 3.3.4.3")
    final.field("body.error", equals(True), rule="MS-SMB2 3.3.5.16: an ERROR body")
    newer.still_pending("MS-SMB2 3.3.5.16: only the request with that AsyncId")
    rearmed = watched.notify(FILE_NAME)
    rearmed.interim()
    other.create_file("a")
    rearmed.final().records([("ADDED", "a")])
    newer.final().records([("ADDED", "a")])
