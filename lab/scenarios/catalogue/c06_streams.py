from lab.scenarios.model import CompletionFilter
from lab.scenarios.script import Script, scenario

STREAMS = (
    CompletionFilter.FILE_NOTIFY_CHANGE_STREAM_NAME
    | CompletionFilter.FILE_NOTIFY_CHANGE_STREAM_SIZE
    | CompletionFilter.FILE_NOTIFY_CHANGE_STREAM_WRITE
)


@scenario(
    "C6",
    title="Streams: ADDED, MODIFIED, REMOVED_STREAM",
    cites=["MS-FSCC 2.7.1", "MS-SMB2 2.2.35"],
    rests_on="MS-FSCC; WPTS BVT_SMB2Basic_ChangeNotify_ChangeStream*",
    provisional=True,
)
def streams(s: Script) -> None:
    """A named stream that comes, grows and goes is told by the actions 6, 8 and 7, under the name
    of its file and itself."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.create_file("file")
    watched = watcher.open_directory()
    parked = watched.notify(STREAMS)
    parked.interim()
    s.settle()
    other.create_file("file:stream")
    parked.final().records([("ADDED_STREAM", "file:stream")], rule="MS-FSCC 2.7.1")
    parked = watched.notify(STREAMS)
    other.write("file:stream", length=10)
    parked.final().records([("MODIFIED_STREAM", "file:stream")], rule="MS-FSCC 2.7.1")
    rest = watched.collect(STREAMS)
    rest.records(
        [],
        [("MODIFIED_STREAM", "file:stream")],
        because="size and content are two filter bits; one change of both may be two records",
    )
    other.delete("file:stream")
    rest.final().records([("REMOVED_STREAM", "file:stream")], rule="MS-FSCC 2.7.1")
