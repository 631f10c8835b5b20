from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario

SHARE = "NOTIFY_OFF"
TRIES = 3


@scenario(
    "B6",
    title="Switched off for a share: refused at once",
    cites=["MS-SMB2 3.3.5.19"],
    rests_on="MS-SMB2; smbtorture smb2.change_notify_disabled",
    provisional=True,
)
def switched_off(s: Script) -> None:
    """On a share whose configuration switches CHANGE_NOTIFY off, each request is refused by one
    synchronous error, however often a client repeats it; the handle and the connection stay good.
    Windows polls after STATUS_NOT_IMPLEMENTED, and asks at once again after STATUS_NOT_SUPPORTED.
    """
    watcher = s.connect("watcher").tree_connect(SHARE)
    watched = watcher.open_directory()
    for _ in range(TRIES):
        refused = watched.notify(FILE_NAME)
        refused.final().status(
            "STATUS_NOT_IMPLEMENTED",
            "STATUS_NOT_SUPPORTED",
            because="MS-SMB2 says NOT_SUPPORTED, smbtorture wants NOT_IMPLEMENTED",
            rule="MS-SMB2 3.3.5.19",
        )
        refused.at_once("MS-SMB2 3.3.5.19: nothing waits")
    watcher.echo()
    watched.close_expecting("STATUS_SUCCESS")
