from lab.scenarios.script import Script, scenario

FOLDER_FILTER = 0xD47  # names, attributes, creation, security, stream size and content
SERVER_FILTER = 0xFFF
SERVER_LENGTH = 65536
MODIFIED = ("MODIFIED", "file")
LATER = "what a server sets on a new or renamed file may be told as well"


@scenario(
    "H1b",
    title="The Finder's flow: two filters, a stray FileId",
    cites=["MS-SMB2 3.3.5.19", "MS-SMB2 3.3.5.10", "MS-SMB2 2.2.35"],
    rests_on="requests of macOS clients as servers' developers report them; no capture",
    provisional=True,
)
def finder(s: Script) -> None:
    """A folder in the Finder is watched with filter 0xD47, the mount besides with all twelve bits
    and 64 KiB; backupd asks with an all-FF FileId outside a compound, which is refused while the
    watches go on. Closing the window closes the handle."""
    mac = s.connect("mac")
    other = s.connect("other")
    folder = mac.open_directory()
    mount = mac.open_directory()
    of_mount = mount.notify(SERVER_FILTER, length=SERVER_LENGTH)
    of_mount.interim()
    of_folder = folder.notify(FOLDER_FILTER, length=SERVER_LENGTH)
    of_folder.interim()
    stray = folder.notify(FOLDER_FILTER, override={"file_id": "ff" * 16})
    stray.final().status("STATUS_FILE_CLOSED", rule="MS-SMB2 3.3.5.19")
    of_folder.still_pending("the stray request was another one")
    s.settle()
    other.create_file("file")
    for parked in (of_folder, of_mount):
        parked.final().records([("ADDED", "file")], [("ADDED", "file"), MODIFIED], because=LATER)
    rest = folder.collect(FOLDER_FILTER, length=SERVER_LENGTH)
    rest.records([], [MODIFIED], because=LATER)
    other.rename("file", "renamed")
    renamed = [("RENAMED_OLD_NAME", "file"), ("RENAMED_NEW_NAME", "renamed")]
    rest.final().records(renamed, [*renamed, ("MODIFIED", "renamed")], because=LATER)
    last = folder.collect(FOLDER_FILTER, length=SERVER_LENGTH)
    last.records([], [("MODIFIED", "renamed")], because=LATER)
    folder.close_expecting("STATUS_SUCCESS")
    last.final().status("STATUS_NOTIFY_CLEANUP", rule="MS-FSA 2.1.5.5")
