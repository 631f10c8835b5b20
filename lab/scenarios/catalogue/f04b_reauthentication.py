from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "F4b",
    title="Logging on again: the watch stays; failing to: CLEANUP",
    cites=["MS-SMB2 3.3.5.5.2", "MS-SMB2 3.3.5.5.3", "MS-FSA 2.1.5.5"],
    rests_on="MS-SMB2; smbtorture smb2.notify.invalid-reauth",
)
def reauthentication(s: Script) -> None:
    """A session that authenticates anew keeps its opens, and what waits on them. One that fails to
    is ended by the server, and its watches with it."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    parked = watched.notify(FILE_NAME)
    parked.interim()
    stays = other.open_directory().notify(FILE_NAME)
    stays.interim()
    s.settle()
    watcher.reauthenticate("STATUS_SUCCESS", valid=True)
    parked.still_pending("MS-SMB2 3.3.5.5.2: the session is the same")
    other.create_file("a")
    parked.final().records([("ADDED", "a")], rule="MS-SMB2 3.3.5.5.2")
    stays.final().records([("ADDED", "a")])
    ends = watched.notify(FILE_NAME)
    ends.interim()
    watcher.reauthenticate("STATUS_LOGON_FAILURE", valid=False)
    ends.final().status("STATUS_NOTIFY_CLEANUP", rule="smbtorture smb2.notify.invalid-reauth")
    other.echo()
