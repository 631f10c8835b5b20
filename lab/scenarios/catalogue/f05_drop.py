from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "F5",
    title="A lost connection leaks nothing",
    cites=["MS-SMB2 3.3.7.1"],
    rests_on="MS-SMB2; smbtorture smb2.notify.tcp",
)
def lost_connection(s: Script) -> None:
    """When the transport is lost while a request waits, the server closes what was open: the
    directory can be removed and made again, and another client's watch goes on."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.mkdir("dir")
    lost = watcher.open_directory("dir").notify(FILE_NAME)
    lost.interim()
    stays = other.open_directory().notify(FILE_NAME)
    stays.interim()
    s.settle()
    watcher.drop()
    s.still(stays, 0.3, rule="another client's watch")
    other.delete("dir")
    other.mkdir("dir")
    again = other.open_directory("dir").notify(FILE_NAME)
    again.interim()
    s.settle()
    other.create_file("dir\\a")
    again.final().records([("ADDED", "a")])
    s.silence(stays, by=other, seconds=0.05)
