from functools import partial

from lab.scenarios.model import DIR_NAME, FILE_NAME
from lab.scenarios.script import Notify, Open, Script, scenario


class Watch:
    """A handle with one kind of names, and the request that waits on it."""

    parked: Notify

    def __init__(self, opened: Open, kind: int) -> None:
        self.opened = opened
        self.kind = kind

    def arm(self) -> None:
        self.parked = self.opened.notify(self.kind)
        self.parked.interim()


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
    files = Watch(watcher.open_directory(), FILE_NAME)
    directories = Watch(watcher.open_directory(), DIR_NAME)
    files.arm()
    directories.arm()
    s.settle()
    for watch, change, action, name in (
        (files, partial(other.create_file, "file"), "ADDED", "file"),
        (directories, partial(other.mkdir, "dir"), "ADDED", "dir"),
        (files, partial(other.link, "file", "hardlink"), "ADDED", "hardlink"),
        (files, partial(other.delete, "file"), "REMOVED", "file"),
        (directories, partial(other.delete, "dir"), "REMOVED", "dir"),
        (files, partial(other.delete, "hardlink"), "REMOVED", "hardlink"),
    ):
        change()
        watch.parked.final().records([(action, name)], rule="MS-FSCC 2.7.1")
        watch.arm()
    s.silence(files.parked, by=other)
    directories.parked.still_pending(
        "MS-FSA 2.1.4.1: files are no concern of a watch for directory names"
    )
