from lab.scenarios.model import DIR_NAME, FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "D5",
    title="Handles on one directory are independent",
    cites=["MS-FSA 2.1.5.11", "MS-FSA 2.1.4.1"],
    rests_on="MS-FSA: one entry for each Open",
)
def independent_handles(s: Script) -> None:
    """Two handles with the same filter and one with another each hear of every change of theirs
    exactly once, at their own pace."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    fence = s.fence(watcher)
    quick = watcher.open_directory()
    slow = watcher.open_directory()
    directories = watcher.open_directory()
    of_quick = quick.notify(FILE_NAME)
    of_slow = slow.notify(FILE_NAME)
    of_directories = directories.notify(DIR_NAME)
    for parked in (of_quick, of_slow, of_directories):
        parked.interim()
    s.settle()
    other.create_file("one")
    of_quick.final().records([("ADDED", "one")])
    of_slow.final().records([("ADDED", "one")])
    of_quick = quick.notify(FILE_NAME)
    s.still(of_quick, 0.05, rule="each change once")
    other.create_file("two")
    of_quick.final().records([("ADDED", "two")])
    other.delete("one")
    fence.passed(by=other)
    quick.notify(FILE_NAME).final().records([("REMOVED", "one")], rule="its own pace")
    slow.notify(FILE_NAME).final().records(
        [("ADDED", "two"), ("REMOVED", "one")], rule="its own pace"
    )
    of_directories.still_pending("MS-FSA 2.1.4.1: its own filter")
