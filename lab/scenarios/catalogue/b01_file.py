from lab.scenarios.fields import FILE_NON_DIRECTORY_FILE, GENERIC_READ
from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "B1",
    title="On a file: INVALID_PARAMETER",
    cites=["MS-SMB2 3.3.5.19"],
    rests_on="MS-SMB2; smbtorture smb2.notify.file; WPTS NonDirectoryFile",
)
def notify_on_a_file(s: Script) -> None:
    """Only a directory can be watched. The refusal comes at once, and the handle stays good."""
    watcher = s.connect("watcher")
    watcher.create_file("plain")
    opened = watcher.open("plain", access=GENERIC_READ, options=FILE_NON_DIRECTORY_FILE)
    refused = opened.notify(FILE_NAME)
    refused.final().status("STATUS_INVALID_PARAMETER", rule="MS-SMB2 3.3.5.19")
    refused.at_once("MS-SMB2 3.3.5.19: checked before anything waits")
    watcher.echo()
    opened.close_expecting("STATUS_SUCCESS")
