"""Names of the wire and of the disk, and the expressions of QUERY_DIRECTORY."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify_server.fs.names import Expression, ParsedName, fold, parse, to_disk, to_wire
from notify_server.wire.status import StatusError

PATHS = st.text(st.sampled_from('ab.\\:/*?"<>|\x01\0 $DAT\ud800\udc80\uf022é'), max_size=24)


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        ("", ParsedName(())),
        ("a", ParsedName(("a",))),
        ("a\\b\\", ParsedName(("a", "b"))),
        ("a\\.\\b\\..\\c", ParsedName(("a", "c"))),
        ("a:s", ParsedName(("a",), "s", says_data=True)),
        ("a:s:$data", ParsedName(("a",), "s", says_data=True)),
        ("a::$DATA", ParsedName(("a",), "", says_data=True)),
        ("a\uf022b", ParsedName(("a:b",))),
    ],
)
def test_paths(path: str, parsed: ParsedName) -> None:
    assert parse(path) == parsed


@given(PATHS)
def test_no_path_leads_anywhere_but_below(path: str) -> None:
    """Whatever is accepted is a list of names that a directory may hold."""
    try:
        components = parse(path).components
    except StatusError:
        return
    for name in components:
        assert name not in ("", ".", "..")
        assert "/" not in name
        assert b"\0" not in os.fsencode(name)
        assert len(os.fsencode(name)) <= 255
        assert os.fsdecode(os.fsencode(name)) == name  # so the kernel names it too


@given(st.binary(min_size=1, max_size=40).filter(lambda b: not {0, 47} & set(b)))
def test_each_name_on_disk_can_be_shown_and_opened(raw: bytes) -> None:
    name = os.fsdecode(raw)
    if any("\uf001" <= c <= "\uf027" for c in name):
        return  # says that it is another name
    shown = to_wire(name)
    assert not set(shown) & set('"*/:<>?\\|')
    assert to_disk(shown) == name
    shown.encode("utf-16-le", "surrogatepass")


@pytest.mark.parametrize("path", ["\udcc3\udca9", "a:\udcc3\udca9"])
def test_bytes_one_by_one_that_are_utf8_are_no_name(path: str) -> None:
    """The file would be `é`: told by another name than it was made by."""
    with pytest.raises(StatusError, match=r"^STATUS_OBJECT_NAME_INVALID$"):
        parse(path)


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("*", ["a", "a.b", ".c"], []),
        ("*.*", ["a", "a.b"], []),
        ("*.txt", ["a.txt", "a.b.TXT", ".txt"], ["txt", "a.txt.b"]),
        ("?", ["a"], ["", "ab"]),
        ("a?c", ["abc"], ["ac", "abbc"]),
        ("<.txt", ["a.txt", "a.b.txt"], ["a"]),
        ("a>>", ["a", "ab", "abc"], ["abcd", "b"]),
        ('a"b', ["a.b"], ["ab"]),
        ('a"', ["a", "a."], ["ab"]),
        ("[a]", ["[a]"], ["a"]),
        ("Ö", ["ö"], ["o"]),
    ],
)
def test_expressions(pattern: str, matches: list[str], others: list[str]) -> None:
    expression = Expression(pattern)
    assert [name for name in matches if not expression.matches(name)] == []
    assert [name for name in others if expression.matches(name)] == []


@pytest.mark.parametrize(
    ("one", "other"), [("GRÖßE", "größe"), ("ΣΑΣ", "σας"), ("Ж", "ж"), ("ÿ", "Ÿ"), ("ﬁ", "ﬁ")]
)
def test_case_is_folded_beyond_ascii(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße", "STRASSE"),
        ("ﬁ", "fi"),
        ("\u0131", "i"),
        ("\u017f", "s"),
        ("\u212a", "k"),
        ("𐐨", "𐐀"),
    ],
)
def test_letters_that_windows_tells_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_a_folded_name_is_as_long_and_folds_to_itself(name: str) -> None:
    folded = fold(name)
    assert len(folded) == len(name)
    assert fold(folded) == folded
