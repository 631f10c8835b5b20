from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "F7",
    title="The watched directory is renamed",
    cites=["MS-FSA 2.1.5.15.11"],
    rests_on="nothing yet: what each server does is on record",
    provisional=True,
)
def renamed_directory(s: Script) -> None:
    """No document says what becomes of a watch whose directory gets another name. It may go on, or
    fall silent until the handle is closed; it may not end with an error."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.mkdir("before")
    watched = watcher.open_directory("before")
    parked = watched.notify(FILE_NAME)
    parked.interim()
    s.settle()
    other.rename("before", "after")
    other.create_file("after\\file")
    s.drain(0.1)
    watched.close()
    parked.final().status(
        "STATUS_SUCCESS",
        "STATUS_NOTIFY_CLEANUP",
        because="the watch may follow the directory or lose it",
    )
