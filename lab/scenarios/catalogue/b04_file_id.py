from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario

NEVER_GIVEN = "0123456789abcdef" * 2


@scenario(
    "B4",
    title="Closed or bogus FileId: FILE_CLOSED",
    cites=["MS-SMB2 3.3.5.19"],
    rests_on="MS-SMB2",
)
def file_ids_that_are_not_open(s: Script) -> None:
    """A FileId that was closed, or that no CREATE ever gave, is refused at once; so is an all-FF
    one outside a compound, as macOS sends it."""
    watcher = s.connect("watcher")
    opened = watcher.open_directory()
    opened.close()
    for refused in (
        opened.notify(FILE_NAME),
        opened.notify(FILE_NAME, override={"file_id": NEVER_GIVEN}),
        opened.notify(FILE_NAME, override={"file_id": "ff" * 16}),
    ):
        refused.final().status("STATUS_FILE_CLOSED", rule="MS-SMB2 3.3.5.19")
        refused.at_once("MS-SMB2 3.3.5.19: checked before anything waits")
    watcher.echo()
