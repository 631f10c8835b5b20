from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario

DIALECTS = (0x0210, 0x0300, 0x0302, 0x0311)


@scenario(
    "B3",
    title="Length above MaxTransactSize or CreditCharge",
    cites=["MS-SMB2 3.3.5.19", "MS-SMB2 3.3.5.2.5"],
    rests_on="MS-SMB2; smbtorture smb2.notify.valid-req; WPTS MaxTransactSizeCheck",
)
def too_long(s: Script) -> None:
    """An OutputBufferLength above what the server announced is INVALID_PARAMETER in every dialect;
    so is one of more than 64 KiB that is paid for with a single credit. 64 KiB are fine."""
    for dialect in DIALECTS:
        watcher = s.connect(f"smb{dialect:04x}", dialects=[dialect])
        watched = watcher.open_directory()
        refused = watched.notify(FILE_NAME, override={"output_buffer_length": "max + 1"})
        refused.final().status("STATUS_INVALID_PARAMETER", rule="MS-SMB2 3.3.5.19")
        refused.at_once("MS-SMB2 3.3.5.19: checked before anything waits")
        unpaid = watched.notify(FILE_NAME, length=65537, override={"credit_charge": 1})
        unpaid.final().status("STATUS_INVALID_PARAMETER", rule="MS-SMB2 3.3.5.2.5")
        unpaid.at_once("MS-SMB2 3.3.5.2.5: checked before anything waits")
        parked = watched.notify(FILE_NAME, length=65536)
        parked.interim()
        parked.cancel()
        parked.final().status("STATUS_CANCELLED")
