from collections.abc import Callable

from lab.scenarios.model import DIR_NAME, FILE_NAME
from lab.scenarios.script import Open, Script, scenario


@scenario(
    "C1",
    title="Names come and go: ADDED, REMOVED",
    cites=["MS-FSCC 2.7.1", "MS-FSA 2.1.4.1", "MS-FSA 2.1.5.15.6"],
    rests_on="MS-FSA; smbtorture smb2.notify.dir, mask",
)
def names_come_and_go(s: Script) -> None:
    """Each change of a name is one record, in a reply of its own, and nothing follows it. A watch
    for file names does not hear of directories, nor the other way round."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    files = watcher.open_directory()
    directories = watcher.open_directory()

    def one(opened: Open, kind: int, change: Callable[[], None], action: str, name: str) -> None:
        parked = opened.notify(kind)
        parked.interim()
        change()
        parked.final().records([(action, name)], rule="MS-FSCC 2.7.1")

    one(files, FILE_NAME, lambda: other.create_file("file"), "ADDED", "file")
    one(directories, DIR_NAME, lambda: other.mkdir("dir"), "ADDED", "dir")
    one(files, FILE_NAME, lambda: other.link("file", "hardlink"), "ADDED", "hardlink")
    one(files, FILE_NAME, lambda: other.delete("file"), "REMOVED", "file")
    one(directories, DIR_NAME, lambda: other.delete("dir"), "REMOVED", "dir")
    one(files, FILE_NAME, lambda: other.delete("hardlink"), "REMOVED", "hardlink")
    s.silence(files.notify(FILE_NAME), by=other)
    quiet = directories.notify(DIR_NAME)
    quiet.interim()
    quiet.still_pending("MS-FSA 2.1.4.1: files are no concern of a watch for directory names")
