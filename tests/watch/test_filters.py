"""CompletionFilter in words, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.watch import filters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("names", 0x3),
        ("size", 0x8),
        ("names,attributes,size", 0xF),
        ("file-name | LAST_WRITE", 0x11),
        ("FILE_NOTIFY_CHANGE_EA", 0x80),
        ("0x15", 0x15),
        ("explorer", 0x15),
        ("21", 0x15),
        ("0x1000,security", 0x1100),
        ("times", 0x70),
        ("streams", 0xE00),
        ("all", 0xFFF),
        ("0xffffffff", 0xFFFFFFFF),
    ],
)
def test_words_groups_and_numbers(text: str, value: int) -> None:
    assert filters.parse(text) == value


@pytest.mark.parametrize(
    "text", ["", ",", "0", "0x0", "-1", "0x100000000", "nams", "size;ea", "0x"]
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        filters.parse(text)


def test_the_nearest_word_is_offered() -> None:
    with pytest.raises(UsageError, match="did you mean 'names'"):
        filters.parse("nams")


@given(st.integers(1, 0xFFFFFFFF))
def test_every_filter_reads_back_from_its_words(value: int) -> None:
    assert filters.parse(",".join(filters.in_words(value))) == value


@pytest.mark.parametrize(
    ("action", "watched", "classes"),
    [
        ("ADDED", 0xFFF, ["file-name", "dir-name"]),
        ("REMOVED", 0x1, ["file-name"]),
        ("RENAMED_NEW_NAME", 0x2, ["dir-name"]),
        ("MODIFIED", 0x8, ["size"]),
        ("MODIFIED", 0x1B, ["size", "last-write"]),
        ("MODIFIED", 0xE18, ["size", "last-write"]),
        ("ADDED_STREAM", 0xFFF, ["stream-name", "stream-size", "stream-write"]),
        ("MODIFIED", 0x3, []),  # a server told of what nobody asked for: we know no class
        ("9", 0x4, ["attributes"]),
    ],
)
def test_an_action_matches_some_of_the_watched_classes(
    action: str, watched: int, classes: list[str]
) -> None:
    assert filters.classes(action, watched) == classes
