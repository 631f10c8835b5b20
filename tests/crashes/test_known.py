"""The list of known reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.crashes import known
from lab.crashes.model import Crash, Frame, Kind
from lab.crashes.parse import find_crashes
from lab.errors import UsageError

CRASH = Crash(
    Kind.BUG,
    "kernel BUG at lib/list_debug.c:29 in smb2_open: list_add corruption",
    (Frame("__list_add_valid_or_report", 0x4B), Frame("smb2_open", 0x1B5, "ksmbd")),
)
WHY = {"reason": "a reason", "link": "https://example.org"}


def explains(**table: Any) -> bool:
    (entry,) = known.parse({"known": [{**WHY, **table}]})
    return entry.explains(CRASH)


def test_a_fingerprint_names_a_report_exactly() -> None:
    assert explains(fingerprint="bug: smb2_open+0x1b5")
    assert not explains(fingerprint="bug: smb2_open+0x1b6")


def test_a_pattern_is_found_in_the_title_or_the_functions() -> None:
    assert explains(pattern="list_debug.c:29 in smb2_open")
    assert explains(pattern="^bug: smb2_open$")
    assert not explains(pattern="smb2_close")


def test_another_kind_is_not_explained() -> None:
    assert explains(pattern="smb2_open", kind="bug")
    assert not explains(pattern="smb2_open", kind="warning")


def test_the_first_entry_that_explains_is_named() -> None:
    entries = known.parse({"known": [{**WHY, "pattern": "nothing"}, {**WHY, "pattern": "smb2"}]})
    other = Crash(Kind.PANIC, "panic: sysrq triggered crash")
    assert [item.known for item in known.identify([CRASH, other], entries)] == [entries[1], None]


@pytest.mark.parametrize(
    "table",
    [
        {**WHY},
        {**WHY, "pattern": "a", "fingerprint": "b"},
        {**WHY, "pattern": "("},
        {**WHY, "pattern": "a", "kind": "tantrum"},
        {"pattern": "a", "reason": " ", "link": "x"},
        {"pattern": "a", "reason": "x"},
        {**WHY, "pattern": "a", "resaon": "x"},
    ],
)
def test_what_is_not_as_documented_is_refused(table: dict[str, str], tmp_path: Any) -> None:
    path = tmp_path / "known.toml"
    lines = [f"{key} = '{value}'" for key, value in table.items()]
    path.write_text("\n".join(["[[known]]", *lines]))
    with pytest.raises(UsageError, match=r"known\.toml"):
        known.load(path)


def test_the_projects_own_list_is_read() -> None:
    for entry in known.load():
        assert entry.link.startswith(("https://", "docs/"))


def test_the_fault_of_one_debian_kernel_is_known() -> None:
    console = (Path(__file__).parent / "recorded/smb2-open.txt").read_text()
    (item,) = known.identify(find_crashes(console), known.load())
    assert item.known is not None
    assert "6.12.107" in item.known.reason
    moved = find_crashes(console.replace("smb2_open+0x1100/", "smb2_open+0x1104/"))
    assert known.identify(moved, known.load())[0].known is None
