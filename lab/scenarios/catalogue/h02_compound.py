from dataclasses import replace

from lab.scenarios.fields import ALL_FF, FILE_DIRECTORY_FILE, FILE_LIST_DIRECTORY
from lab.scenarios.model import FILE_NAME, Request
from lab.scenarios.script import Reply, Script, scenario


@scenario(
    "H2",
    title="Compounds: NOTIFY last, in the middle, after a failure, first",
    cites=["MS-SMB2 3.3.5.2.7.2", "MS-SMB2 3.3.4.1.3"],
    rests_on="MS-SMB2; smbtorture smb2.compound related7 to related9",
)
def compounds(s: Script) -> None:
    """An operation that may wait can only be the last of a chain: there it is PENDING; in the
    middle it fails with INTERNAL_ERROR. After a CREATE that failed, its related NOTIFY fails
    alike. One that begins a chain cannot be related to anything: INVALID_PARAMETER."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    create = {"access": FILE_LIST_DIRECTORY, "options": FILE_DIRECTORY_FILE}
    notify = {"completion_filter": FILE_NAME}
    _, last = watcher.open_and_notify("", create=create, notify=notify)
    last.interim()
    s.settle()
    other.create_file("a")
    last.final().records([("ADDED", "a")])

    opened = watcher.open_directory()
    middle = replace(opened.notify_request(FILE_NAME), file=ALL_FF, related=True)
    close = Request("CLOSE", s.fresh("close"), file=ALL_FF, related=True)
    watcher.send(
        watcher.create_request("", "open-middle", access=FILE_LIST_DIRECTORY),
        middle,
        close,
        note="watcher: compound CREATE + CHANGE_NOTIFY + CLOSE",
    )
    answer = watcher.wait_for(middle)
    answer.status("STATUS_INTERNAL_ERROR", rule="MS-SMB2 3.3.5.2.7.2")

    failed = replace(opened.notify_request(FILE_NAME), file=ALL_FF, related=True)
    absent = replace(
        watcher.create_request("absent", "open-absent", access=FILE_LIST_DIRECTORY), must=()
    )
    watcher.send(absent, failed, note="watcher: compound CREATE absent + CHANGE_NOTIFY")
    Reply(s, absent.ref, "final").status("STATUS_OBJECT_NAME_NOT_FOUND")
    answer = watcher.wait_for(failed)
    answer.status("STATUS_OBJECT_NAME_NOT_FOUND", rule="MS-SMB2 3.3.5.2.7.2: it propagates")

    first = replace(opened.notify_request(FILE_NAME), file=ALL_FF, related=True)
    watcher.send(first, note="watcher: CHANGE_NOTIFY alone, flagged as related")
    answer = watcher.wait_for(first)
    answer.status(
        "STATUS_INVALID_PARAMETER", rule="MS-SMB2 3.3.5.2.7.2: the first is never related"
    )
    watcher.echo()
