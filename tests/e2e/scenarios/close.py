"""A file is closed and opened again while another handle keeps it open; then something else.

In Linux 6.12.107 the closed handle stays on the list of the file's handles although its memory is
free, and the next CREATE takes that memory: docs/crashes.md.
"""

from lab.scenarios.script import Script, scenario


@scenario("X1", title="Open, close, open", cites=["MS-SMB2 3.3.5.10"], rests_on="MS-SMB2")
def open_close_open(s: Script) -> None:
    """Three CREATEs of one directory, and a CLOSE between the second and the third."""
    client = s.connect("client")
    client.open_directory()
    client.open_directory().close()
    client.open_directory()


@scenario("X2", title="A file", cites=["MS-SMB2 3.3.5.9"], rests_on="MS-SMB2")
def file(s: Script) -> None:
    """The next scenario finds a server that works."""
    s.connect("client").create_file("a")
