from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "E4",
    title="Changes made on the server itself",
    cites=["MS-FSA 2.1.4.1", "MS-SMB2 3.3.4.4"],
    rests_on="MS-FSA: a change is a change, whoever makes it; the seed's touch dir/file1",
)
def changed_beside_the_server(s: Script) -> None:
    """What a local process does to the share is reported like what a client does: right in the
    watched directory, below it, and in a directory made a moment ago."""
    watcher = s.connect("watcher")
    s.on_server.mkdir("sub")
    watched = watcher.open_directory()
    parked = watched.notify(FILE_NAME, tree=True)
    parked.interim()
    s.settle()
    s.on_server.touch("file1")
    parked.final().records([("ADDED", "file1")], rule="MS-FSA 2.1.4.1")
    s.on_server.touch("sub/file2")
    s.on_server.rename("file1", "file3")
    s.on_server.rm("sub/file2")
    s.on_server.mkdir("new")
    s.on_server.touch("new/file4")
    s.on_server.touch("fence")
    watched.collect(FILE_NAME, tree=True, until="fence").records(
        [
            ("ADDED", "sub\\file2"),
            ("RENAMED_OLD_NAME", "file1"),
            ("RENAMED_NEW_NAME", "file3"),
            ("REMOVED", "sub\\file2"),
            ("ADDED", "new\\file4"),
            ("ADDED", "fence"),
        ],
        rule="MS-FSA 2.1.4.1",
    )
