from lab.scenarios.fields import FILE_LIST_DIRECTORY, FILE_READ_ATTRIBUTES, SYNCHRONIZE
from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "B2",
    title="No FILE_LIST_DIRECTORY: ACCESS_DENIED",
    cites=["MS-SMB2 3.3.5.19", "MS-FSA 2.1.5.11"],
    rests_on="MS-SMB2; smbtorture smb2.notify.handle-permissions; WPTS",
)
def handle_without_list_access(s: Script) -> None:
    """Who may not list a directory may not learn its names by watching it. The same user with
    FILE_LIST_DIRECTORY may."""
    watcher = s.connect("watcher")
    blind = watcher.open_directory(access=FILE_READ_ATTRIBUTES | SYNCHRONIZE)
    refused = blind.notify(FILE_NAME)
    refused.final().status("STATUS_ACCESS_DENIED", rule="MS-SMB2 3.3.5.19")
    refused.at_once("MS-SMB2 3.3.5.19: checked before anything waits")
    seeing = watcher.open_directory(access=FILE_LIST_DIRECTORY | SYNCHRONIZE)
    allowed = seeing.notify(FILE_NAME)
    allowed.interim()
    s.settle()
    watcher.create_file("a")
    allowed.final().records([("ADDED", "a")], rule="MS-SMB2 3.3.5.19")
