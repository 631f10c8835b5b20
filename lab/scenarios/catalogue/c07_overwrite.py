from lab.scenarios.model import FILE_NAME, CompletionFilter
from lab.scenarios.script import Script, scenario

KIND = (
    FILE_NAME
    | CompletionFilter.FILE_NOTIFY_CHANGE_ATTRIBUTES
    | CompletionFilter.FILE_NOTIFY_CHANGE_SIZE
    | CompletionFilter.FILE_NOTIFY_CHANGE_LAST_WRITE
)
MODIFIED = ("MODIFIED", "file")
FENCE = ("ADDED", "fence")
ONCE_OR_TWICE = "size and times may be told apart or together"


@scenario(
    "C7",
    title="Overwrite: MODIFIED; recreate: all three",
    cites=["MS-FSA 2.1.5.1.2", "MS-FSCC 2.7.1"],
    rests_on="MS-FSA; smbtorture smb2.notify.valid-req",
    provisional=True,
)
def overwrite(s: Script) -> None:
    """Emptying a file by CREATE with FILE_OVERWRITE leaves its name alone: MODIFIED. Removing,
    making and filling it anew, as smbtorture does, is REMOVED, ADDED, MODIFIED."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.create_file("file")
    other.write("file", length=10)
    watched = watcher.open_directory()
    parked = watched.notify(KIND)
    parked.interim()
    s.settle()
    other.overwrite("file")
    other.create_file("fence")
    watched.collect(KIND, until="fence", first=parked).records(
        [MODIFIED, FENCE],
        [MODIFIED, MODIFIED, FENCE],
        because=ONCE_OR_TWICE,
        rule="MS-FSA 2.1.5.1.2",
    )
    other.delete("fence")
    removed = watched.collect(KIND)
    removed.records([("REMOVED", "fence")])
    other.delete("file")
    other.create_file("file")
    other.write("file", length=10)
    other.create_file("fence")
    recreated = [("REMOVED", "file"), ("ADDED", "file"), MODIFIED]
    watched.collect(KIND, until="fence", first=removed).records(
        [*recreated, FENCE],
        [*recreated, MODIFIED, FENCE],
        because=ONCE_OR_TWICE,
        rule="smbtorture smb2.notify.valid-req",
    )
