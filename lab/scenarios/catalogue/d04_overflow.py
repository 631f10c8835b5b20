from lab.scenarios.model import FILE_NAME, equals
from lab.scenarios.script import Script, scenario

BUFFER = 1000
NAMES = tuple(f"{number:02}-{'x' * 40}" for number in range(20))  # 98 bytes a record, 1960 in all


@scenario(
    "D4",
    title="Overflow: ENUM_DIR, then fresh changes",
    cites=["MS-FSA 2.1.5.11.1", "MS-SMB2 3.3.4.4", "MS-SMB2 2.2.36"],
    rests_on="MS-FSA; smbtorture smb2.notify.overflow",
    provisional=True,
)
def overflow_then_recovery(s: Script) -> None:
    """More records than the buffer holds become STATUS_NOTIFY_ENUM_DIR with no data: the client has
    to read the directory. The watch goes on, and the next change is reported by name."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    watched = watcher.open_directory()
    fence = s.fence(watcher)
    armed = watched.notify(FILE_NAME, length=BUFFER)
    armed.interim()
    s.settle()
    armed.cancel()
    armed.final().status("STATUS_CANCELLED")
    for name in NAMES:
        other.create_file(name)
    fence.passed(by=other)
    told = watched.notify(FILE_NAME, length=BUFFER).final()
    told.status("STATUS_NOTIFY_ENUM_DIR", rule="MS-FSA 2.1.5.11.1")
    told.field("body.structure_size", equals(9), rule="MS-SMB2 3.3.4.4: not an error")
    told.field("body.output_buffer_length", equals(0), rule="MS-SMB2 3.3.4.4")
    s.silence(watched.notify(FILE_NAME, length=BUFFER), by=other, sentinel="fresh", seconds=0.05)
