import contextlib
from collections.abc import Callable, Iterator

from lab.scenarios.model import FILE_NAME, Request
from lab.scenarios.script import Conn, Notify, Open, Script, scenario

CORKED, AFTER_INTERIM, AGAINST_CHANGE = -1.0, -2.0, -3.0
POINTS = (
    ("in one piece with the request", CORKED),
    ("right behind the request", 0.0),
    *((f"{wait} us behind the request", wait / 1e6) for wait in (100, 300, 1000)),
    ("after the interim response", AFTER_INTERIM),
    ("behind a change", AGAINST_CHANGE),
)
Ending = Callable[[Conn, Open], Request]
ENDINGS: tuple[tuple[str, Ending], ...] = (
    ("CLOSE", lambda conn, opened: opened.begin_close()),
    ("TREE_DISCONNECT", lambda conn, opened: conn.begin_tree_disconnect()),
    ("LOGOFF", lambda conn, opened: conn.begin_log_off()),
)
GONE = {
    "CLOSE": "STATUS_FILE_CLOSED",
    "TREE_DISCONNECT": "STATUS_NETWORK_NAME_DELETED",
    "LOGOFF": "STATUS_USER_SESSION_DELETED",
}


@contextlib.contextmanager
def _request(s: Script, conn: Conn, opened: Open, wait: float) -> Iterator[Notify]:
    """CHANGE_NOTIFY, and what is sent in the block at that point behind it."""
    if wait == CORKED:
        with conn.corked():
            yield opened.notify(FILE_NAME)
        return
    parked = opened.notify(FILE_NAME)
    if wait in (AFTER_INTERIM, AGAINST_CHANGE):
        parked.interim()
        s.settle()
    s.pause(max(wait, 0.0))
    yield parked


@scenario(
    "F8",
    title="CLOSE, TREE_DISCONNECT, LOGOFF racing the request",
    cites=["MS-SMB2 3.3.5.10", "MS-SMB2 3.3.5.8", "MS-SMB2 3.3.5.6", "MS-FSA 2.1.5.5"],
    rests_on="MS-SMB2; MS-FSA",
)
def teardown_races(s: Script) -> None:
    """What ends a watch is sent in one piece with its request, behind it, after its interim
    response, and behind a change: the request is answered once, and the server goes on."""
    other = s.connect("other")
    for kind, end in ENDINGS:
        base = s.connect(kind.lower())
        for number, (when, wait) in enumerate(POINTS):
            with s.point(f"{kind} {when}"):
                conn = base
                if kind == "LOGOFF":
                    conn = s.connect(f"logoff{number}")
                elif kind == "TREE_DISCONNECT":
                    conn = base.tree_connect()
                opened = conn.open_directory()
                with _request(s, conn, opened, wait) as parked:
                    made = None
                    if wait == AGAINST_CHANGE:
                        made = other.begin_create_file(f"{kind}-{number}")
                    ending = end(conn, opened)
                conn.wait_for(ending).status("STATUS_SUCCESS")
                allowed = ["STATUS_NOTIFY_CLEANUP"]
                if wait == AGAINST_CHANGE:
                    allowed.append("STATUS_SUCCESS")
                elif wait != AFTER_INTERIM:
                    allowed.append(GONE[kind])
                parked.final().status(
                    *allowed,
                    because="either may come first",
                    rule="MS-FSA 2.1.5.5",
                )
                if made is not None:
                    other.finish(made)
    other.echo()
