from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "G3",
    title="CANCEL of nothing, and twice: ignored",
    cites=["MS-SMB2 3.3.5.16"],
    rests_on="MS-SMB2",
)
def cancel_in_vain(s: Script) -> None:
    """CANCEL of an AsyncId or MessageId that nothing has, or of a request that has ended, is not
    answered and changes nothing."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    stays = watcher.open_directory().notify(FILE_NAME)
    stays.interim()
    watcher.cancel_unknown(async_id=0x7FFF_0000_1234_5678)
    watcher.cancel_unknown(message_id=0x7FFF_0000_1234_5678)
    stays.still_pending("MS-SMB2 3.3.5.16: no request is found, nothing is done")
    twice = watcher.open_directory().notify(FILE_NAME)
    twice.interim()
    twice.cancel()
    twice.cancel()
    twice.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    twice.cancel()
    stays.still_pending("MS-SMB2 3.3.5.16: the one that has ended is not found")
    s.settle()
    other.create_file("a")
    stays.final().records([("ADDED", "a")])
