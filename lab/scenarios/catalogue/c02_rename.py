from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "C2",
    title="Rename: OLD and NEW in one reply, silence",
    cites=["MS-FSCC 2.7.1", "MS-FSA 2.1.5.15.11"],
    rests_on="MS-FSCC; smbtorture smb2.notify.mask-change, smb2.notify-inotify.inotify-rename",
)
def rename_in_a_directory(s: Script) -> None:
    """A rename inside the watched directory is the pair of records RENAMED_OLD_NAME and
    RENAMED_NEW_NAME, adjacent and in the same reply, and nothing else under FILE_NAME."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.create_file("old")
    watched = watcher.open_directory()
    parked = watched.notify(FILE_NAME)
    parked.interim()
    s.settle()
    other.rename("old", "new")
    parked.final().records(
        [("RENAMED_OLD_NAME", "old"), ("RENAMED_NEW_NAME", "new")], rule="MS-FSCC 2.7.1"
    )
    s.silence(watched.notify(FILE_NAME), by=other)
