from lab.scenarios.model import FILE_NAME, equals
from lab.scenarios.script import Script, scenario


@scenario(
    "D3",
    title="The first buffer sizes the handle; 0 means ENUM_DIR",
    cites=["MS-FSA 2.1.5.11", "MS-FSA 2.1.5.11.1"],
    rests_on="smbtorture smb2.notify.valid-req",
    provisional=True,
)
def first_buffer_decides(s: Script) -> None:
    """A handle whose first request had a buffer of 1 byte, or of none, answers each change with
    STATUS_NOTIFY_ENUM_DIR, even where a later request has room; and it waits again in between."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    for number, length in enumerate((0, 1)):
        watched = watcher.open_directory()
        first = watched.notify(FILE_NAME, length=length)
        first.interim()
        s.settle()
        other.create_file(f"first{number}")
        told = first.final().status("STATUS_NOTIFY_ENUM_DIR", rule="MS-FSA 2.1.5.11.1")
        told.field("body.output_buffer_length", equals(0), rule="MS-SMB2 3.3.4.4")
        later = watched.notify(FILE_NAME, length=4096)
        s.still(later, 0.05, rule="one change is told once")
        other.create_file(f"later{number}")
        later.final().status("STATUS_NOTIFY_ENUM_DIR", rule="smbtorture smb2.notify.valid-req")
        watched.close()
