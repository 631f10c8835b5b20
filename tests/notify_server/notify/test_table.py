"""The rules of `notify.table`, one test each and in its order."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from notify_server.notify.change import (
    Change,
    ChangesLost,
    DirectoryDoomed,
    DirectoryMoved,
    Event,
    Report,
)
from notify_server.notify.classes import Operation, added, done, removed, renamed
from notify_server.notify.records import decode_records
from notify_server.notify.table import Bounds, Completion, WatchTable
from notify_server.wire.constants import CompletionFilter as Filter
from notify_server.wire.fscc import NotifyAction as Action
from notify_server.wire.status import NtStatus

FILE = int(Filter.FILE_NOTIFY_CHANGE_FILE_NAME)
DIR = int(Filter.FILE_NOTIFY_CHANGE_DIR_NAME)
ATTRIBUTES = int(Filter.FILE_NOTIFY_CHANGE_ATTRIBUTES)
ALL = 0xFFF


class Table(WatchTable):
    """With words that make a dialogue of a test."""

    def request(
        self,
        request: str,
        *,
        on: str = "h",
        of: str = "/s/d",
        wants: int = ALL,
        tree: bool = False,
        room: int = 4096,
        sees: Callable[[str], bool] | None = None,
    ) -> Completion | None:
        return self.arm(
            on,
            request,
            directory=of,
            completion_filter=wants,
            watch_tree=tree,
            output_buffer_length=room,
            sees=sees,
        )

    def happens(self, *events: Event) -> list[tuple[object, object]]:
        return [told(c) for event in events for c in self.publish(event)]


def told(completion: Completion | None) -> tuple[object, object]:
    """(request, its records), or (request, its status if it is not SUCCESS)."""
    assert completion is not None, "the request is parked"
    if completion.status != NtStatus.STATUS_SUCCESS:
        assert completion.buffer == b""
        return completion.request, completion.status
    return completion.request, [(a.value, n) for a, n in decode_records(completion.buffer)]


def file_added(name: str, directory: str = "/s/d") -> Change:
    return added(directory, name, is_directory=False)


ENUM_DIR = NtStatus.STATUS_NOTIFY_ENUM_DIR


def test_a_change_completes_the_parked_request_at_once() -> None:
    table = Table()
    assert table.request("r1") is None
    assert table.happens(file_added("x")) == [("r1", [(1, "x")])]
    assert (table.parked, table.buffered) == (0, 0)


def test_1_filter_and_tree_flag_of_the_first_request_hold() -> None:
    table = Table()
    table.request("r1", wants=ATTRIBUTES)
    table.cancel("r1")
    table.request("r2", wants=ALL, tree=True)
    assert table.happens(file_added("x"), done(Operation.WRITTEN, "/s/d/e", "y")) == []
    assert table.happens(done(Operation.OVERWRITTEN, "/s/d", "x")) == [("r2", [(3, "x")])]


def test_2_the_first_request_sizes_the_buffer() -> None:
    table = Table()
    table.request("r1", room=1)
    assert table.happens(file_added("x")) == [("r1", ENUM_DIR)]
    table.request("r2", room=65536)
    assert table.happens(file_added("x")) == [("r2", ENUM_DIR)]


def test_3_requests_complete_first_in_first_out() -> None:
    table = Table()
    table.request("r1")
    table.request("r2")
    assert table.happens(file_added("x"), file_added("y")) == [
        ("r1", [(1, "x")]),
        ("r2", [(1, "y")]),
    ]


def test_4_buffered_records_come_all_or_as_enum_dir() -> None:
    table = Table()
    table.request("r1")
    table.happens(file_added("x"), file_added("y"), file_added("z"))
    assert told(table.request("r2")) == ("r2", [(1, "y"), (1, "z")])
    table.request("r3")
    table.happens(file_added("x"), file_added("y"), file_added("z"))
    # "y" takes 16 bytes with its padding, "z" 14.
    assert told(table.request("r4", room=29)) == ("r4", ENUM_DIR)
    assert table.buffered == 0
    table.request("r5")
    table.happens(file_added("x"), file_added("y"), file_added("z"))
    assert told(table.request("r6", room=30)) == ("r6", [(1, "y"), (1, "z")])


def test_5_no_room_means_say_only_that_something_changed() -> None:
    table = Table()
    table.request("r1")
    table.cancel("r1")
    table.request("r2", room=0)
    assert table.happens(file_added("x")) == [("r2", ENUM_DIR)]
    table.request("r3")
    assert table.happens(file_added("y")) == [("r3", [(1, "y")])]


def test_6_buffered_records_win_over_a_cancel_that_follows() -> None:
    table = Table()
    table.request("r1")
    table.happens(file_added("x"), file_added("y"))
    assert told(table.request("r2")) == ("r2", [(1, "y")])
    assert table.cancel("r2") is None


def test_7_the_directory_is_not_in_its_own_watch() -> None:
    table = Table()
    table.request("r1", tree=True)
    assert table.happens(done(Operation.OVERWRITTEN, "/s", "d")) == []


def test_8_names_are_relative_to_the_watched_directory() -> None:
    table = Table()
    table.request("flat", on="h1")
    table.request("tree", on="h2", tree=True)
    table.request("root", on="h3", of="/", tree=True)
    table.request("other", on="h4", of="/s/dd", tree=True)
    assert table.happens(file_added("x", "/s/d/a/b")) == [
        ("tree", [(1, r"a\b\x")]),
        ("root", [(1, r"s\d\a\b\x")]),
    ]


def test_9_a_rename_in_a_directory_comes_in_one_reply() -> None:
    table = Table()
    table.request("r1", wants=FILE)
    events = renamed("/s/d", "a", "/s/d", "b", is_directory=False)
    assert table.happens(*events) == [("r1", [(4, "a"), (5, "b")])]
    table.request("r2", wants=FILE)
    events = renamed("/s/d", "b", "/s/e", "b", is_directory=False)
    assert table.happens(*events) == [("r2", [(2, "b")])]


def test_10_a_rename_is_told_as_names_or_as_attributes_not_both() -> None:
    table = Table()
    table.request("names", on="h1", wants=FILE | ATTRIBUTES)
    table.request("bits", on="h2", wants=ATTRIBUTES)
    table.request("there", on="h3", of="/s/e", wants=ATTRIBUTES)
    assert table.happens(*renamed("/s/d", "a", "/s/d", "b", is_directory=False)) == [
        ("names", [(4, "a"), (5, "b")]),
        ("bits", [(3, "b")]),
    ]
    assert table.happens(*renamed("/s/d", "b", "/s/e", "c", is_directory=False)) == [
        ("there", [(3, "c")])
    ]
    table.request("bits", on="h2", wants=ATTRIBUTES)
    assert table.happens(*renamed("/s/d", "k", "/s/d", "l", is_directory=True)) == []


def test_11_a_repeated_modified_adds_nothing() -> None:
    table = Table()
    table.request("r1")
    table.cancel("r1")
    written = done(Operation.WRITTEN, "/s/d", "x")
    table.happens(file_added("x"), written, written, done(Operation.EA_CHANGED, "/s/d", "x"))
    table.happens(done(Operation.WRITTEN, "/s/d", "y"), written)
    assert told(table.request("r2")) == ("r2", [(1, "x"), (3, "x"), (3, "y"), (3, "x")])


def test_11_only_modified_repeats() -> None:
    table = Table()
    table.request("r1")
    table.cancel("r1")
    table.happens(file_added("x"), file_added("x"))
    assert told(table.request("r2")) == ("r2", [(1, "x"), (1, "x")])


def test_12_a_doomed_directory_completes_its_own_watches() -> None:
    table = Table()
    table.request("r1")
    table.request("r2")
    table.request("above", on="h2", of="/s", tree=True)
    doomed = DirectoryDoomed("/s/d")
    assert table.happens(doomed) == [
        ("r1", NtStatus.STATUS_DELETE_PENDING),
        ("r2", NtStatus.STATUS_DELETE_PENDING),
    ]
    assert told(table.request("r3")) == ("r3", NtStatus.STATUS_DELETE_PENDING)
    table.publish(DirectoryDoomed("/s/d", undone=True))
    table.happens(file_added("x"))
    assert told(table.request("r4")) == ("r4", [(1, "x")])


def test_13_closing_completes_with_cleanup_and_forgets() -> None:
    table = Table()
    table.request("r1")
    table.request("r2")
    assert [told(c) for c in table.close("h")] == [
        ("r1", NtStatus.STATUS_NOTIFY_CLEANUP),
        ("r2", NtStatus.STATUS_NOTIFY_CLEANUP),
    ]
    assert (len(table), table.parked, table.close("h")) == (0, 0, [])
    assert table.happens(file_added("x")) == []


def test_13_closing_forgets_what_is_buffered() -> None:
    table = Table()
    table.request("r1")
    table.happens(file_added("x"), file_added("y"))
    assert table.buffered > 0
    assert table.close("h") == []
    assert table.buffered == 0


def test_14_an_overflow_is_told_once_then_changes_are_told_again() -> None:
    table = Table()
    table.request("r1", room=64)
    table.happens(*(file_added(f"long-name-{n}") for n in range(9)))
    assert told(table.request("r2", room=4096)) == ("r2", ENUM_DIR)
    table.request("r3")
    assert table.happens(file_added("x")) == [("r3", [(1, "x")])]


def test_14_lost_changes_reach_whoever_watched_there() -> None:
    table = Table()
    table.request("itself", on="h1", of="/s/d")
    table.request("above", on="h2", of="/s", tree=True)
    table.request("above, flat", on="h3", of="/s")
    table.request("below", on="h4", of="/s/d/e")
    table.request("beside", on="h5", of="/s/dd")
    assert sorted(table.happens(ChangesLost("/s/d")), key=str) == [
        ("above", ENUM_DIR),
        ("below", ENUM_DIR),
        ("itself", ENUM_DIR),
    ]
    table.request("again", on="h1")
    assert sorted(table.happens(ChangesLost()), key=str) == [
        ("above, flat", ENUM_DIR),
        ("again", ENUM_DIR),
        ("beside", ENUM_DIR),
    ]
    assert told(table.request("later", on="h2")) == ("later", ENUM_DIR)


def test_14_bounds() -> None:
    refused = NtStatus.STATUS_INSUFFICIENT_RESOURCES
    table = Table(Bounds(requests_per_open=2, requests=3, bytes_per_open=100, bytes=300))
    assert table.request("r1") is None
    assert table.request("r2") is None
    assert told(table.request("r3")) == ("r3", refused)
    assert table.request("r4", on="h2") is None
    assert told(table.request("r5", on="h3")) == ("r5", refused)
    assert len(table) == 2
    table.close("h")
    table.happens(file_added("x"), file_added("y"), file_added("z"), file_added("w"))
    assert told(table.request("r6", on="h2")) == ("r6", ENUM_DIR)
    assert table.buffered == 0


@pytest.mark.parametrize("watches", [1, 10])
def test_14_what_is_counted_is_memory(watches: int) -> None:
    """Of many records with short names, which take more memory than wire; what watches share is
    counted for each of them: rather too much than too little."""
    table = Table(Bounds(bytes_per_open=1 << 24))
    for number in range(watches):
        table.request(f"first {number}", on=f"h{number}", room=1 << 24)
        table.cancel(f"first {number}")
    tracemalloc.start()
    try:
        for number in range(1000):
            table.happens(file_added(f"f{number}"))
        taken = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    ours = taken.filter_traces([tracemalloc.Filter(True, "*/notify_server/*")])  # no other thread's
    held = sum(trace.size for trace in ours.traces)
    assert held <= table.buffered
    assert table.buffered <= 2 * held or watches > 1


@pytest.mark.parametrize("field", ["requests_per_open", "requests", "bytes_per_open", "bytes"])
def test_bounds_must_let_something_through(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Bounds(**{field: 0})


def test_15_names_that_a_user_may_not_list_are_not_told() -> None:
    table = Table()
    asked = []

    def sees(directory: str) -> bool:
        asked.append(directory)
        return "private" not in directory

    table.request("r1", tree=True, sees=sees)
    table.request("all", on="other", tree=True)
    hidden = added("/s/d/private", "secret", is_directory=False)
    assert table.happens(hidden) == [("all", [(1, "private\\secret")])]
    assert table.happens(added("/s/d/open", "f", is_directory=False)) == [("r1", [(1, "open\\f")])]
    assert asked == ["/s/d/private", "/s/d/open"]
    assert table.request("r2", tree=True) is None, "what was hidden is not buffered either"
    assert table.happens(added("/s/d", "g", is_directory=False)) == [("r2", [(1, "g")])]
    assert asked[2:] == [], "its own directory it could list when it opened it"


def test_a_watch_follows_its_renamed_directory() -> None:
    table = Table()
    table.request("r1", of="/s/d/e")
    assert table.happens(DirectoryMoved("/s/d", "/s/k")) == []
    assert table.happens(file_added("x", "/s/d/e")) == []
    assert table.happens(file_added("x", "/s/k/e")) == [("r1", [(1, "x")])]
    table.close("h")
    assert len(table) == 0


def test_a_cancel_finds_its_request_among_others() -> None:
    table = Table()
    for request in ("r1", "r2", "r3"):
        table.request(request)
    assert told(table.cancel("r2")) == ("r2", NtStatus.STATUS_CANCELLED)
    assert table.cancel("r2") is None
    assert table.cancel("unknown") is None
    assert table.happens(file_added("x"), file_added("y")) == [
        ("r1", [(1, "x")]),
        ("r3", [(1, "y")]),
    ]


def test_every_filter_bit_is_told_only_what_it_names() -> None:
    """The whole of `classes`: an operation's report completes a watch of each bit that it has."""
    for operation in Operation:
        for bit in range(32):
            table = Table()
            table.request("r", wants=1 << bit)
            happened = table.happens(done(operation, "/s/d", "x"))
            wanted = bool(operation.filter_match & 1 << bit)
            assert happened == ([("r", [(operation.action, "x")])] if wanted else [])


def test_recreating_a_file_is_removed_added_modified() -> None:
    """smbtorture valid-req."""
    table = Table()
    table.request("r1")
    table.cancel("r1")
    table.happens(
        removed("/s/d", "f", is_directory=False),
        file_added("f"),
        done(Operation.EXTENDED, "/s/d", "f"),
        Change((Report("/s/d", "f", Action.FILE_ACTION_MODIFIED, 0x74),)),
    )
    assert told(table.request("r2")) == ("r2", [(2, "f"), (1, "f"), (3, "f")])
