from lab.scenarios.model import DIR_NAME, FILE_NAME
from lab.scenarios.script import Notify, Open, Script, scenario

DEPTHS = 5
PATHS = tuple("\\".join(["t"] * depth) for depth in range(DEPTHS))  # "", t, t\t, ...
WATCHES = tuple(
    (depth, tree, kind)
    for depth in range(DEPTHS)
    for tree in (False, True)
    for kind in (FILE_NAME, DIR_NAME)
)


def _expected(depth: int, tree: bool, name: str) -> list[tuple[str, str]]:
    """What a watch at `depth` hears when `name` is made at every depth, from the top down."""
    deepest = DEPTHS if tree else depth + 1
    return [
        ("ADDED", "\\".join([*["t"] * (below - depth), name])) for below in range(depth, deepest)
    ]


@scenario(
    "E2",
    title="Twenty watches: exact records each",
    cites=["MS-SMB2 2.2.35", "MS-FSA 2.1.4.1"],
    rests_on="MS-FSA; smbtorture smb2.notify.tree",
)
def twenty_watches(s: Script) -> None:
    """Five nested directories, each watched flat and as a tree, for files and for directories; a
    file and a directory made in each. Every watch hears of its own, in order, once."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    for path in PATHS[1:]:
        other.mkdir(path)
    fence = s.fence(watcher)
    armed: list[tuple[Open, Notify]] = []
    for depth, tree, kind in WATCHES:
        opened = watcher.open_directory(PATHS[depth])
        armed.append((opened, opened.notify(kind, tree=tree)))
    for _, parked in armed:
        parked.interim()
    s.settle()
    for path in PATHS:
        other.create_file(f"{path}\\file".lstrip("\\"))
    for path in PATHS:
        other.mkdir(f"{path}\\dir".lstrip("\\"))
    fence.passed(by=other)
    for (opened, parked), (depth, tree, kind) in zip(armed, WATCHES, strict=True):
        name = "file" if kind == FILE_NAME else "dir"
        first, *rest = _expected(depth, tree, name)
        if depth == 0 and kind == FILE_NAME and tree:
            rest.append(("ADDED", "fence\\passed"))
        parked.final().records([first], rule="MS-FSA 2.1.5.11.1: one change answers")
        again = opened.notify(kind, tree=tree)
        if rest:
            again.final().records(rest, rule="MS-FSA 2.1.4.1: the others, in order, once")
        else:
            again.interim()
            again.still_pending("MS-FSA 2.1.4.1: nothing else concerns this watch")
