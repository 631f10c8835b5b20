"""A user who has the rights of a uid, not those of the server's process."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from notify_server.fs.access import Credentials, Rights, of_mode
from notify_server.fs.api import Handle, OpenRequest
from notify_server.wire.constants import AccessMask as A
from notify_server.wire.constants import CreateDisposition as D
from notify_server.wire.constants import CreateOptions, ShareAccess
from notify_server.wire.status import NtStatus, StatusError

from .conftest import Share

STRANGER = Credentials(os.geteuid() + 4711, os.getegid() + 4711)


def open_as(
    share: Share,
    path: str,
    access: int,
    disposition: D = D.FILE_OPEN,
    who: Credentials | None = STRANGER,
    options: int = 0,
) -> Handle:
    request = OpenRequest(
        path, A(access), ShareAccess(7), disposition, CreateOptions(options), credentials=who
    )
    return share.store.open(request).handle


def refused(work: Callable[[], object]) -> None:
    with pytest.raises(StatusError) as caught:
        work()
    assert caught.value.status == NtStatus.STATUS_ACCESS_DENIED


@pytest.fixture
def tree(share: Share) -> Path:
    """open/ (755), private/ (700), blind/ (711), shared/ (777), a file in each."""
    for name, mode in (("open", 0o755), ("private", 0o700), ("blind", 0o711), ("shared", 0o777)):
        folder = share.root / name
        folder.mkdir()
        (folder / "file").write_text("x")
        (folder / "file").chmod(0o644)
        folder.chmod(mode)
    share.root.chmod(0o755)
    return share.root


@pytest.mark.parametrize(
    ("uid", "gid", "groups", "bits"), [(1, 9, (), 7), (9, 2, (), 5), (9, 9, (2,), 5), (9, 9, (), 1)]
)
def test_owner_group_and_others(uid: int, gid: int, groups: tuple[int, ...], bits: int) -> None:
    status = os.stat_result((0o40751, 0, 0, 1, 1, 2, 0, 0, 0, 0))
    assert Credentials(uid, gid, frozenset(groups)).bits(Rights(status)) == bits


def acl(*entries: tuple[int, int, int]) -> bytes:
    """system.posix_acl_access of (tag, permissions, whose)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 0x10, 0x20


@pytest.mark.parametrize(
    ("uid", "gid", "groups", "bits"),
    [
        (1, 9, (), 7),  # the owner
        (3, 9, (), 6),  # named, and masked
        (3, 2, (), 6),  # named comes before groups
        (9, 2, (), 0),  # the file's group: the mode has the mask there
        (9, 9, (4,), 4),
        (9, 2, (4, 5), 6),  # groups add up
        (9, 9, (), 1),
    ],
)
def test_an_acl_decides_where_a_file_has_one(
    uid: int, gid: int, groups: tuple[int, ...], bits: int
) -> None:
    status = os.stat_result((0o100761, 0, 0, 1, 1, 2, 0, 0, 0, 0))
    entries = acl(
        (USER_OBJ, 7, NOBODY), (USER, 7, 3), (GROUP_OBJ, 0, NOBODY), (GROUP, 5, 4),
        (GROUP, 2, 5), (MASK, 6, NOBODY), (OTHER, 1, NOBODY),
    )  # fmt: skip
    assert Credentials(uid, gid, frozenset(groups)).bits(Rights(status, entries)) == bits


@pytest.mark.parametrize("named", [True, False])
def test_the_mask_of_an_acl_is_not_what_the_group_may(
    share: Share, tree: Path, named: bool
) -> None:
    """A directory and a file whose group has nothing and whose mask has all."""
    uid = STRANGER.uid if named else STRANGER.uid + 1
    entries = acl(
        (USER_OBJ, 7, NOBODY), (USER, 7, uid), (GROUP_OBJ, 0, NOBODY), (MASK, 7, NOBODY),
        (OTHER, 0, NOBODY),
    )  # fmt: skip
    member = Credentials(STRANGER.uid, os.getegid())
    asked = [("shared", A.FILE_LIST_DIRECTORY), ("open\\file", A.FILE_WRITE_DATA)]
    asked += [("shared\\file", A.FILE_READ_DATA), ("shared\\file", A.DELETE)]
    try:
        for path in ("shared", "open/file"):
            os.setxattr(tree / path, "system.posix_acl_access", entries)
    except OSError as error:
        pytest.skip(f"no POSIX ACLs here: {error}")
    for path, access in asked:
        if named:
            share.store.close(open_as(share, path, access, who=member))
        else:
            refused(lambda p=path, a=access: open_as(share, p, a, who=member))


def test_the_sticky_bit_keeps_others_files() -> None:
    parent = os.stat_result((0o41777, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    mine, yours = (os.stat_result((0o100666, 0, 0, 1, uid, 0, 0, 0, 0, 0)) for uid in (7, 8))
    me = Credentials(7, 7)
    assert of_mode(me, Rights(mine), Rights(parent)) & A.DELETE
    assert not of_mode(me, Rights(yours), Rights(parent)) & A.DELETE
    assert not of_mode(me, Rights(mine), None) & A.DELETE  # the root of a share


@pytest.mark.parametrize(
    ("path", "access", "allowed"),
    [
        ("open", A.FILE_LIST_DIRECTORY, True),
        ("private", A.FILE_LIST_DIRECTORY, False),
        ("private", A.FILE_READ_ATTRIBUTES, True),
        ("blind", A.FILE_LIST_DIRECTORY, False),
        ("open\\file", A.FILE_READ_DATA, True),
        ("open\\file", A.FILE_WRITE_DATA, False),
        ("open\\file", A.WRITE_DAC, False),
        ("open\\file", A.DELETE, False),
        ("shared\\file", A.DELETE, True),
        ("blind\\file", A.FILE_READ_DATA, True),
        ("private\\file", A.FILE_READ_ATTRIBUTES, False),
    ],
)
def test_what_the_mode_bits_leave(
    share: Share, tree: Path, path: str, access: int, allowed: bool
) -> None:
    if allowed:
        share.store.close(open_as(share, path, access))
    else:
        refused(lambda: open_as(share, path, access))
    share.store.close(open_as(share, path, access, who=None))  # the process itself may


@pytest.mark.parametrize(
    ("path", "allowed"), [("open\\file", False), ("open\\file:s", False), ("shared\\file", True)]
)
def test_deleting_on_close_needs_the_right_to_delete(
    share: Share, tree: Path, path: str, allowed: bool
) -> None:
    """Also where the right is not asked for by name."""
    (tree / "open/file").chmod(0o666)
    share.store.close(share.create("open\\file:s"))
    file = tree / path.partition(":")[0].replace("\\", "/")

    def work() -> None:
        options = CreateOptions.FILE_DELETE_ON_CLOSE
        share.store.close(open_as(share, path, A.MAXIMUM_ALLOWED, options=options))

    if allowed:
        work()
    else:
        refused(work)
    assert file.exists() is not allowed
    if not allowed:
        share.store.close(share.open("open\\file:s").handle)


@pytest.mark.parametrize(
    ("target", "access", "allowed"),
    [
        ("open/file", A.FILE_READ_DATA, True),
        ("open/file", A.DELETE, False),
        ("open", A.FILE_LIST_DIRECTORY, True),
        ("private/file", A.FILE_READ_DATA, False),
        ("private/sub", A.FILE_LIST_DIRECTORY, False),
        ("shared/file", A.DELETE, True),
        ("shared/link", A.DELETE, True),
        ("", A.FILE_LIST_DIRECTORY, True),
        ("", A.DELETE, False),
    ],
)
def test_a_symbolic_link_gives_the_rights_of_what_it_leads_to(
    share: Share, tree: Path, target: str, access: int, allowed: bool
) -> None:
    """Those of the target's directory, however free the link's own one is."""
    (tree / "private/sub").mkdir(mode=0o755)
    (tree / "shared/link").symlink_to("file")
    (tree / "shared/sub").mkdir(mode=0o777)
    (tree / "shared/sub").chmod(0o777)
    (tree / "shared/sub/link").symlink_to("../../" + target)
    if allowed:
        share.store.close(open_as(share, "shared\\sub\\link", access))
    else:
        refused(lambda: open_as(share, "shared\\sub\\link", access))


def test_a_link_in_a_directory_that_may_not_be_searched_leads_nowhere(
    share: Share, tree: Path
) -> None:
    (tree / "private/link").symlink_to("../open/file")
    refused(lambda: open_as(share, "private\\link", A.FILE_READ_DATA))


@pytest.mark.parametrize("path", ["open\\file:new", "open:new"])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_stream_is_added_only_to_what_may_be_written(
    share: Share, tree: Path, path: str, allowed: bool
) -> None:
    """Whatever the stream is then opened for."""
    if allowed:
        (tree / "open/file").chmod(0o666)
        (tree / "open").chmod(0o777)
        share.store.close(open_as(share, path, A.FILE_READ_ATTRIBUTES, D.FILE_CREATE))
    else:
        refused(lambda: open_as(share, path, A.FILE_READ_ATTRIBUTES, D.FILE_CREATE))
        refused(lambda: open_as(share, path, A.FILE_READ_DATA, D.FILE_OPEN_IF))
    file = tree / path.partition(":")[0].replace("\\", "/")
    assert os.listxattr(file) == (["user.notify_server.stream.new"] if allowed else [])


def test_making_linking_and_moving_need_a_directory_that_may_be_changed(
    share: Share, tree: Path
) -> None:
    refused(lambda: open_as(share, "open\\new", A.FILE_READ_DATA, D.FILE_CREATE))
    made = open_as(share, "shared\\new", A.FILE_READ_DATA | A.DELETE, D.FILE_CREATE)
    refused(lambda: share.store.rename(made, "open\\moved", False))
    refused(lambda: share.store.link(made, "private\\linked", False))
    share.store.rename(made, "shared\\moved", False)
    share.store.close(made)
    assert sorted(os.listdir(tree / "shared")) == ["file", "moved"]


@pytest.mark.parametrize("sticky", [True, False])
def test_the_sticky_bit_keeps_a_name_from_being_replaced(
    share: Share, tree: Path, sticky: bool
) -> None:
    """`file` belongs to the process, as `shared/` does; the stranger's own file is elsewhere."""
    (tree / "theirs").mkdir(mode=0o777)
    (tree / "theirs").chmod(0o777)
    (tree / "shared").chmod(0o1777 if sticky else 0o777)
    made = open_as(share, "theirs\\new", A.FILE_READ_DATA | A.DELETE, D.FILE_CREATE)
    inode = (tree / "shared/file").stat().st_ino
    if sticky:
        refused(lambda: share.store.link(made, "shared\\file", True))
        refused(lambda: share.store.rename(made, "shared\\file", True))
        assert (tree / "shared/file").stat().st_ino == inode
    else:
        share.store.rename(made, "shared\\file", True)
        assert (tree / "shared/file").stat().st_ino != inode
    share.store.close(made)


def test_which_names_a_watch_may_tell(share: Share, tree: Path) -> None:
    (tree / "private/deep").mkdir(mode=0o755)
    handle = open_as(share, "", A.FILE_LIST_DIRECTORY)
    root = share.store.watch(handle, True)
    seen = {
        name: share.store.may_list(handle, f"{root}/{name}")
        for name in ("open", "private", "private/deep", "blind", "gone")
    }
    only_open = dict.fromkeys(seen, False) | {"open": True}
    assert seen == only_open
    mine = open_as(share, "", A.FILE_LIST_DIRECTORY, who=None)
    assert share.store.may_list(mine, f"{root}/private/deep")
    for each in (handle, mine):
        share.store.close(each)
