from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "F4",
    title="PreviousSessionId ends the old session's watches",
    cites=["MS-SMB2 3.3.5.5.3", "MS-SMB2 3.3.5.5", "MS-FSA 2.1.5.5"],
    rests_on="MS-SMB2; smbtorture smb2.notify.session-reconnect",
)
def previous_session(s: Script) -> None:
    """A client that comes back after it lost its connection names its old session, which the server
    then ends: what waited in it is completed with CLEANUP. Another session's watch goes on, and the
    new session can watch."""
    lost = s.connect("lost")
    other = s.connect("other")
    ends = lost.open_directory().notify(FILE_NAME)
    ends.interim()
    stays = other.open_directory().notify(FILE_NAME)
    stays.interim()
    s.settle()
    back = s.connect("back", previous=lost)
    ends.final().status("STATUS_NOTIFY_CLEANUP", rule="MS-SMB2 3.3.5.5.3")
    stays.still_pending("MS-SMB2 3.3.5.5.3: another session")
    again = back.open_directory().notify(FILE_NAME)
    again.interim()
    s.settle()
    other.create_file("a")
    again.final().records([("ADDED", "a")])
    stays.final().records([("ADDED", "a")])
