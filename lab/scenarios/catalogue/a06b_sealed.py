from lab.scenarios.fields import FILE_DIRECTORY_FILE, FILE_LIST_DIRECTORY
from lab.scenarios.model import FILE_NAME, equals
from lab.scenarios.script import Script, scenario

VARIANTS = (
    ("ccm-300", 0x0300, "AES-128-CCM"),
    ("ccm128", 0x0311, "AES-128-CCM"),
    ("gcm128", 0x0311, "AES-128-GCM"),
    ("ccm256", 0x0311, "AES-256-CCM"),
    ("gcm256", 0x0311, "AES-256-GCM"),
)


@scenario(
    "A6b",
    title="Sealed with AES-128 and AES-256, CCM and GCM",
    cites=["MS-SMB2 3.3.4.1.4", "MS-SMB2 2.2.41", "MS-SMB2 3.1.4.3", "MS-SMB2 2.2.3.1.2"],
    rests_on="MS-SMB2; smbtorture smb2.session.encryption-*",
)
def sealed(s: Script) -> None:
    """To a sealed request every response is sealed: the interim one, the final one, and each of a
    compound. A sealed CANCEL finds its request."""
    for name, dialect, cipher in VARIANTS:
        with s.point(f"{cipher}, dialect {dialect:#06x}"):
            watcher = s.connect(name, dialects=[dialect], ciphers=[cipher])
            _, parked = watcher.open_and_notify(
                "",
                create={"access": FILE_LIST_DIRECTORY, "options": FILE_DIRECTORY_FILE},
                notify={"completion_filter": FILE_NAME},
            )
            parked.interim().field("sealed", equals(True), rule="MS-SMB2 3.3.4.1.4")
            s.settle()
            watcher.create_file(name)
            final = parked.final().records([("ADDED", name)])
            final.field("sealed", equals(True), rule="MS-SMB2 3.3.4.1.4")
            final.field("sealing", equals(cipher), rule="MS-SMB2 2.2.4.1.2")
            again = watcher.open_directory().notify(FILE_NAME)
            again.interim()
            again.cancel()
            cancelled = again.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
            cancelled.field("sealed", equals(True), rule="MS-SMB2 3.3.4.1.4")
