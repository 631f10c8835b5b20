from lab.scenarios.model import FILE_NAME, equals
from lab.scenarios.script import Script, scenario

VARIANTS = (
    ("sha-210", 0x0210, "HMAC-SHA256"),
    ("cmac-302", 0x0302, "AES-CMAC"),
    ("cmac-311", 0x0311, "AES-CMAC"),
    ("gmac-311", 0x0311, "AES-GMAC"),
    ("sha-311", 0x0311, "HMAC-SHA256"),
)


@scenario(
    "A6",
    title="Signed with HMAC-SHA256, AES-CMAC, AES-GMAC",
    cites=["MS-SMB2 3.3.4.1.1", "MS-SMB2 3.1.4.1", "MS-SMB2 2.2.3.1.7"],
    rests_on="MS-SMB2; smbtorture smb2.session.signing-*",
)
def signed(s: Script) -> None:
    """The final response, and that to a CANCEL signed for an asynchronous request, carry a good
    signature of the algorithm that was negotiated. Only the interim response may go unsigned. The
    CANCEL carries its request's MessageId beside the AsyncId: AES-GMAC makes its nonce of it."""
    for name, dialect, algorithm in VARIANTS:
        with s.point(f"{algorithm}, dialect {dialect:#06x}"):
            watcher = s.connect(name, dialects=[dialect], signing=[algorithm])
            watched = watcher.open_directory()
            parked = watched.notify(FILE_NAME)
            parked.interim()
            s.settle()
            watcher.create_file(name)
            final = parked.final().records([("ADDED", name)])
            final.field("signing", equals(algorithm), rule="MS-SMB2 2.2.4.1.7")
            final.field("signature_ok", equals(True), rule="MS-SMB2 3.3.4.1.1")
            again = watched.notify(FILE_NAME)
            again.interim()
            again.cancel(by_async_id=True, by_message_id=True)
            cancelled = again.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
            cancelled.field("signature_ok", equals(True), rule="MS-SMB2 3.3.4.1.1")
