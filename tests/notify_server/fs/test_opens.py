"""Share modes by counting are those of [MS-FSA] 2.1.5.1.2.2, which looks at each open."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from notify_server.fs.opens import Link, OpenFiles
from notify_server.wire.constants import AccessMask, ShareAccess
from notify_server.wire.status import StatusError

KEY = (1, 2)
READ = AccessMask.FILE_READ_DATA | AccessMask.FILE_EXECUTE
WRITE = AccessMask.FILE_WRITE_DATA | AccessMask.FILE_APPEND_DATA
PAIRS = (
    (READ, ShareAccess.FILE_SHARE_READ),
    (WRITE, ShareAccess.FILE_SHARE_WRITE),
    (AccessMask.DELETE, ShareAccess.FILE_SHARE_DELETE),
)


@dataclass(eq=False)
class AnOpen:
    granted_access: AccessMask
    share_access: ShareAccess
    stream: str
    link: Link = field(init=False)


def in_conflict(one: AnOpen, other: AnOpen) -> bool:
    """The specification, word by word."""
    if not (one.granted_access & (READ | WRITE | AccessMask.DELETE)):
        return False
    if not (other.granted_access & (READ | WRITE | AccessMask.DELETE)):
        return False
    for does, shares in PAIRS if one.stream == other.stream else PAIRS[2:]:
        if one.granted_access & does and not other.share_access & shares:
            return True
        if other.granted_access & does and not one.share_access & shares:
            return True
    return False


opens = st.builds(
    AnOpen,
    st.sampled_from([READ, WRITE, AccessMask.DELETE, READ | WRITE, AccessMask.READ_CONTROL]).map(
        AccessMask
    ),
    st.integers(0, 7).map(ShareAccess),
    st.sampled_from(["", "a", "b"]),
)
steps = st.lists(
    st.one_of(opens, st.integers(0, 9), st.tuples(st.integers(0, 9), st.sampled_from("ab")))
)


@given(steps)
def test_an_open_is_refused_exactly_when_it_conflicts_with_another(steps: list[object]) -> None:
    files, held = OpenFiles(), list[AnOpen]()
    for step in steps:
        if isinstance(step, AnOpen):
            try:
                files.check(KEY, step.stream, step.granted_access, step.share_access)
            except StatusError:
                assert any(in_conflict(step, other) for other in held)
            else:
                assert not any(in_conflict(step, other) for other in held)
                files.add(KEY, "/f", step)
                held.append(step)
        elif held and isinstance(step, tuple):
            file, renamed = files.get(KEY), held[step[0] % len(held)]
            assert file is not None
            files.rename_stream(file, renamed, step[1])
        elif held and isinstance(step, int):
            file = files.get(KEY)
            assert file is not None
            last = files.remove(file, held.pop(step % len(held)))
            assert last == (not held)
            assert not (last and file.uses)
    assert len(files) == len(held)
