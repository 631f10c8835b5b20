from lab.scenarios.model import (
    FILE_NAME,
    HeaderFlags,
    at_least,
    bits_clear,
    bits_set,
    equals,
    nonzero,
)
from lab.scenarios.script import Script, scenario

ASYNC_RESPONSE = HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND | HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR
RELATED = HeaderFlags.SMB2_FLAGS_RELATED_OPERATIONS


@scenario(
    "A1",
    title="Interim response: shape",
    cites=["MS-SMB2 3.3.4.2", "MS-SMB2 2.2.1.1", "MS-SMB2 2.2.2"],
    rests_on="MS-SMB2",
)
def interim_shape(s: Script) -> None:
    """A CHANGE_NOTIFY that has to wait is answered at once by an interim response: an ERROR body
    with STATUS_PENDING, the ASYNC flag, an AsyncId, and credits, so that the client can go on."""
    watcher = s.connect("watcher")
    parked = watcher.open_directory().notify(FILE_NAME)
    interim = parked.interim()
    interim.field("header.flags", bits_set(ASYNC_RESPONSE), rule="MS-SMB2 3.3.4.2")
    interim.field(
        "header.flags",
        bits_clear(HeaderFlags.SMB2_FLAGS_RELATED_OPERATIONS),
        rule="MS-SMB2 2.2.1.1",
    )
    interim.field("header.async_id", nonzero(), rule="MS-SMB2 3.3.4.2")
    interim.field("header.structure_size", equals(64), rule="MS-SMB2 2.2.1.1")
    interim.field("header.next_command", equals(0), rule="MS-SMB2 2.2.1.1")
    interim.field("header.credits", at_least(1), rule="MS-SMB2 3.3.4.2")
    interim.field("body.structure_size", equals(9), rule="MS-SMB2 2.2.2")
    interim.field("body.error", equals(True), rule="MS-SMB2 2.2.2")
    interim.field("body.byte_count", equals(0), rule="MS-SMB2 2.2.2")
    parked.still_pending("MS-SMB2 3.3.4.2: the final response comes with the event")
    parked.cancel()
    parked.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
