"""Two scenarios outside the catalogue: the first takes all memory of the guest."""

from lab.scenarios.script import Script, scenario

FILL = "mkdir /tmp/hog && mount -t tmpfs -o size=4g none /tmp/hog && cat /dev/zero >/tmp/hog/all"


@scenario("X1", title="No memory left", cites=[], rests_on="tmpfs", provisional=True)
def fill(s: Script) -> None:
    """A file in memory that is larger than it."""
    s.connect("watcher").open_directory()
    s.on_server.run("sh", "-c", FILL, note="no memory left")


@scenario("X2", title="A file", cites=[], rests_on="MS-SMB2", provisional=True)
def file(s: Script) -> None:
    """The next scenario has a new guest, with all of its memory."""
    s.connect("client").create_file("a")
