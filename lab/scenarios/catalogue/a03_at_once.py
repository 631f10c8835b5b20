from lab.scenarios.model import FILE_NAME, HeaderFlags, bits_clear
from lab.scenarios.script import Script, scenario


@scenario(
    "A3",
    title="Buffered changes are answered at once",
    cites=["MS-SMB2 3.3.5.19", "MS-SMB2 3.3.4.2", "MS-FSA 2.1.5.11"],
    rests_on="MS-SMB2",
)
def buffered_is_at_once(s: Script) -> None:
    """Where there is something to report, nothing waits: one response, no interim one before it,
    and no ASYNC flag, since nothing became asynchronous."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    fence = s.fence(watcher)
    armed = watched.notify(FILE_NAME)
    armed.interim()
    s.settle()
    other.create_file("one")
    armed.final().records([("ADDED", "one")])
    other.create_file("two")
    fence.passed(by=other)
    at_once = watched.notify(FILE_NAME)
    reply = at_once.final().records([("ADDED", "two")], rule="MS-FSA 2.1.5.11")
    at_once.at_once("MS-SMB2 3.3.4.2: only for what has to wait")
    reply.field(
        "header.flags",
        bits_clear(HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND),
        rule="MS-SMB2 3.3.4.3",
    )
