from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "H5",
    title="CANCEL after a new ChannelSequence",
    cites=["MS-SMB2 3.3.5.2.10", "MS-SMB2 3.3.5.16"],
    rests_on="MS-SMB2; smbtorture smb2.replay.replay7",
)
def channel_sequence(s: Script) -> None:
    """A request that waits since before the client raised its ChannelSequence can still be
    cancelled, and a new one still waits and is answered."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    parked = watched.notify(FILE_NAME)
    parked.interim()
    watcher.echo(override={"status": 1})  # in a request of SMB 3, the ChannelSequence
    raised = watched.notify(FILE_NAME, override={"status": 1})
    raised.interim()
    parked.cancel()
    parked.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
    raised.still_pending("only the older one was cancelled")
    s.settle()
    other.create_file("a")
    raised.final().records([("ADDED", "a")])
