from collections.abc import Callable
from functools import partial

from lab.scenarios.model import DIR_NAME, FILE_NAME, CompletionFilter
from lab.scenarios.script import Conn, Notify, Script, scenario

ATTRIBUTES = CompletionFilter.FILE_NOTIFY_CHANGE_ATTRIBUTES
SIZE = CompletionFilter.FILE_NOTIFY_CHANGE_SIZE
LAST_WRITE = CompletionFilter.FILE_NOTIFY_CHANGE_LAST_WRITE
LAST_ACCESS = CompletionFilter.FILE_NOTIFY_CHANGE_LAST_ACCESS
CREATION = CompletionFilter.FILE_NOTIFY_CHANGE_CREATION
EA = CompletionFilter.FILE_NOTIFY_CHANGE_EA
SECURITY = CompletionFilter.FILE_NOTIFY_CHANGE_SECURITY
STREAM_NAME = CompletionFilter.FILE_NOTIFY_CHANGE_STREAM_NAME
STREAM_SIZE = CompletionFilter.FILE_NOTIFY_CHANGE_STREAM_SIZE
STREAM_WRITE = CompletionFilter.FILE_NOTIFY_CHANGE_STREAM_WRITE
CONTENT = SIZE | LAST_WRITE | LAST_ACCESS | ATTRIBUTES  # a write may set ARCHIVE, and both times
STREAM_CONTENT = STREAM_SIZE | STREAM_WRITE
OVERWRITTEN = CONTENT | EA | CREATION | STREAM_NAME  # attributes, EAs and streams go as well
RENAMED = FILE_NAME | ATTRIBUTES | CREATION  # smbtorture smb2.notify.mask-change: MODIFIED as well
NOON = 133_500_000_000_000_000

Change = Callable[[Conn, str], None]
OPERATIONS: tuple[tuple[str, Change, CompletionFilter], ...] = (
    ("create", lambda by, at: by.create_file(f"{at}\\new"), FILE_NAME),
    ("unlink", lambda by, at: by.delete(f"{at}\\file"), FILE_NAME),
    ("mkdir", lambda by, at: by.mkdir(f"{at}\\new"), DIR_NAME),
    ("rmdir", lambda by, at: by.delete(f"{at}\\dir"), DIR_NAME),
    ("rename", lambda by, at: by.rename(f"{at}\\file", f"{at}\\renamed"), RENAMED),
    ("rename-dir", lambda by, at: by.rename(f"{at}\\dir", f"{at}\\renamed"), DIR_NAME),
    ("attributes", lambda by, at: by.set_basic(f"{at}\\file", file_attributes=2), ATTRIBUTES),
    ("write-time", lambda by, at: by.set_basic(f"{at}\\file", last_write_time=NOON), LAST_WRITE),
    ("access-time", lambda by, at: by.set_basic(f"{at}\\file", last_access_time=NOON), LAST_ACCESS),
    ("creation-time", lambda by, at: by.set_basic(f"{at}\\file", creation_time=NOON), CREATION),
    ("extend", lambda by, at: by.write(f"{at}\\file", length=100), CONTENT),
    ("truncate", lambda by, at: by.truncate(f"{at}\\file", 0), CONTENT),
    ("ea", lambda by, at: by.set_ea(f"{at}\\file", "value"), EA),
    ("hardlink", lambda by, at: by.link(f"{at}\\file", f"{at}\\link"), FILE_NAME),
    ("security", lambda by, at: by.set_dacl(f"{at}\\file"), SECURITY),
    ("stream", lambda by, at: by.create_file(f"{at}\\file:s"), STREAM_NAME),
    ("stream-write", lambda by, at: by.write(f"{at}\\file:old", length=9), STREAM_CONTENT),
    ("stream-remove", lambda by, at: by.delete(f"{at}\\file:old"), STREAM_NAME),
    ("overwrite", lambda by, at: by.overwrite(f"{at}\\file"), OVERWRITTEN),
)


def _make_ready(by: Conn, name: str) -> None:
    by.mkdir(name)
    by.create_file(f"{name}\\file")
    by.create_file(f"{name}\\file:old")
    by.mkdir(f"{name}\\dir")


@scenario(
    "C8",
    title="Each filter bit alone, each operation: no false positive",
    cites=["MS-SMB2 2.2.35", "MS-FSA 2.1.4.1"],
    rests_on="MS-FSA; smbtorture smb2.notify.mask",
    provisional=True,
)
def single_filters(s: Script) -> None:
    """Twelve watches of one filter bit each, on a directory for each operation. Those whose bit the
    operation does not touch stay silent: a request that finds something buffered would report it,
    rather than be cancelled. Whether a write also sets attributes and access time is left open; a
    rename of a file may be told as a change of its attributes, too."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    fence = s.fence(watcher)
    silent: list[tuple[str, Notify]] = []
    for name, _, touched in OPERATIONS:
        _make_ready(other, name)
        for bit in CompletionFilter:
            if not bit & touched:
                parked = watcher.open_directory(name).notify(bit)
                silent.append((f"{name} under {bit.name}", parked))
    silent[-1][1].interim()
    s.settle()
    for name, change, _ in OPERATIONS:
        partial(change, other, name)()
    fence.passed(by=other)
    for point, parked in silent:
        with s.point(point):
            parked.cancel()
            parked.final().status("STATUS_CANCELLED", rule="MS-FSA 2.1.4.1: another filter")
