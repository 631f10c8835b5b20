"""A share on a local directory: what an operation does, and what it tells."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest

from notify_server.fs import times
from notify_server.fs.api import BasicInformation, Ea, Handle, OpenRequest
from notify_server.wire.constants import (
    AccessMask,
    CreateAction,
    CreateDisposition,
    CreateOptions,
    ShareAccess,
)
from notify_server.wire.fscc import FileAttributes
from notify_server.wire.status import NtStatus, StatusError

DIRECTORY = CreateOptions.FILE_DIRECTORY_FILE
NON_DIRECTORY = CreateOptions.FILE_NON_DIRECTORY_FILE
ON_CLOSE = CreateOptions.FILE_DELETE_ON_CLOSE
HIDDEN = FileAttributes.FILE_ATTRIBUTE_HIDDEN
READONLY = FileAttributes.FILE_ATTRIBUTE_READONLY
ARCHIVE = FileAttributes.FILE_ATTRIBUTE_ARCHIVE
D = CreateDisposition


def refused(status: NtStatus):
    return pytest.raises(StatusError, match=f"^{status.name}$")


# Dispositions ([MS-FSA] 2.1.5.1)


@pytest.mark.parametrize(
    ("disposition", "exists", "outcome"),
    [
        (D.FILE_SUPERSEDE, False, CreateAction.FILE_CREATED),
        (D.FILE_SUPERSEDE, True, CreateAction.FILE_SUPERSEDED),
        (D.FILE_OPEN, False, NtStatus.STATUS_OBJECT_NAME_NOT_FOUND),
        (D.FILE_OPEN, True, CreateAction.FILE_OPENED),
        (D.FILE_CREATE, False, CreateAction.FILE_CREATED),
        (D.FILE_CREATE, True, NtStatus.STATUS_OBJECT_NAME_COLLISION),
        (D.FILE_OPEN_IF, False, CreateAction.FILE_CREATED),
        (D.FILE_OPEN_IF, True, CreateAction.FILE_OPENED),
        (D.FILE_OVERWRITE, False, NtStatus.STATUS_OBJECT_NAME_NOT_FOUND),
        (D.FILE_OVERWRITE, True, CreateAction.FILE_OVERWRITTEN),
        (D.FILE_OVERWRITE_IF, False, CreateAction.FILE_CREATED),
        (D.FILE_OVERWRITE_IF, True, CreateAction.FILE_OVERWRITTEN),
    ],
)
def test_disposition(share, disposition, exists, outcome) -> None:
    if exists:
        (share.root / "f").write_bytes(b"data")
    share.watch()
    if isinstance(outcome, NtStatus):
        with refused(outcome):
            share.open("f", disposition)
        assert share.told() == []
        return
    opened = share.open("f", disposition)
    assert opened.action == outcome
    emptied = outcome in (CreateAction.FILE_SUPERSEDED, CreateAction.FILE_OVERWRITTEN)
    assert opened.attributes.end_of_file == (4 if exists and not emptied else 0)
    said = {CreateAction.FILE_CREATED: ["+f"], CreateAction.FILE_OPENED: []}
    assert share.told() == said.get(outcome, ["~f"])


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("f", DIRECTORY, NtStatus.STATUS_NOT_A_DIRECTORY),
        ("d", NON_DIRECTORY, NtStatus.STATUS_FILE_IS_A_DIRECTORY),
        ("f\\x", 0, NtStatus.STATUS_OBJECT_PATH_NOT_FOUND),
        ("no\\x", 0, NtStatus.STATUS_OBJECT_PATH_NOT_FOUND),
        ("no", 0, NtStatus.STATUS_OBJECT_NAME_NOT_FOUND),
        ("f", DIRECTORY | NON_DIRECTORY, NtStatus.STATUS_INVALID_PARAMETER),
        ("a*b", 0, NtStatus.STATUS_OBJECT_NAME_INVALID),
        ("a/b", 0, NtStatus.STATUS_OBJECT_NAME_INVALID),
        ("\\f", 0, NtStatus.STATUS_INVALID_PARAMETER),
        ("..\\x", 0, NtStatus.STATUS_OBJECT_PATH_SYNTAX_BAD),
        ("d\\..\\..\\x", 0, NtStatus.STATUS_OBJECT_PATH_SYNTAX_BAD),
        ("x" * 300, 0, NtStatus.STATUS_OBJECT_NAME_INVALID),
        ("d::$DATA", DIRECTORY, NtStatus.STATUS_NOT_A_DIRECTORY),
        ("d::$DATA", 0, NtStatus.STATUS_FILE_IS_A_DIRECTORY),
        ("f:s:$INDEX", 0, NtStatus.STATUS_OBJECT_NAME_INVALID),
    ],
)
def test_paths_that_are_refused(share, path, options, status) -> None:
    (share.root / "f").write_bytes(b"")
    (share.root / "d").mkdir()
    with refused(status):
        share.open(path, options=options)


def test_no_name_is_given_that_the_kernel_could_not_say_again(share) -> None:
    """Else it could be neither opened nor deleted over SMB."""
    path, room = "", 4095 - len(str(share.root)) - 1
    while room > 250:
        step = "d" * min(200, room - 20)
        path, room = f"{path}{step}\\", room - len(step) - 1
        share.store.close(share.mkdir(path))
    longest, handle = path + "x" * room, share.create("f")
    share.store.link(handle, longest, False)
    share.store.close(share.open(longest, options=ON_CLOSE).handle)
    too_long = longest + "x"
    for give in (
        lambda: share.create(too_long),
        lambda: share.mkdir(too_long),
        lambda: share.store.link(handle, too_long, False),
        lambda: share.store.rename(handle, too_long, False),
    ):
        with refused(NtStatus.STATUS_OBJECT_NAME_INVALID):
            give()
    assert share.listed(share.open(path).handle)[2:] == []


def test_what_was_moved_too_deep_is_refused_cleanly(share) -> None:
    share.mkdir("d")
    handle = share.create("d\\f")
    fd = os.open(share.root, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("x" * 200, dir_fd=fd)
        below = os.open("x" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.rename(share.root / "d", "d", dst_dir_fd=fd)
    os.close(fd)
    for change in (
        lambda: share.store.set_allocation_size(handle, 1 << 20),
        lambda: share.open("\\".join(["x" * 200] * 25)),
        lambda: share.create("\\".join(["x" * 200] * 25 + ["new"])),
    ):
        with refused(NtStatus.STATUS_OBJECT_NAME_INVALID):
            change()
    share.store.close(handle)


def test_names_are_found_whatever_their_case(share) -> None:
    (share.root / "Dir/Sub").mkdir(parents=True)
    (share.root / "Dir/Sub/Größe").write_bytes(b"x")
    opened = share.open("dIR\\sub\\GRÖßE")
    assert opened.handle.path == "Dir\\Sub\\Größe"
    with refused(NtStatus.STATUS_OBJECT_NAME_COLLISION):
        share.open("DIR\\SUB\\größe", D.FILE_CREATE)
    share.watch()
    share.open("dir\\SUB\\new", D.FILE_CREATE)
    assert share.told() == ["+Dir/Sub/new"]


def test_letters_that_only_full_case_folding_equates_are_different_names(share) -> None:
    (share.root / "straße").touch()
    with refused(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND):
        share.open("STRASSE")
    assert share.open("STRAßE").handle.path == "straße"


def test_a_handle_says_its_path_as_clients_can_open_it(share) -> None:
    (share.root / "a:b").mkdir()
    (share.root / "a:b" / "x\\y?").touch()
    path = share.open("A\uf022b\\x\uf026y\uf025").handle.path
    assert path == "a\uf022b\\x\uf026y\uf025"
    share.open(path)


def test_dots_in_a_path_are_resolved_by_name(share) -> None:
    (share.root / "a/b").mkdir(parents=True)
    assert share.open("a\\b\\..\\.").handle.path == "a"
    assert share.open("a\\..").handle.path == ""


# What leads out of the share


def test_a_link_out_of_the_share_is_no_path(share, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/f").write_bytes(b"x")
    (share.root / "out").symlink_to(tmp_path / "secret")
    (share.root / "up").symlink_to("../secret")
    (share.root / "in").symlink_to("d")
    (share.root / "d").mkdir()
    (share.root / "d/f").write_bytes(b"")
    for path in ("out", "out\\f", "up", "up\\f"):
        with pytest.raises(StatusError):
            share.open(path)
    with pytest.raises(StatusError):
        share.open("out\\new", D.FILE_CREATE)
    assert not (tmp_path / "secret/new").exists()
    assert share.open("in\\f").handle.path == "d\\f"
    names = [e.name for e in share.listed(share.open("").handle)]
    assert sorted(names) == [".", "..", "d", "in"]


def test_devices_and_pipes_are_not_files(share) -> None:
    os.mkfifo(share.root / "pipe")
    with refused(NtStatus.STATUS_ACCESS_DENIED):
        share.open("pipe")


# Share modes, and deletion


@pytest.mark.parametrize(
    ("access", "others", "wanted", "granting", "conflict"),
    [
        (AccessMask.FILE_READ_DATA, 0, AccessMask.FILE_READ_DATA, 7, True),
        (AccessMask.FILE_READ_DATA, 1, AccessMask.FILE_READ_DATA, 7, False),
        (AccessMask.FILE_READ_DATA, 1, AccessMask.FILE_WRITE_DATA, 7, True),
        (AccessMask.FILE_WRITE_DATA, 7, AccessMask.FILE_READ_DATA, 1, True),
        (AccessMask.FILE_WRITE_DATA, 7, AccessMask.FILE_READ_DATA, 3, False),
        (AccessMask.FILE_READ_DATA, 3, AccessMask.DELETE, 7, True),
        (AccessMask.FILE_READ_DATA, 7, AccessMask.DELETE, 7, False),
        (AccessMask.FILE_READ_DATA, 0, AccessMask.FILE_READ_ATTRIBUTES, 0, False),
        (AccessMask.FILE_READ_ATTRIBUTES, 0, AccessMask.FILE_WRITE_DATA, 0, False),
    ],
)
def test_share_modes(share, access, others, wanted, granting, conflict) -> None:
    (share.root / "f").write_bytes(b"")
    first = share.open("f", access=access, share=others).handle
    if conflict:
        with refused(NtStatus.STATUS_SHARING_VIOLATION):
            share.open("f", access=wanted, share=granting)
        share.store.close(first)
    share.open("f", access=wanted, share=granting)


def test_an_overwrite_that_others_do_not_share_leaves_the_file_alone(share) -> None:
    (share.root / "f").write_bytes(b"data")
    share.open("f", access=AccessMask.FILE_READ_DATA, share=ShareAccess.FILE_SHARE_READ)
    with refused(NtStatus.STATUS_SHARING_VIOLATION):
        share.open("f", D.FILE_OVERWRITE, access=AccessMask.FILE_READ_DATA)
    assert (share.root / "f").read_bytes() == b"data"


def test_a_file_goes_with_its_last_handle(share) -> None:
    share.watch()
    first, second = share.create("f"), share.create("f")
    share.told()
    share.store.set_delete_pending(first, True)
    with refused(NtStatus.STATUS_DELETE_PENDING):
        share.open("f")
    assert share.store.attributes(second).delete_pending
    share.store.close(first)
    assert (share.root / "f").exists()
    assert share.told() == []
    share.store.close(second)
    assert not (share.root / "f").exists()
    assert share.told() == ["-f"]
    assert len(share.files) == 1  # the watch


def test_a_deletion_can_be_taken_back(share) -> None:
    handle = share.create("f")
    share.store.set_delete_pending(handle, True)
    share.store.set_delete_pending(handle, False)
    share.store.close(handle)
    assert (share.root / "f").exists()


def test_delete_on_close(share) -> None:
    share.watch()
    share.store.close(share.open("f", D.FILE_CREATE, options=ON_CLOSE).handle)
    (share.root / "d").mkdir()
    share.store.close(share.open("d", options=ON_CLOSE).handle)
    assert not list(share.root.iterdir())
    assert share.told() == ["+f", "-f", "+d", "!d", "-d"]
    with refused(NtStatus.STATUS_INVALID_PARAMETER):
        share.open("f", D.FILE_CREATE, access=AccessMask.FILE_READ_DATA, options=ON_CLOSE)


def two_links(share) -> tuple[Handle, Handle]:
    """A file with two names, and an open by each."""
    (share.root / "a").write_bytes(b"x")
    os.link(share.root / "a", share.root / "b")
    return share.open("a").handle, share.open("b").handle


def names_in(share) -> set[str]:
    return {each.name for each in share.root.iterdir()}


def test_what_is_deleted_is_the_link_by_which_it_was_opened(share) -> None:
    a, b = two_links(share)
    share.store.set_delete_pending(a, True)
    with refused(NtStatus.STATUS_DELETE_PENDING):
        share.open("A")
    share.store.close(share.open("b").handle)
    told = [(share.store.attributes(each).delete_pending, each.delete_pending) for each in (a, b)]
    assert told == [(True, True), (False, False)]
    assert share.store.attributes(b).number_of_links == 1
    share.store.close(a)
    assert names_in(share) == {"b"}
    share.store.close(b)
    assert names_in(share) == {"b"}


def test_a_link_goes_with_its_last_handle_not_with_the_files(share) -> None:
    a, b = two_links(share)
    another = share.open("a").handle
    share.store.set_delete_pending(a, True)
    share.store.close(a)
    assert names_in(share) == {"a", "b"}
    share.store.close(another)
    assert names_in(share) == {"b"}
    share.store.close(b)


def test_links_are_renamed_one_by_one(share) -> None:
    a, b = two_links(share)
    share.store.rename(b, "c", False)
    assert (a.path, b.path) == ("a", "c")
    share.store.set_delete_pending(b, True)
    share.store.close(a)
    assert names_in(share) == {"a", "c"}
    share.store.close(b)
    assert names_in(share) == {"a"}


def test_a_file_with_one_link_is_one_wherever_it_was_moved_beside(share) -> None:
    first = share.create("f")
    os.rename(share.root / "f", share.root / "g")
    share.store.set_delete_pending(first, True)
    with refused(NtStatus.STATUS_DELETE_PENDING):
        share.open("g")
    share.store.close(first)
    assert names_in(share) == set()


def test_a_directory_that_is_not_empty_stays(share) -> None:
    (share.root / "d/e").mkdir(parents=True)
    handle = share.open("d", options=ON_CLOSE).handle
    with refused(NtStatus.STATUS_DIRECTORY_NOT_EMPTY):
        share.store.set_delete_pending(handle, True)
    share.store.close(handle)
    assert (share.root / "d").exists()


def test_the_watchers_of_a_doomed_directory_hear_of_it_at_once(share) -> None:
    (share.root / "d").mkdir()
    share.watch("d")
    handle = share.open("d").handle
    share.store.set_delete_pending(handle, True)
    assert share.told() == ["!d"]
    with refused(NtStatus.STATUS_DELETE_PENDING):
        share.open("d\\x", D.FILE_CREATE)


def test_what_is_readonly_is_not_deleted_and_not_written(share) -> None:
    share.store.close(share.open("f", D.FILE_CREATE, attributes=READONLY).handle)
    with refused(NtStatus.STATUS_CANNOT_DELETE):
        share.open("f", options=ON_CLOSE)
    with refused(NtStatus.STATUS_ACCESS_DENIED):
        share.open("f", access=AccessMask.FILE_WRITE_DATA)
    with refused(NtStatus.STATUS_ACCESS_DENIED):
        share.open("f", D.FILE_OVERWRITE)
    handle = share.open("f").handle
    assert not handle.granted_access & AccessMask.FILE_WRITE_DATA
    with refused(NtStatus.STATUS_CANNOT_DELETE):
        share.store.set_delete_pending(handle, True)


# Data


def test_data(share) -> None:
    share.watch()
    handle = share.create("f")
    share.told()
    assert share.store.write(handle, 3, b"abc") == 3
    assert share.store.read(handle, 0, 100) == b"\0\0\0abc"
    assert share.store.read(handle, 6, 1) == b""
    share.store.set_end_of_file(handle, 4)
    share.store.set_allocation_size(handle, 2)
    share.store.set_allocation_size(handle, 4096)
    share.store.flush(handle)
    assert (share.root / "f").read_bytes() == b"\0\0"
    assert share.told() == ["~f"] * 3


# Information


def test_attributes_and_times_are_kept(share) -> None:
    handle = share.create("f")
    assert share.store.attributes(handle).file_attributes == ARCHIVE
    wanted = [times.from_ns(10**18 + n * 10**15) for n in range(4)]
    share.store.set_basic(handle, BasicInformation(*wanted, HIDDEN | READONLY))
    for again in (handle, share.open("f").handle):
        now = share.store.attributes(again)
        assert [
            now.creation_time,
            now.last_access_time,
            now.last_write_time,
            now.change_time,
        ] == wanted
        assert now.file_attributes == HIDDEN | READONLY


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("creation_time", ["~f"]),
        ("last_access_time", ["~f"]),
        ("last_write_time", ["~f"]),
        ("change_time", []),
        ("file_attributes", ["~f"]),
    ],
)
def test_each_field_is_told_once(share, field, said) -> None:
    handle = share.create("f")
    share.watch()
    value = HIDDEN if field == "file_attributes" else times.from_ns(10**18)
    share.store.set_basic(handle, BasicInformation(**{field: value}))
    assert share.told() == said


def test_a_write_time_that_was_set_outlives_writes(share) -> None:
    handle = share.create("f")
    stamp = times.from_ns(10**18)
    share.store.set_basic(handle, BasicInformation(last_write_time=stamp))
    share.store.write(handle, 0, b"x")
    assert share.store.attributes(handle).last_write_time == stamp
    share.store.set_basic(handle, BasicInformation(last_write_time=2**64 - 2))
    share.store.write(handle, 0, b"x")
    assert share.store.attributes(handle).last_write_time != stamp


def test_extended_attributes(share) -> None:
    handle = share.create("f")
    share.watch()
    share.store.set_eas(handle, [Ea(b"ONE", b"1"), Ea(b"TWO", b"22")])
    assert share.told() == ["~f"]
    assert sorted((ea.name, ea.value) for ea in share.store.eas(handle)) == [
        (b"ONE", b"1"),
        (b"TWO", b"22"),
    ]
    assert share.store.attributes(handle).ea_size == 4 + (4 + 4 + 1) + (4 + 4 + 2)
    share.store.set_eas(handle, [Ea(b"one", b"")])
    assert [ea.name for ea in share.store.eas(handle)] == [b"TWO"]
    with refused(NtStatus.STATUS_INVALID_EA_NAME):
        share.store.set_eas(handle, [Ea(b"a*", b"1")])


def test_eas_of_a_create_are_part_of_it(share) -> None:
    share.watch()
    share.store.open(
        OpenRequest(
            "f",
            AccessMask.GENERIC_ALL,
            disposition=D.FILE_CREATE,
            attributes=HIDDEN,
            eas=[Ea(b"A", b"1"), Ea(b"B", b"2")],
        )
    )
    assert share.told() == ["+f"]


def test_security_descriptors(share) -> None:
    handle = share.create("f")
    share.watch()
    everything = share.store.security_descriptor(handle, 7)
    dacl_only = share.store.security_descriptor(handle, 4)
    assert len(dacl_only) < len(everything)
    share.store.set_security_descriptor(handle, 4, dacl_only)
    assert share.told() == ["~f"]
    assert share.store.security_descriptor(handle, 7) == everything
    with refused(NtStatus.STATUS_INVALID_PARAMETER):
        share.store.set_security_descriptor(handle, 4, b"short")


# A security descriptor whose ACL lets everyone read, and nothing else.
READ_ONLY_SD = bytes.fromhex(
    "01000480 00000000 00000000 00000000 14000000"
    "0200 1c00 0100 0000 00001400 89001200 010100000000000100000000"
)


def test_an_open_gets_no_more_than_the_security_descriptor_allows(share) -> None:
    handle = share.create("f")
    share.store.set_security_descriptor(handle, 4, READ_ONLY_SD)
    share.store.close(handle)
    for denied in (AccessMask.FILE_WRITE_DATA, AccessMask.GENERIC_ALL, AccessMask.WRITE_OWNER):
        with refused(NtStatus.STATUS_ACCESS_DENIED):
            share.open("f", access=denied)
    with refused(NtStatus.STATUS_ACCESS_DENIED):
        share.open("f", D.FILE_OVERWRITE, access=AccessMask.GENERIC_READ)
    opened = share.open("f")
    granted = AccessMask(opened.handle.granted_access)
    assert not granted & (AccessMask.FILE_WRITE_DATA | AccessMask.FILE_APPEND_DATA)
    assert granted & AccessMask.FILE_READ_DATA
    assert granted & AccessMask.WRITE_DAC, "its owner may mend it"
    assert granted & AccessMask.DELETE, "who may delete what is in the directory may delete it"


def test_a_directory_that_may_not_be_changed_keeps_what_is_protected_in_it(share) -> None:
    directory = share.mkdir("d")
    file = share.create("d\\f")
    for handle in (file, directory):
        share.store.set_security_descriptor(handle, 4, READ_ONLY_SD)
        share.store.close(handle)
    with refused(NtStatus.STATUS_ACCESS_DENIED):
        share.open("d\\f", access=AccessMask.DELETE)


# Names


def test_rename(share) -> None:
    (share.root / "d").mkdir()
    share.watch()
    handle = share.create("f")
    share.store.rename(handle, "g", False)
    share.store.rename(handle, "d\\h", False)
    share.store.rename(handle, "d\\H", False)
    assert handle.path == "d\\H"
    assert share.told() == ["+f", "f>g", "-g", "+d/h", "d/h>d/H"]
    assert os.listdir(share.root / "d") == ["H"]


def test_rename_onto_another(share) -> None:
    (share.root / "Target").write_bytes(b"old")
    share.watch()
    handle = share.create("f")
    share.told()
    with refused(NtStatus.STATUS_OBJECT_NAME_COLLISION):
        share.store.rename(handle, "target", False)
    opened = share.open("target").handle
    with refused(NtStatus.STATUS_ACCESS_DENIED):
        share.store.rename(handle, "target", True)
    share.store.close(opened)
    share.store.rename(handle, "target", True)
    assert share.told() == ["-Target", "f>Target"]
    assert [p.name for p in share.root.iterdir()] == ["Target"]


def test_a_directory_moves_with_its_watch(share) -> None:
    (share.root / "a").mkdir()
    mover = share.open("a").handle
    watcher = share.watch("a", tree=False)
    share.store.rename(mover, "b", False)
    share.told()
    share.create("b\\x")
    assert watcher.path == "b"
    (share.root / "b/y").mkdir()
    assert share.eventually(2) == ["+b/x", "+b/y"]


def test_a_watch_knows_its_directory_by_its_present_key(share) -> None:
    (share.root / "a").mkdir()
    mover = share.open("a").handle
    assert mover.watch_key == ""
    watcher = share.watch("a", tree=False)
    assert watcher.watch_key == f"{share.root}/a"
    share.store.rename(mover, "b", False)
    assert watcher.watch_key == f"{share.root}/b"
    (share.root / "b").rename(share.root / "c")
    share.told()
    assert watcher.watch_key == f"{share.root}/c"
    share.store.set_delete_pending(mover, True)
    assert watcher.delete_pending


def test_a_directory_with_open_files_stays(share) -> None:
    (share.root / "a").mkdir()
    mover = share.open("a").handle
    share.create("a\\x")
    with refused(NtStatus.STATUS_ACCESS_DENIED):
        share.store.rename(mover, "b", False)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("a\\b", NtStatus.STATUS_INVALID_PARAMETER),
        ("no\\b", NtStatus.STATUS_OBJECT_PATH_NOT_FOUND),
        ("..\\b", NtStatus.STATUS_OBJECT_PATH_SYNTAX_BAD),
        ("x?", NtStatus.STATUS_OBJECT_NAME_INVALID),
        ("", NtStatus.STATUS_OBJECT_NAME_INVALID),
    ],
)
def test_renames_that_are_refused(share, target, status) -> None:
    (share.root / "a").mkdir()
    with refused(status):
        share.store.rename(share.open("a").handle, target, False)


@pytest.mark.parametrize(
    ("access", "others", "conflict"),
    [
        (AccessMask.FILE_READ_DATA | AccessMask.DELETE, 7, True),
        (AccessMask.FILE_READ_DATA, 0, True),
        (AccessMask.FILE_READ_DATA, 7, False),
        (AccessMask.FILE_READ_ATTRIBUTES, 0, False),
    ],
)
def test_a_directory_that_gets_a_name_must_be_shared(share, access, others, conflict) -> None:
    (share.root / "d").mkdir()
    handle = share.create("d\\f")
    share.open("d", access=access, share=others)
    if conflict:
        with refused(NtStatus.STATUS_SHARING_VIOLATION):
            share.store.rename(handle, "d\\g", False)
    else:
        share.store.rename(handle, "d\\g", False)


def test_room_can_be_reserved(share) -> None:
    handle = share.create("f")
    share.store.set_allocation_size(handle, 1 << 20)
    now = share.store.attributes(handle)
    assert (now.end_of_file, now.allocation_size) == (0, 1 << 20)


def test_link(share) -> None:
    share.watch()
    handle = share.create("f")
    share.store.link(handle, "g", False)
    assert share.told() == ["+f", "+g"]
    assert share.store.attributes(handle).number_of_links == 2


@pytest.mark.parametrize("replace", [False, True])
def test_no_link_is_made_in_a_directory_that_is_to_be_deleted(share, replace: bool) -> None:
    doomed, handle = share.mkdir("d"), share.create("f")
    share.store.set_delete_pending(doomed, True)
    with refused(NtStatus.STATUS_DELETE_PENDING):
        share.store.link(handle, "d\\f", replace)
    share.store.close(doomed)
    assert names_in(share) == {"f"}


def test_a_listing_is_filtered_and_starts_with_the_dots(share) -> None:
    for name in ("a.txt", "b.TXT", "c.dat"):
        (share.root / name).write_bytes(b"x")
    root = share.open("").handle
    assert [e.name for e in share.listed(root)][:2] == [".", ".."]
    assert sorted(e.name for e in share.listed(root, "*.txt")) == ["a.txt", "b.TXT"]
    assert [e.attributes.end_of_file for e in share.listed(root, "C.DAT")] == [1]


def test_a_listing_tells_of_names_what_is_true_when_they_are_sent(share) -> None:
    for name in ("a", "b"):
        (share.root / name).write_bytes(b"x")
    root = share.open("").handle
    names = share.store.names(root, "?", 9)
    (share.root / "a").unlink()
    (share.root / "b").write_bytes(b"longer")
    (share.root / "c").touch()
    found = list(share.store.entries(root, sorted(names)))
    assert [e.attributes.end_of_file if e else None for e in found if not e or e.name != "."] == [
        None,
        6,
    ]


def test_a_listing_stops_at_its_limit(share) -> None:
    for number in range(5):
        (share.root / str(number)).touch()
    root = share.open("").handle
    assert len(share.store.names(root, "*", 7)) == 7
    assert len(share.store.names(root, "3", 1)) == 1
    with pytest.raises(StatusError) as caught:
        share.store.names(root, "*", 6)
    assert caught.value.status == NtStatus.STATUS_INSUFFICIENT_RESOURCES


# Streams


def test_streams(share) -> None:
    handle = share.create("f")
    share.watch()
    stream = share.open("f:one", D.FILE_CREATE).handle
    share.store.write(stream, 0, b"abc")
    share.store.write(stream, 1, b"x")
    share.store.set_end_of_file(stream, 2)
    assert share.store.read(stream, 0, 9) == b"ax"
    assert share.store.attributes(stream).end_of_file == 2
    assert share.told() == ["+f:one"] + ["~f:one"] * 3
    assert [(s.name, s.size) for s in share.store.streams(handle)] == [
        ("::$DATA", 0),
        (":one:$DATA", 2),
    ]
    again = share.open("f:ONE:$data")
    emptied = share.open("f:one", D.FILE_OVERWRITE_IF)
    assert again.action == CreateAction.FILE_OPENED
    assert emptied.action == CreateAction.FILE_OVERWRITTEN
    assert share.told() == ["~f:one"]
    for each in (stream, again.handle, emptied.handle):
        share.store.close(each)
    doomed = share.open("f:one", options=ON_CLOSE).handle
    share.store.close(doomed)
    assert share.told() == ["-f:one"]
    assert share.open("f::$DATA").handle.path == "f"


@pytest.mark.parametrize("how", ["disposition", "on close"])
def test_a_stream_goes_with_its_own_last_handle(share, how: str) -> None:
    file = share.create("f")
    first = share.open("f:s", D.FILE_CREATE, options=ON_CLOSE if how == "on close" else 0).handle
    second = share.open("f:s").handle
    share.store.write(second, 0, b"x")
    if how == "disposition":
        share.store.set_delete_pending(first, True)
        assert first.delete_pending
        assert not file.delete_pending
    share.store.close(first)
    assert share.store.read(second, 0, 1) == b"x"
    with refused(NtStatus.STATUS_DELETE_PENDING):
        share.open("f:S")
    share.store.close(second)
    assert [each.name for each in share.store.streams(file)] == ["::$DATA"]
    share.open("f:s", D.FILE_CREATE)


def test_a_directory_goes_with_the_last_handle_of_a_stream_in_it(share) -> None:
    directory = share.mkdir("d")
    stream = share.open("d:s", D.FILE_CREATE).handle
    share.store.set_delete_pending(directory, True)
    share.store.close(directory)
    share.store.close(stream)
    assert names_in(share) == set()


def test_a_deletion_of_a_stream_can_be_taken_back(share) -> None:
    stream = share.open("f:s", D.FILE_CREATE).handle
    share.store.set_delete_pending(stream, True)
    share.store.set_delete_pending(stream, False)
    share.store.close(stream)
    share.open("f:s")


def test_a_stream_that_two_handles_delete_leaves_its_file_usable(share) -> None:
    share.store.close(share.create("f"))
    share.store.close(share.open("f:s", D.FILE_CREATE).handle)
    doomed = [share.open("f:s", options=ON_CLOSE).handle for _ in range(2)]
    for handle in doomed:
        share.store.close(handle)
    share.store.close(share.open("f", access=AccessMask.DELETE, share=0, options=ON_CLOSE).handle)
    assert not (share.root / "f").exists()


def test_a_stream_that_cannot_have_its_new_name_keeps_the_old_one(share) -> None:
    share.create("f")
    stream = share.open("f:s", D.FILE_CREATE).handle
    share.store.write(stream, 0, b"abc")
    with pytest.raises(StatusError):
        share.store.rename(stream, ":" + 240 * "x", False)
    assert share.store.read(stream, 0, 9) == b"abc"
    share.store.rename(stream, ":s", True)
    assert share.store.read(stream, 0, 9) == b"abc"


def test_a_stream_can_become_the_data(share) -> None:
    """smbtorture smb2.streams.rename2."""
    plain = share.create("f")
    share.store.write(plain, 0, b"a longer text")
    stream = share.open("f:one", D.FILE_CREATE).handle
    share.store.write(stream, 0, b"abc")
    share.watch()
    with pytest.raises(StatusError) as caught:
        share.store.rename(stream, "::$DATA", True)
    assert caught.value.status == NtStatus.STATUS_ACCESS_DENIED, "the data is open"
    share.store.close(plain)
    with pytest.raises(StatusError) as caught:
        share.store.rename(stream, "::$DATA", False)
    assert caught.value.status == NtStatus.STATUS_OBJECT_NAME_COLLISION
    assert share.told() == []
    share.store.rename(stream, "::$DATA", True)
    assert share.told() == ["-f:one", "~f"]
    assert share.store.read(stream, 0, 99) == b"abc"
    assert (share.root / "f").read_bytes() == b"abc"
    assert [s.name for s in share.store.streams(stream)] == ["::$DATA"]
    assert stream.path == "f"


def test_a_stream_stays_in_its_file_and_is_told_who_has_the_directory(share) -> None:
    share.mkdir("d")
    stream = share.open("d\\f:one", D.FILE_CREATE).handle
    with pytest.raises(StatusError) as caught:
        share.store.rename(stream, "d\\f:two", True)
    assert caught.value.status == NtStatus.STATUS_SHARING_VIOLATION
    with pytest.raises(StatusError) as caught:
        share.store.rename(stream, "f:two", True)
    assert caught.value.status == NtStatus.STATUS_INVALID_PARAMETER


def test_a_rename_leaves_the_change_time(share) -> None:
    """smbtorture smb2.rename.simple_modtime."""
    opened = share.open("f", D.FILE_CREATE)
    time.sleep(0.02)
    share.store.rename(opened.handle, "g", False)
    share.store.rename(opened.handle, "h", False)
    told = share.store.attributes(opened.handle).change_time
    assert told == opened.attributes.change_time
    share.store.set_eas(opened.handle, [Ea(b"a", b"b")])
    assert share.store.attributes(opened.handle).change_time > told


def test_what_is_made_in_a_directory_inherits_its_acl(share) -> None:
    """smbtorture smb2.delete-on-close-perms."""
    directory = share.mkdir("d")
    everyone = bytes.fromhex("010100000000000100000000")
    readers = struct.pack("<BBHI", 0, 0x03, 20, 0x00120089) + everyone  # OI, CI
    dacl = struct.pack("<BBHHH", 2, 0, 28, 1, 0) + readers
    descriptor = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + dacl
    share.store.set_security_descriptor(directory, 4, descriptor)
    made = share.open("d\\f", D.FILE_CREATE, access=0x12019F)
    assert made.handle.granted_access == 0x12019F, "whoever makes it has what it asks"
    share.store.close(made.handle)
    assert share.open("d\\f", access=0x120089).action == CreateAction.FILE_OPENED
    with pytest.raises(StatusError) as caught:
        share.open("d\\f", access=0x10000 | 0x120089)
    assert caught.value.status == NtStatus.STATUS_ACCESS_DENIED
    inner = share.open("d\\e", D.FILE_CREATE, options=DIRECTORY).handle
    assert share.store.security_descriptor(inner, 4)[20:].endswith(readers[2:])


def test_a_stream_makes_its_file(share) -> None:
    share.watch()
    share.open("f:s", D.FILE_CREATE)
    assert share.told() == ["+f", "+f:s"]


def test_closing_gives_everything_back(share) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        handles = [share.create("f"), share.create("f:s"), share.mkdir("d"), share.watch("d")]
        for name in ("no\\x", "*", "f\\x"):
            with pytest.raises(StatusError):
                share.open(name)
        for handle in handles:
            share.store.close(handle)
            share.store.close(handle)
        (share.root / "d").rmdir()
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(share.files) == 0
