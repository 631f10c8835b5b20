from lab.scenarios.fields import DELETE, FILE_CREATE, FILE_DELETE_ON_CLOSE, GENERIC_READ
from lab.scenarios.model import ANY_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "C10",
    title="A failed operation is silent",
    cites=["MS-FSA 2.1.4.1", "MS-FSA 2.1.5.1"],
    rests_on="MS-FSA",
)
def failures_are_silent(s: Script) -> None:
    """Creating what exists, opening what does not, removing a directory that is not empty: what did
    not happen is not told."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.create_file("file")
    other.mkdir("dir")
    other.create_file("dir\\child")
    parked = watcher.open_directory().notify(ANY_NAME)
    parked.interim()
    s.settle()
    other.attempt(
        other.create_request("file", "none1", access=GENERIC_READ, disposition=FILE_CREATE),
        "STATUS_OBJECT_NAME_COLLISION",
        note="create file, which exists",
    )
    other.attempt(
        other.create_request("absent", "none2", access=GENERIC_READ),
        "STATUS_OBJECT_NAME_NOT_FOUND",
        note="open absent, which does not exist",
    )
    other.attempt(
        other.create_request("dir", "none3", access=DELETE, options=FILE_DELETE_ON_CLOSE),
        "STATUS_DIRECTORY_NOT_EMPTY",
        "STATUS_SUCCESS",
        because="the refusal may come with the CREATE or be silent at the CLOSE",
        note="delete dir, which is not empty",
    )
    s.silence(parked, by=other)
