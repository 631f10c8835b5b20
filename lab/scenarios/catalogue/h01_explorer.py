from lab.scenarios.fields import FILE_OPEN, SHARE_ALL
from lab.scenarios.model import FILE_NAME, CompletionFilter, nonzero
from lab.scenarios.script import Script, scenario

# What Windows Explorer sends, field by field.
ACCESS = 0x00100081  # SYNCHRONIZE | FILE_READ_ATTRIBUTES | FILE_LIST_DIRECTORY
LENGTH = 2048
FILTER = (
    FILE_NAME
    | CompletionFilter.FILE_NOTIFY_CHANGE_ATTRIBUTES
    | CompletionFilter.FILE_NOTIFY_CHANGE_LAST_WRITE
)  # 0x15
CREATE = {
    "access": ACCESS,
    "share": SHARE_ALL,
    "disposition": FILE_OPEN,
    "options": 0,
    "maximal_access": True,
}
NOTIFY = {"completion_filter": FILTER, "tree": False, "length": LENGTH}
MODIFIED = ("MODIFIED", "file1")


@scenario(
    "H1",
    title="Explorer's flow: enter, touch, leave",
    cites=["MS-SMB2 3.3.5.2.7.2", "MS-SMB2 3.3.5.19", "MS-SMB2 3.3.5.16"],
    rests_on="a capture of Windows Explorer against Samba",
)
def explorer(s: Script) -> None:
    """Entering a folder is one compound: CREATE with a maximal access query, and CHANGE_NOTIFY on
    the handle that it opens. The next folder's watch is armed before the last one is cancelled, by
    ASYNC flag, AsyncId and MessageId. A file touched on the server shows up without F5."""
    windows = s.connect("windows")
    s.on_server.mkdir("dir")
    root, in_root = windows.open_and_notify("", create=CREATE, notify=NOTIFY)
    in_root.interim()

    folder, in_folder = windows.open_and_notify("dir", create=CREATE, notify=NOTIFY)
    in_folder.interim().field("header.async_id", nonzero(), rule="MS-SMB2 3.3.4.2")
    in_root.cancel(by_async_id=True, by_message_id=True)
    in_root.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    root.close_expecting("STATUS_SUCCESS")
    in_folder.still_pending("the cancelled watch was another one")

    s.settle()
    s.on_server.touch("dir/file1")
    in_folder.final().records(
        [("ADDED", "file1")],
        [("ADDED", "file1"), MODIFIED],
        because="touch creates the file and then sets its times; both may be known by the answer",
        rule="MS-FSA 2.1.4.1",
    )
    again = folder.collect(FILTER, length=LENGTH)
    again.records(
        [],
        [MODIFIED],
        [MODIFIED, MODIFIED],
        because="what the touch did to the file's times may come in the next answers",
    )

    _, back = windows.open_and_notify("", create=CREATE, notify=NOTIFY)
    back.interim()
    again.cancel(by_async_id=True, by_message_id=True)
    again.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    folder.close_expecting("STATUS_SUCCESS")
    back.still_pending("only the folder's watch was cancelled")
