from lab.scenarios.model import ANY_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "E1",
    title="WATCH_TREE at depth; a flat watch is deaf",
    cites=["MS-SMB2 2.2.35", "MS-FSCC 2.7.1", "MS-FSA 2.1.4.1"],
    rests_on="MS-SMB2; smbtorture smb2.notify.tree",
)
def depth(s: Script) -> None:
    """A watch with SMB2_WATCH_TREE reports changes at any depth by their relative path. One without
    it, on the same directory, hears of nothing below."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.mkdir("sub")
    other.mkdir("sub\\deep")
    deep = watcher.open_directory()
    flat = watcher.open_directory()
    flat_parked = flat.notify(ANY_NAME)
    flat_parked.interim()
    parked = deep.notify(ANY_NAME, tree=True)
    parked.interim()
    s.settle()
    for path, change in (
        ("sub\\deep\\file", other.create_file),
        ("sub\\deep\\dir", other.mkdir),
        ("sub\\file", other.create_file),
    ):
        change(path)
        parked.final().records([("ADDED", path)], rule="MS-FSCC 2.7.1: relative path")
        parked = deep.notify(ANY_NAME, tree=True)
        parked.interim()
    other.rename("sub\\file", "sub\\renamed")
    parked.final().records(
        [("RENAMED_OLD_NAME", "sub\\file"), ("RENAMED_NEW_NAME", "sub\\renamed")],
        rule="MS-FSCC 2.7.1",
    )
    s.silence(flat_parked, by=other)
    deep.notify(ANY_NAME, tree=True).final().records(
        [("ADDED", "sentinel")], rule="the tree includes the directory itself"
    )
