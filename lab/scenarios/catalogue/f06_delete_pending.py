from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "F6",
    title="Deleting the watched directory: DELETE_PENDING",
    cites=["MS-FSA 2.1.5.15.3", "MS-FSA 2.1.5.5"],
    rests_on="MS-FSA; smbtorture smb2.notify.rmdir1 to rmdir4",
)
def delete_the_watched_directory(s: Script) -> None:
    """By disposition or by delete-on-close, on the watching connection or on another: the watch
    ends with STATUS_DELETE_PENDING."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    for by in (watcher, other):
        for name, delete in (
            (f"disposed-by-{by.name}", by.dispose),
            (f"closed-by-{by.name}", by.delete),
        ):
            with s.point(name):
                other.mkdir(name)
                watched = watcher.open_directory(name)
                parked = watched.notify(FILE_NAME)
                parked.interim()
                s.settle()
                delete(name)
                parked.final().status("STATUS_DELETE_PENDING", rule="MS-FSA 2.1.5.15.3")
                watched.close()
