from lab.scenarios.model import FILE_NAME, same_as
from lab.scenarios.script import Script, scenario


@scenario(
    "F1",
    title="CLOSE of the handle: NOTIFY_CLEANUP",
    cites=["MS-SMB2 3.3.5.10", "MS-FSA 2.1.5.5", "MS-SMB2 3.3.4.4"],
    rests_on="MS-FSA; smbtorture smb2.notify.close",
)
def close_completes(s: Script) -> None:
    """Closing the directory completes what waits on that handle, and only on that one, with
    STATUS_NOTIFY_CLEANUP. The other handle's watch goes on."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    closing = watcher.open_directory()
    staying = watcher.open_directory()
    ends = closing.notify(FILE_NAME)
    ends.interim()
    stays = staying.notify(FILE_NAME)
    stays.interim()
    s.settle()
    closing.close_expecting("STATUS_SUCCESS")
    final = ends.final().status("STATUS_NOTIFY_CLEANUP", rule="MS-FSA 2.1.5.5")
    final.field("header.async_id", same_as(ends.ref, "interim", "header.async_id"))
    stays.still_pending("only the closed handle's requests end")
    other.create_file("a")
    stays.final().records([("ADDED", "a")])
