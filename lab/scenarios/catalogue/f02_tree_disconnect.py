from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "F2",
    title="TREE_DISCONNECT: CLEANUP for its own watches only",
    cites=["MS-SMB2 3.3.5.8", "MS-FSA 2.1.5.5"],
    rests_on="MS-SMB2; smbtorture smb2.notify.tdis, tcon",
)
def tree_disconnect(s: Script) -> None:
    """Disconnecting a tree closes its opens, and what waits on them ends with CLEANUP. The watch
    through the session's other tree connect goes on."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    second = watcher.tree_connect()
    ends = second.open_directory().notify(FILE_NAME)
    ends.interim()
    stays = watcher.open_directory().notify(FILE_NAME)
    stays.interim()
    s.settle()
    second.tree_disconnect()
    ends.final().status("STATUS_NOTIFY_CLEANUP", rule="MS-SMB2 3.3.5.8")
    stays.still_pending("MS-SMB2 3.3.5.8: the other tree's opens are not closed")
    other.create_file("a")
    stays.final().records([("ADDED", "a")])
