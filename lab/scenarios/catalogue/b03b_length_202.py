from lab.scenarios.model import DIALECT_2_0_2, FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "B3b",
    title="Length above MaxTransactSize in dialect 2.0.2",
    cites=["MS-SMB2 3.3.5.19", "MS-SMB2 3.3.5.4"],
    rests_on="MS-SMB2; WPTS MaxTransactSizeCheck_Smb2002",
    needs=[DIALECT_2_0_2],
)
def too_long_in_202(s: Script) -> None:
    """Dialect 2.0.2 knows no CreditCharge, and 64 KiB are all that there is: one byte more is
    INVALID_PARAMETER, and the handle stays good."""
    watcher = s.connect("watcher", dialects=[0x0202])
    watched = watcher.open_directory()
    refused = watched.notify(FILE_NAME, override={"output_buffer_length": "max + 1"})
    refused.final().status("STATUS_INVALID_PARAMETER", rule="MS-SMB2 3.3.5.19")
    refused.at_once("MS-SMB2 3.3.5.19: checked before anything waits")
    parked = watched.notify(FILE_NAME, length=65536)
    parked.interim()
    s.settle()
    watcher.create_file("a")
    parked.final().records([("ADDED", "a")])
