"""Two scenarios outside the catalogue: the first ends the guest, the second finds its successor."""

from lab.scenarios.script import Script, scenario


@scenario("X1", title="A panic", cites=[], rests_on="sysrq", provisional=True)
def panic(s: Script) -> None:
    """The kernel panics while a handle is open."""
    s.connect("watcher").open_directory()
    s.on_server.run("sh", "-c", "echo c > /proc/sysrq-trigger", note="panic")


@scenario("X2", title="A file", cites=[], rests_on="MS-SMB2", provisional=True)
def file(s: Script) -> None:
    """The next scenario has a new guest, and a fresh share."""
    s.connect("client").create_file("a")
