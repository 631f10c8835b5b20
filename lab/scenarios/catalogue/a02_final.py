from lab.scenarios.model import FILE_NAME, HeaderFlags, bits_set, equals, one_of, same_as
from lab.scenarios.script import Script, scenario

ASYNC_RESPONSE = HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND | HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR


@scenario(
    "A2",
    title="Final response: shape",
    cites=["MS-SMB2 3.3.4.4", "MS-SMB2 2.2.36", "MS-SMB2 2.2.1.1"],
    rests_on="MS-SMB2",
)
def final_shape(s: Script) -> None:
    """The final response answers the request that the interim one announced: same MessageId, same
    AsyncId, ASYNC flag, no further credits; its buffer begins 72 bytes from the header."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    parked = watcher.open_directory().notify(FILE_NAME)
    parked.interim()
    s.settle()
    other.create_file("a")
    final = parked.final().status("STATUS_SUCCESS", rule="MS-SMB2 3.3.5.19")
    for name in ("message_id", "async_id", "session_id"):
        field = f"header.{name}"
        final.field(field, same_as(parked.ref, "interim", field), rule="MS-SMB2 3.3.4.3")
    final.field("header.flags", bits_set(ASYNC_RESPONSE), rule="MS-SMB2 3.3.4.3")
    final.field("header.credits", equals(0), rule="MS-SMB2 3.3.4.3")
    final.field("signature_ok", equals(True), rule="MS-SMB2 3.3.4.1.1")
    final.field("body.structure_size", equals(9), rule="MS-SMB2 2.2.36")
    final.field("body.output_buffer_offset", equals(72), rule="MS-SMB2 2.2.36")
    final.field(
        "body.output_buffer_length",
        one_of(14, 16, because="12 + 2 bytes; whether the last record is padded is left open"),
        rule="MS-FSCC 2.7.1",
    )
    final.records([("ADDED", "a")], rule="MS-FSCC 2.7.1")
