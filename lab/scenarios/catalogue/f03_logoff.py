from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "F3",
    title="LOGOFF: NOTIFY_CLEANUP",
    cites=["MS-SMB2 3.3.5.6", "MS-FSA 2.1.5.5"],
    rests_on="MS-SMB2; smbtorture smb2.notify.logoff",
)
def log_off(s: Script) -> None:
    """Ending the session ends what waits in it; another session's watch goes on."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    ends = watcher.open_directory().notify(FILE_NAME)
    ends.interim()
    stays = other.open_directory().notify(FILE_NAME)
    stays.interim()
    s.settle()
    watcher.log_off()
    ends.final().status("STATUS_NOTIFY_CLEANUP", rule="MS-SMB2 3.3.5.6")
    s.silence(stays, by=other, seconds=0.05)
