from lab.scenarios.model import FILE_NAME
from lab.scenarios.script import Script, scenario


@scenario(
    "C3",
    title="Rename across directories: REMOVED, ADDED",
    cites=["MS-FSCC 2.7.1", "MS-FSA 2.1.5.15.11"],
    rests_on="MS-FSCC",
)
def rename_across(s: Script) -> None:
    """A file that moves from one directory to another is removed from the one and added to the
    other. To a watch on the tree above, too: OLD and NEW names are for renames inside one
    directory."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.mkdir("from")
    other.mkdir("to")
    other.create_file("from\\x")
    source_open = watcher.open_directory("from")
    target_open = watcher.open_directory("to")
    source = source_open.notify(FILE_NAME)
    source.interim()
    target = target_open.notify(FILE_NAME)
    target.interim()
    s.settle()
    other.rename("from\\x", "to\\y")
    source.final().records([("REMOVED", "x")], rule="MS-FSCC 2.7.1")
    target.final().records([("ADDED", "y")], rule="MS-FSCC 2.7.1")
    source_open.close()
    target_open.close()

    above = watcher.open_directory()
    tree = above.notify(FILE_NAME, tree=True)
    tree.interim()
    s.settle()
    other.rename("to\\y", "from\\z")
    other.create_file("fence")
    above.collect(FILE_NAME, tree=True, until="fence", first=tree).records(
        [("REMOVED", "to\\y"), ("ADDED", "from\\z"), ("ADDED", "fence")],
        rule="MS-FSCC 2.7.1",
    )
