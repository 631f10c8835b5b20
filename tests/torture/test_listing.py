"""The names that smbtorture lists, and what a pattern means."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.torture.listing import (
    deadline_of,
    parse_list,
    select,
    share_of,
    subtest,
)
from lab.torture.on_lab import DEVIATIONS
from lab.verdicts import deviations

NAMES = parse_list((Path(__file__).parent / "recorded" / "list.txt").read_text())


def test_a_list_has_names_alone_each_once() -> None:
    assert NAMES[0] == "base.lock.LOCK1"
    assert len(NAMES) == len(set(NAMES))
    assert not [name for name in NAMES if "smbtorture" in name]


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("smb2.notify.dir.dir", "smb2.notify.dir"),
        ("smb2.connect.connect", "smb2.connect"),
        (
            "smb2.delete-on-close-perms.CREATE Existing.CREATE Existing",
            "smb2.delete-on-close-perms.CREATE Existing",
        ),
        ("suite.case.test", "suite.case.test"),
        ("smb2.notify-inotify.inotify-rename.inotify-rename", "smb2.notify-inotify.inotify-rename"),
        ("rpc.lsa.notlsa.sa", "rpc.lsa.notlsa.sa"),
    ],
)
def test_the_repeated_end_of_a_name_is_left_out(listed: str, name: str) -> None:
    assert parse_list(f"  {listed}\n\n") == [name]


def test_a_suite_is_not_another_that_begins_like_it() -> None:
    chosen = select(NAMES, ["smb2.notify"])
    assert len(chosen) == 23
    assert all(name.startswith("smb2.notify.") for name in chosen)


def test_smb2_may_be_left_out_and_order_is_the_lists() -> None:
    chosen = select(NAMES, ["compound.interim2", "notify.rec", "smb2.notify.dir"])
    assert chosen == ["smb2.notify.dir", "smb2.notify.rec", "smb2.compound.interim2"]


def test_a_pattern_may_have_wildcards() -> None:
    assert select(NAMES, ["credits.?conn_notify*"]) == [
        "smb2.credits.1conn_notify_max_async_credits",
        "smb2.credits.2conn_notify_max_async_credits",
    ]


def test_the_default_is_what_rests_on_change_notify() -> None:
    chosen = select(NAMES, [])
    assert len(chosen) == 49
    assert {"smb2.notify.rec", "smb2.compound.related7", "smb2.session.reauth6"} <= set(chosen)
    assert not [name for name in chosen if "expire" in name or "ipc" in name]


def test_a_default_that_this_smbtorture_lacks_is_left_out() -> None:
    assert select(["smb2.notify.dir"], []) == ["smb2.notify.dir"]


def test_an_unknown_subtest_offers_those_of_its_suite() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'smb2.notify.rmdir4'\? subtests: ") as info:
        select(NAMES, ["smb2.notify", "notify.rmdir"])
    assert "compound" not in str(info.value)


def test_an_unknown_suite_offers_the_suites() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'smb2.notify'\? suites: .*smb2.session"):
        select(NAMES, ["notfy"])


def test_a_row_carries_its_suite_and_its_evidence() -> None:
    row = subtest("smb2.notify.dir")
    assert (row.name, row.group, row.evidence) == (
        "smb2.notify.dir",
        "smb2.notify",
        "smbtorture.txt",
    )


def test_where_and_how_long_a_subtest_runs() -> None:
    assert share_of("smb2.change_notify_disabled.notfiy_disabled", "TEST") == "NOTIFY_OFF"
    assert share_of("smb2.notify.dir", "TEST") == "TEST"
    assert deadline_of("smb2.notify.mask") > deadline_of("smb2.notify.mask-change")


@pytest.mark.parametrize("server", ["samba", "ksmbd", "py"])
def test_known_failures_name_subtests_by_the_listed_name(server: str) -> None:
    known = deviations.load(server, DEVIATIONS)
    assert known.entries
    for entry in known.entries:
        assert parse_list(f"{entry.scenario}\n") == [entry.scenario]
        suite = ".".join(entry.scenario.split(".")[:2])
        recorded = any(name.startswith(suite) for name in NAMES)
        assert entry.scenario in NAMES or not recorded
