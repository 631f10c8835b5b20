from lab.scenarios.model import EXPIRING_SESSIONS, FILE_NAME
from lab.scenarios.script import Script, scenario

LIFE_S = 1.0  # of a session of the "brief" user
PAST_IT_S = LIFE_S + 0.2


@scenario(
    "F4c",
    title="An expired session: what waits stays, what is new is refused",
    cites=["MS-SMB2 3.3.5.2.9", "MS-SMB2 3.3.5.5.2", "MS-SMB2 3.3.5.19"],
    rests_on="MS-SMB2; smbtorture smb2.session.expire*",
    needs=[EXPIRING_SESSIONS],
)
def expiry(s: Script) -> None:
    """A request that waits when its session expires goes on waiting, and is answered when
    something changes. A new one is refused until the user has logged on again; then the same
    handle watches on."""
    watcher = s.connect("watcher", user="brief")
    other = s.connect("other")
    watched = watcher.open_directory()
    second = watcher.open_directory()
    parked = watched.notify(FILE_NAME)
    parked.interim()
    s.drain(PAST_IT_S)
    refused = second.notify(FILE_NAME)
    refused.final().status("STATUS_NETWORK_SESSION_EXPIRED", rule="MS-SMB2 3.3.5.2.9")
    refused.at_once("MS-SMB2 3.3.5.2.9: checked before anything waits")
    parked.still_pending("MS-SMB2 3.3.5.2.9: only new requests are refused")
    other.create_file("a")
    parked.final().records([("ADDED", "a")], rule="MS-SMB2 3.3.5.2.9: it was taken before")
    watcher.reauthenticate("STATUS_SUCCESS", valid=True)
    again = watched.notify(FILE_NAME)
    again.interim()
    other.create_file("b")
    again.final().records([("ADDED", "b")], rule="MS-SMB2 3.3.5.5.2: the session is the same")
