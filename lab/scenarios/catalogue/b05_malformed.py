from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "B5",
    title="Wrong StructureSize: INVALID_PARAMETER",
    cites=["MS-SMB2 3.3.5.2", "MS-SMB2 2.2.35"],
    rests_on="MS-SMB2",
)
def malformed_requests(s: Script) -> None:
    """A body whose StructureSize is not 32 is refused, and the connection goes on. Unknown filter
    bits and a filter of 0 are neither refused nor allowed by the documents: whatever the answer,
    the connection survives, and a proper request on another handle works."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    for size in (31, 33):
        refused = watcher.open_directory().notify(FILE_NAME, override={"structure_size": size})
        refused.final().status("STATUS_INVALID_PARAMETER", rule="MS-SMB2 2.2.35")
    watcher.open_directory().notify(0xFFFFF000)
    watcher.open_directory().notify(0)
    watcher.echo()
    proper = watcher.open_directory().notify(FILE_NAME)
    proper.interim()
    s.settle()
    other.create_file("a")
    proper.final().records([("ADDED", "a")])
