from lab.scenarios.model import ANY_NAME, CompletionFilter
from lab.scenarios.script import Script, scenario


@scenario(
    "C9",
    title="The watched directory itself is silent",
    cites=["MS-FSA 2.1.4.1"],
    rests_on="smbtorture smb2.notify.basedir",
)
def the_directory_itself(s: Script) -> None:
    """A watch is about what is in the directory. A change of the directory's own attributes is told
    to who watches its parent, not to who watches it."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.mkdir("dir")
    kind = ANY_NAME | CompletionFilter.FILE_NOTIFY_CHANGE_ATTRIBUTES
    itself = watcher.open_directory("dir").notify(kind)
    itself.interim()
    parent = watcher.open_directory().notify(kind)
    parent.interim()
    s.settle()
    other.set_basic("dir", file_attributes=0x12)  # HIDDEN, DIRECTORY
    parent.final().records([("MODIFIED", "dir")], rule="MS-FSA 2.1.4.1")
    s.still(itself, 0.3, rule="smbtorture smb2.notify.basedir")
    other.mkdir("dir\\sentinel")
    itself.final().records([("ADDED", "sentinel")], rule="nothing but the sentinel")
