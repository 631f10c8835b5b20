"""CREATE to SET_INFO: what the core checks and how it lays answers out. Files are in memory."""

from __future__ import annotations

import struct

import pytest

from notify_server.core.config import Bounds
from notify_server.wire.status import NtStatus, StatusError
from tests.notify_server.core.talk import (
    CLOSE,
    CREATE,
    FLUSH,
    IOCTL,
    QUERY_DIRECTORY,
    QUERY_INFO,
    READ,
    SET_INFO,
    WRITE,
    Answer,
    LaterRunner,
    World,
    close_body,
    create_body,
    read_body,
    write_body,
)

ACCESS_DENIED, INVALID_PARAMETER, NOT_SUPPORTED = 0xC0000022, 0xC000000D, 0xC00000BB
INSUFFICIENT_RESOURCES, TOO_MANY_OPENED_FILES = 0xC000009A, 0xC000011F
END_OF_FILE, NO_MORE_FILES, NO_SUCH_FILE = 0xC0000011, 0x80000006, 0xC000000F
INVALID_INFO_CLASS, LENGTH_MISMATCH, BUFFER_OVERFLOW = 0xC0000003, 0xC0000004, 0x80000005


def buffer_of(answer: Answer) -> bytes:
    _size, offset, length = struct.unpack_from("<HHI", answer.body)
    return answer.raw[offset : offset + length]


def query_directory(
    file_id: bytes, kind: int = 37, *, flags: int = 0, pattern: str = "*", room: int = 65536
) -> bytes:
    name = pattern.encode("utf-16-le")
    return (
        struct.pack("<HBBI16sHHI", 33, kind, flags, 0, file_id, 96, len(name), room) + name or b"\0"
    )


def query_info(
    file_id: bytes, kind: int, *, of: int = 1, room: int = 4096, more: int = 0, data: bytes = b""
) -> bytes:
    return (
        struct.pack("<HBBIHHIII16s", 41, of, kind, room, 104, 0, len(data), more, 0, file_id) + data
    )


def set_info(file_id: bytes, kind: int, data: bytes, *, of: int = 1, more: int = 0) -> bytes:
    return struct.pack("<HBBIHHI16s", 33, of, kind, len(data), 96, 0, more, file_id) + data


# --- CREATE and CLOSE ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"name": "\\leading"}, INVALID_PARAMETER),
        ({"impersonation": 4}, 0xC00000A5),
        ({"disposition": 6}, INVALID_PARAMETER),
        ({"share": 8}, INVALID_PARAMETER),
        ({"attributes": 0x40}, INVALID_PARAMETER),
        ({"options": 0x80000000}, INVALID_PARAMETER),
        ({"access": 0x08000000}, ACCESS_DENIED),
        ({"options": 0x00002000}, NOT_SUPPORTED),
    ],
)
def test_create_refuses(options: dict[str, int | str], status: int) -> None:
    name = str(options.pop("name", "x"))
    assert World().ready().call(CREATE, create_body(name, **options)).status == status


def context(name: bytes, data: bytes, following: int = 0) -> bytes:
    return struct.pack("<IHHHHI", following, 16, 4, 0, 24 if data else 0, len(data)) + (
        name + b"\0\0\0\0" + data
    )


def test_create_answers_mxac_and_qfid() -> None:
    contexts = context(b"MxAc", b"", 24) + context(b"QFid", b"")
    talk = World().ready()
    answer = talk.call(CREATE, create_body("f", disposition=2, contexts=contexts))
    offset, length = struct.unpack_from("<II", answer.body, 80)
    data = answer.raw[offset : offset + length]
    (following,) = struct.unpack_from("<I", data)
    assert data[16:20] == b"MxAc"
    assert struct.unpack_from("<II", data, 24) == (0, 0x001F01FF)
    assert data[following + 16 : following + 20] == b"QFid"
    assert struct.unpack_from("<QQ", data, following + 24) == (2, 0x1234)


@pytest.mark.parametrize(
    "contexts",
    [
        b"\1",
        context(b"MxAc", b"").replace(b"\4\0\0", b"\3\0\0", 1),
        context(b"MxAc", b"", 8),
        context(b"MxAc", b"", 4096),
    ],
)
def test_create_contexts_that_lie_are_invalid(contexts: bytes) -> None:
    talk = World().ready()
    answer = talk.call(CREATE, create_body("f", disposition=2, contexts=contexts))
    assert answer.status == INVALID_PARAMETER


def test_close_tells_the_attributes_if_asked() -> None:
    world = World()
    world.store.make("f", b"12345")
    talk = world.ready()
    answer = talk.call(CLOSE, close_body(talk.open("f"), flags=1))
    assert struct.unpack("<HHIQQQQQQI", answer.body) == (60, 1, 0, 1, 2, 3, 4, 5, 5, 0x20)
    assert struct.unpack("<HHIQQQQQQI", talk.call(CLOSE, close_body(talk.open("f"))).body)[3:] == (
        0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip


def test_close_closes_also_what_has_no_attributes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that was deleted through another handle, say."""
    world = World()
    world.store.make("f", b"12345")
    talk = world.ready()
    file_id = talk.open("f")

    def gone(handle: object) -> object:
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)

    monkeypatch.setattr(world.store, "attributes", gone)
    answer = talk.call(CLOSE, close_body(file_id, flags=1))
    assert (answer.status, answer.body[2:4]) == (0, b"\0\0")
    assert world.server.handles == 0


def test_a_read_only_share_can_be_read_and_no_more() -> None:
    world = World(share={"read_only": True})
    world.store.make("f", b"data")
    talk = world.ready()
    file_id = talk.open("f", access=0x00120089)
    assert talk.call(READ, read_body(file_id, 0, 4)).status == 0
    assert talk.call(CREATE, create_body("f", access=2)).status == ACCESS_DENIED
    assert talk.call(CREATE, create_body("g", access=1, disposition=2)).status == ACCESS_DENIED
    assert talk.call(SET_INFO, set_info(file_id, 13, b"\1")).status == ACCESS_DENIED
    for access in (0x00120089, 0x02000000):
        on_close = create_body("f", access=access, options=0x1000)
        assert talk.call(CREATE, on_close).status == ACCESS_DENIED
    assert "f" in world.store.nodes


# --- READ, WRITE, FLUSH -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "data", "status"),
    [
        (0, b"xy", ACCESS_DENIED),
        (3, b"xy", ACCESS_DENIED),
        (0, b"", 0),
        (4, b"xy", 0),
        ((1 << 64) - 1, b"xy", 0),
    ],
)
def test_who_may_only_append_overwrites_nothing(offset: int, data: bytes, status: int) -> None:
    world = World()
    world.store.make("f", b"data")
    talk = world.ready()
    file_id = talk.open("f", access=0x00100004)
    assert talk.call(WRITE, write_body(file_id, offset, data)).status == status
    assert bytes(world.store.nodes["f"].data) == (b"data" if status else b"data" + data)


def test_read_and_write() -> None:
    talk = World().ready()
    file_id = talk.open("f", disposition=2)
    written = talk.call(WRITE, write_body(file_id, 2, b"abc"))
    assert struct.unpack_from("<HHI", written.body) == (17, 0, 3)
    answer = talk.call(READ, read_body(file_id, 0, 100))
    size, offset, _, length = struct.unpack_from("<HBBI", answer.body)
    assert (size, answer.raw[offset : offset + length]) == (17, b"\0\0abc")


def test_a_write_at_offset_minus_one_appends() -> None:
    world = World()
    world.store.make("f", b"abc")
    talk = world.ready()
    talk.call(WRITE, write_body(talk.open("f"), 2**64 - 1, b"def"))
    assert world.store.nodes["f"].data == b"abcdef"


def test_reading_at_the_end_or_less_than_the_minimum_is_the_end_of_file() -> None:
    world = World()
    world.store.make("f", b"abc")
    talk = world.ready()
    file_id = talk.open("f")
    assert talk.call(READ, read_body(file_id, 3, 1)).status == END_OF_FILE
    assert talk.call(READ, read_body(file_id, 0, 10, minimum=4)).status == END_OF_FILE
    assert talk.call(READ, read_body(file_id, 3, 0)).status == 0


@pytest.mark.parametrize(
    ("access", "allowed"), [(0x1, READ), (0x20, READ), (0x2, WRITE), (0x80, None)]
)
def test_data_goes_only_where_the_handle_allows(access: int, allowed: int | None) -> None:
    world = World()
    world.store.make("f", b"abc")
    talk = world.ready()
    file_id = talk.open("f", access=access)
    read = talk.call(READ, read_body(file_id, 0, 1)).status
    written = talk.call(WRITE, write_body(file_id, 0, b"x")).status
    assert (read == 0) == (allowed == READ)
    assert (written == 0) == (allowed == WRITE)
    assert {read, written} <= {0, ACCESS_DENIED}


def test_data_of_a_directory_is_no_request() -> None:
    talk = World().ready()
    file_id = talk.open("")
    assert talk.call(READ, read_body(file_id, 0, 1)).status == 0xC0000010
    assert talk.call(WRITE, write_body(file_id, 0, b"x")).status == 0xC0000010


def test_sizes_beyond_the_limit_and_offsets_beyond_all_files_are_invalid() -> None:
    talk = World().ready(0x0202)
    file_id = talk.open("f", disposition=2)
    assert talk.call(READ, read_body(file_id, 0, 65537)).status == INVALID_PARAMETER
    assert talk.call(READ, read_body(file_id, 2**63, 1)).status == INVALID_PARAMETER
    assert talk.call(WRITE, write_body(file_id, 2**63, b"x")).status == INVALID_PARAMETER


def test_a_flush_never_runs_where_the_core_does() -> None:
    runner = LaterRunner()
    talk = World(runner=runner).ready()
    talk.send(FLUSH, struct.pack("<HHI16s", 24, 0, 0, talk.open("f", disposition=2)))
    assert talk.take() == []
    runner.release()
    assert talk.take()[0].status == 0


def test_the_stores_error_is_the_answer() -> None:
    world = World()
    talk = world.ready()
    file_id = talk.open("f", disposition=2)
    world.store.fail["write"] = NtStatus.STATUS_DISK_FULL
    assert talk.call(WRITE, write_body(file_id, 0, b"x")).status == 0xC000007F


# --- QUERY_DIRECTORY ----------------------------------------------------------------------------

FIXED = {1: 64, 2: 68, 3: 94, 12: 12, 37: 104, 38: 80, 60: 88}
LENGTH_AT = {1: 60, 2: 60, 3: 60, 12: 8, 37: 60, 38: 60, 60: 60}


def names_in(data: bytes, kind: int) -> list[str]:
    found = []
    while data:
        (following,) = struct.unpack_from("<I", data)
        assert following % 8 == 0
        (length,) = struct.unpack_from("<I", data, LENGTH_AT[kind])
        found.append(data[FIXED[kind] : FIXED[kind] + length].decode("utf-16-le"))
        data = data[following:] if following else b""
    return found


@pytest.mark.parametrize("kind", sorted(FIXED))
def test_each_class_lists_the_names(kind: int) -> None:
    world = World()
    for name in ("a", "bb", "ccc"):
        world.store.make(name, b"x")
    talk = world.ready()
    file_id = talk.open("")
    answer = talk.call(QUERY_DIRECTORY, query_directory(file_id, kind))
    assert names_in(buffer_of(answer), kind) == [".", "..", "a", "bb", "ccc"]
    assert talk.call(QUERY_DIRECTORY, query_directory(file_id, kind)).status == NO_MORE_FILES


def test_a_listing_goes_on_where_the_buffer_ended_and_restarts_if_told() -> None:
    world = World()
    for index in range(20):
        world.store.make(f"name{index:02}", b"")
    talk = world.ready()
    file_id = talk.open("")
    seen: list[str] = []
    while True:
        answer = talk.call(QUERY_DIRECTORY, query_directory(file_id, 1, room=300))
        if answer.status:
            break
        assert len(buffer_of(answer)) <= 300
        seen += names_in(buffer_of(answer), 1)
    assert seen == [".", "..", *(f"name{index:02}" for index in range(20))]
    again = talk.call(QUERY_DIRECTORY, query_directory(file_id, 1, flags=1))
    assert len(names_in(buffer_of(again), 1)) == 22


def test_what_is_deleted_during_a_listing_is_not_sent() -> None:
    """smbtorture smb2.dir.fixed."""
    world = World()
    for name in ("a", "b", "c"):
        world.store.make(name, b"")
    talk = world.ready()
    file_id = talk.open("")
    talk.call(QUERY_DIRECTORY, query_directory(file_id, 12, flags=2))
    del world.store.nodes["a"], world.store.nodes["c"]
    world.store.make("d", b"")
    rest = talk.call(QUERY_DIRECTORY, query_directory(file_id, 12))
    assert names_in(buffer_of(rest), 12) == ["..", "b"]
    assert talk.call(QUERY_DIRECTORY, query_directory(file_id, 12)).status == NO_MORE_FILES


def test_listings_of_one_handle_take_turns() -> None:
    """Two requests that are read in threads do not get the same names."""
    runner = LaterRunner()
    world = World(runner=runner)
    world.store.make("a", b"")
    talk = world.ready()
    file_id = talk.open("")
    for _ in range(4):
        talk.send(QUERY_DIRECTORY, query_directory(file_id, 12, flags=2))
    assert talk.take() == []
    while runner.waiting:
        assert len(runner.waiting) == 1
        runner.release()
    answers = talk.take()
    assert [names_in(buffer_of(a), 12) for a in answers[:3]] == [["."], [".."], ["a"]]
    assert answers[3].status == NO_MORE_FILES


def test_names_of_listings_are_bounded_and_given_back() -> None:
    world = World(config={"bounds": Bounds(listed=7)})
    world.store.make("a", b"")
    talk = world.ready()
    first, second, third = (talk.open("") for _ in range(3))
    one = query_directory(first, 12, flags=2)
    assert talk.call(QUERY_DIRECTORY, one).status == 0
    assert talk.call(QUERY_DIRECTORY, query_directory(second, 12, flags=2)).status == 0
    assert world.server.listed == 6
    refused = talk.call(QUERY_DIRECTORY, query_directory(third, 12))
    assert refused.status == INSUFFICIENT_RESOURCES
    assert talk.call(QUERY_DIRECTORY, query_directory(first, 12, flags=3)).status == 0, "afresh"
    assert world.server.listed == 6
    talk.call(CLOSE, close_body(second))
    assert world.server.listed == 3
    assert talk.call(QUERY_DIRECTORY, query_directory(third, 12)).status == 0
    while talk.call(QUERY_DIRECTORY, one).status == 0:
        pass
    assert talk.call(QUERY_DIRECTORY, query_directory(third, 12)).status == NO_MORE_FILES
    assert world.server.listed == 0


def test_opens_of_all_sessions_are_bounded() -> None:
    """Also those that are being opened in threads, or whose opening fails."""
    runner = LaterRunner()
    world = World(runner=runner, config={"bounds": Bounds(all_opens=3)})
    one, other = world.ready(), world.ready()
    runner.light = True
    for talk in (one, one, other):
        talk.send(CREATE, create_body("f", disposition=3))
    assert other.call(CREATE, create_body("f", disposition=3)).status == TOO_MANY_OPENED_FILES
    world.store.fail["open"] = NtStatus.STATUS_ACCESS_DENIED
    runner.release()
    assert world.server.handles == 2
    del world.store.fail["open"]
    runner.release(2)
    assert [answer.status for answer in [*one.take(), *other.take()]] == [ACCESS_DENIED, 0, 0]
    one.connection.lost(1.0)
    assert world.server.handles == 2, "until the store has closed it"
    runner.release()
    other.connection.lost(1.0)
    runner.release()
    assert world.server.handles == 0


def test_a_single_entry_if_only_one_is_wanted() -> None:
    talk = World().ready()
    file_id = talk.open("")
    first = talk.call(QUERY_DIRECTORY, query_directory(file_id, 12, flags=2))
    second = talk.call(QUERY_DIRECTORY, query_directory(file_id, 12, flags=2))
    assert names_in(buffer_of(first), 12) + names_in(buffer_of(second), 12) == [".", ".."]


def test_a_pattern_without_a_match_is_no_such_file() -> None:
    talk = World().ready()
    body = query_directory(talk.open(""), pattern="none")
    assert talk.call(QUERY_DIRECTORY, body).status == NO_SUCH_FILE


@pytest.mark.parametrize(
    ("options", "status"),
    [({"kind": 99}, INVALID_INFO_CLASS), ({"room": 10}, LENGTH_MISMATCH)],
)
def test_query_directory_refuses(options: dict[str, int], status: int) -> None:
    talk = World().ready()
    body = query_directory(talk.open(""), **options)
    assert talk.call(QUERY_DIRECTORY, body).status == status


# --- QUERY_INFO and SET_INFO --------------------------------------------------------------------

SIZES = {4: 40, 5: 24, 6: 8, 7: 4, 8: 4, 14: 8, 16: 4, 17: 4, 28: 16, 34: 56, 35: 8, 59: 24}


@pytest.mark.parametrize(("kind", "size"), sorted(SIZES.items()))
def test_fixed_classes_have_their_sizes_and_need_the_room(kind: int, size: int) -> None:
    talk = World().ready()
    file_id = talk.open("f", disposition=2)
    assert len(buffer_of(talk.call(QUERY_INFO, query_info(file_id, kind)))) == size
    short = talk.call(QUERY_INFO, query_info(file_id, kind, room=size - 1))
    assert short.status == LENGTH_MISMATCH


def test_all_information_ends_with_the_name_and_is_cut_if_it_must() -> None:
    talk = World().ready()
    file_id = talk.open("file.txt", disposition=2)
    whole = buffer_of(talk.call(QUERY_INFO, query_info(file_id, 18)))
    assert whole[96:] == struct.pack("<I", 18) + "\\file.txt".encode("utf-16-le")
    cut = talk.call(QUERY_INFO, query_info(file_id, 18, room=110))
    assert cut.status == BUFFER_OVERFLOW
    assert buffer_of(cut) == whole[:110]


FILE_SYSTEM = {3: 24, 4: 8, 6: 48, 7: 32, 8: 64, 11: 28}


@pytest.mark.parametrize(("kind", "size"), sorted(FILE_SYSTEM.items()))
def test_file_system_classes_have_their_sizes(kind: int, size: int) -> None:
    talk = World().ready()
    answer = talk.call(QUERY_INFO, query_info(talk.open(""), kind, of=2))
    assert len(buffer_of(answer)) == size


def test_volume_and_attribute_information_carry_names() -> None:
    talk = World().ready()
    file_id = talk.open("")
    volume = buffer_of(talk.call(QUERY_INFO, query_info(file_id, 1, of=2)))
    assert struct.unpack_from("<QIIBB", volume) == (1, 0x1234, 6, 0, 0)
    assert volume[18:] == "MEM".encode("utf-16-le")
    attributes = buffer_of(talk.call(QUERY_INFO, query_info(file_id, 5, of=2)))
    assert attributes[12:] == "NTFS".encode("utf-16-le")


def test_a_security_descriptor_that_does_not_fit_tells_its_size() -> None:
    talk = World().ready()
    file_id = talk.open("")
    answer = talk.call(QUERY_INFO, query_info(file_id, 0, of=3, room=4, more=7))
    assert answer.status == 0xC0000023
    assert answer.body == struct.pack("<HBBIIII", 9, 1, 0, 12, 4, 0, 20)
    full = talk.call(QUERY_INFO, query_info(file_id, 0, of=3, more=7))
    assert buffer_of(full) == b"S" * 20


def test_eas_are_listed_or_picked_by_name() -> None:
    talk = World().ready()
    file_id = talk.open("f", disposition=2)
    listed = buffer_of(talk.call(QUERY_INFO, query_info(file_id, 15)))
    one = struct.pack("<IBBH", 16, 0, 3, 1) + b"ONE\0" + b"1" + b"\0\0\0"
    two = struct.pack("<IBBH", 0, 0, 3, 2) + b"TWO\0" + b"22"
    assert listed == one + two
    picked = struct.pack("<IB", 0, 3) + b"two\0"
    assert buffer_of(talk.call(QUERY_INFO, query_info(file_id, 15, data=picked))) == two


@pytest.mark.parametrize(
    ("kind", "access"),
    [(4, 0x100), (10, 0x10000), (13, 0x10000), (19, 2), (20, 2), (15, 0x10), (64, 0x10000)],
)
def test_set_info_needs_the_access_for_it(kind: int, access: int) -> None:
    world = World()
    world.store.make("f", b"x")
    talk = world.ready()
    file_id = talk.open("f", access=0x001F01FF & ~access & ~(4 if access == 2 else 0))
    assert talk.call(SET_INFO, set_info(file_id, kind, bytes(48))).status == ACCESS_DENIED


def rename_to(name: str, *, replace: bool = False, root: int = 0) -> bytes:
    encoded = name.encode("utf-16-le")
    return struct.pack("<B7xQI", replace, root, len(encoded)) + encoded


def test_rename() -> None:
    world = World()
    world.store.make("f", b"x")
    world.store.make("g", b"y")
    talk = world.ready()
    file_id = talk.open("f")
    assert talk.call(SET_INFO, set_info(file_id, 10, rename_to("g"))).status == 0xC0000035
    assert talk.call(SET_INFO, set_info(file_id, 10, rename_to("g", replace=True))).status == 0
    assert world.store.nodes["g"].data == b"x"
    answer = talk.call(SET_INFO, set_info(file_id, 10, rename_to("h", root=1)))
    assert answer.status == INVALID_PARAMETER


@pytest.mark.parametrize(("kind", "data"), [(13, b"\1"), (64, b"\1\0\0\0")])
def test_disposition_deletes_at_close(kind: int, data: bytes) -> None:
    world = World()
    world.store.make("f", b"x")
    talk = world.ready()
    file_id = talk.open("f")
    assert talk.call(SET_INFO, set_info(file_id, kind, data)).status == 0
    talk.call(CLOSE, close_body(file_id))
    assert "f" not in world.store.nodes


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        (4, bytes(35), LENGTH_MISMATCH),
        (4, struct.pack("<qqqqI", -3, 0, 0, 0, 0), INVALID_PARAMETER),
        (20, struct.pack("<Q", 2**63), INVALID_PARAMETER),
        (20, b"", LENGTH_MISMATCH),
        (13, b"", LENGTH_MISMATCH),
        (10, rename_to("x")[:-1], INVALID_PARAMETER),
        (15, b"\1", 0x80000014),
        (99, b"", INVALID_INFO_CLASS),
    ],
)
def test_set_info_refuses(kind: int, data: bytes, status: int) -> None:
    talk = World().ready()
    file_id = talk.open("f", disposition=2)
    assert talk.call(SET_INFO, set_info(file_id, kind, data)).status == status


# --- IOCTL --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "flags", "status"),
    [
        (0x00060194, 1, 0xC0000225),  # DFS referrals
        (0x001401FC, 1, NOT_SUPPORTED),  # network interfaces
        (0x00090000, 1, 0xC0000010),
        (0x00060194, 0, NOT_SUPPORTED),  # not an FSCTL
    ],
)
def test_controls_that_mean_nothing_here(code: int, flags: int, status: int) -> None:
    talk = World().ready()
    file_id = talk.open("")
    body = struct.pack("<HHI16sIIIIIIII", 57, 0, code, file_id, 0, 0, 0, 0, 0, 64, flags, 0)
    assert talk.call(IOCTL, body).status == status


def test_an_object_id_is_made_of_the_files_number() -> None:
    talk = World().ready()
    file_id = talk.open("")
    body = struct.pack("<HHI16sIIIIIIII", 57, 0, 0x000900C0, file_id, 0, 0, 0, 0, 0, 64, 1, 0)
    answer = talk.call(IOCTL, body)
    assert answer.body[48 : 48 + 16] == (1).to_bytes(16, "little")
