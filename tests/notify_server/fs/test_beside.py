"""Changes made beside the server, as each source reports them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from notify_server.fs.api import BasicInformation
from notify_server.fs.syscalls import renameat2
from notify_server.wire.constants import CreateOptions
from notify_server.wire.fscc import FileAttributes
from notify_server.wire.status import StatusError

AT_FDCWD = -100
RENAME_EXCHANGE = 2
TICK = 0.05  # seconds; what happens within one of the kernel's has one time
HIDDEN = FileAttributes.FILE_ATTRIBUTE_HIDDEN


@pytest.mark.parametrize(
    ("before", "act", "told"),
    [
        (None, lambda r: (r / "f").write_bytes(b""), ["+f"]),
        (None, lambda r: (r / "d").mkdir(), ["+d"]),
        ("f", lambda r: (r / "f").unlink(), ["-f"]),
        ("d/", lambda r: (r / "d").rmdir(), ["-d"]),
        ("f", lambda r: (r / "f").rename(r / "g"), ["f>g"]),
        ("d/", lambda r: (r / "d").rename(r / "e"), ["d>e"]),
        ("f", lambda r: (r / "f").chmod(0o600), ["~f"]),
        ("f", lambda r: os.utime(r / "f"), ["~f"]),
        ("f", lambda r: (r / "f").write_bytes(b"x"), ["~f"]),
        ("f", lambda r: os.truncate(r / "f", 9), ["~f"]),
        ("f", lambda r: os.setxattr(r / "f", "user.x", b"y"), ["~f"]),
        ("f", lambda r: os.link(r / "f", r / "g"), ["+g"]),
    ],
)
def test_one_change_is_told_once(share, before, act, told) -> None:
    make(share.root, before)
    share.watch(tree=False)
    act(share.root)
    assert dedup(share.eventually(1)) == told
    assert share.told() == []


def test_a_flat_watch_does_not_see_below(share) -> None:
    (share.root / "d").mkdir()
    share.watch(tree=False)
    (share.root / "d" / "x").write_bytes(b"")
    (share.root / "y").write_bytes(b"")
    assert [w for w in share.eventually(1) if w != "~d"] == ["+y"]


def test_a_tree_is_seen_at_each_depth(share) -> None:
    (share.root / "a/b/c").mkdir(parents=True)
    share.watch()
    (share.root / "a/b/c/x").write_bytes(b"")
    (share.root / "a/b/y").write_bytes(b"")
    assert share.eventually(2) == ["+a/b/c/x", "+a/b/y"]


def test_what_is_made_in_a_directory_made_a_moment_ago_is_told_once(share) -> None:
    share.watch()
    for n in range(50):
        deep = share.root / f"n{n}/m/k"
        deep.mkdir(parents=True)
        (deep / "x").write_bytes(b"")
        (deep.parent / "y").write_bytes(b"")
    words = share.eventually(250)
    assert sorted(words) == sorted(
        f"+n{n}{rest}" for n in range(50) for rest in ("", "/m", "/m/k", "/m/k/x", "/m/y")
    )


def test_a_renamed_directory_is_still_seen_under_its_new_path(share) -> None:
    (share.root / "a/b").mkdir(parents=True)
    share.watch()
    (share.root / "a").rename(share.root / "z")
    (share.root / "z/b/x").write_bytes(b"")
    assert share.eventually(2) == ["a>z", "+z/b/x"]


def test_across_directories_is_a_removal_and_an_addition(share) -> None:
    make(share.root, "a/f", "b/")
    share.watch()
    (share.root / "a/f").rename(share.root / "b/g")
    assert share.eventually(2) == ["-a/f", "+b/g"]


def test_out_of_the_tree_and_back(share, tmp_path: Path) -> None:
    make(share.root, "a/b/f")
    share.watch()
    (share.root / "a").rename(tmp_path / "away")
    assert share.eventually(1) == ["-a"]
    (tmp_path / "away/b/unseen").write_bytes(b"")
    assert share.told() == []
    time.sleep(TICK)
    (tmp_path / "away").rename(share.root / "c")
    assert share.eventually(1) == ["+c"]
    (share.root / "c/b/x").write_bytes(b"")
    assert share.eventually(1) == ["+c/b/x"]


def test_a_watched_directory_that_is_removed_beside_is_doomed(share) -> None:
    make(share.root, "d/")
    share.watch("d", tree=False)
    (share.root / "d").rmdir()
    assert "!d" in share.eventually(1)


def test_a_namesake_that_was_removed_before_does_not_doom(share) -> None:
    make(share.root, "other/", "d/")
    share.watch("other")
    (share.root / "d").rmdir()
    (share.root / "d").mkdir()
    share.watch("d", tree=False)
    (share.root / "d/x").write_bytes(b"")
    assert share.eventually(1) == ["+d/x"]


def test_nothing_is_watched_once_all_handles_are_closed(share) -> None:
    make(share.root, "a/b/")
    for tree in (False, True):
        share.store.close(share.watch("a\\b", tree=tree))
    assert share.feed.statistics.directories == 0


def test_a_watched_directory_that_is_renamed_beside_is_followed(share) -> None:
    make(share.root, "a/b/d/")
    share.watch("a\\b\\d", tree=False)
    (share.root / "a").rename(share.root / "z")
    share.told()
    (share.root / "z/b/d/x").write_bytes(b"")
    assert share.eventually(1) == ["+z/b/d/x"]
    share.create("z\\b\\d\\y")
    assert share.told() == ["+z/b/d/y"]


def test_two_watches_of_one_directory_share_it(share) -> None:
    make(share.root, "d/e/")
    flat, tree = share.watch("d", tree=False), share.watch("d", tree=True)
    (share.root / "d/e/x").write_bytes(b"")
    assert share.eventually(1) == ["+d/e/x"]
    share.store.close(tree)
    (share.root / "d/e/y").write_bytes(b"")
    (share.root / "d/z").write_bytes(b"")
    assert "+d/z" in share.eventually(1)
    share.store.close(flat)
    assert share.feed.idle


def test_names_that_the_wire_cannot_say_are_mapped(share) -> None:
    share.watch()
    (share.root / "a:b").mkdir()
    (share.root / "a:b" / "c?").write_bytes(b"")
    assert share.eventually(2) == ["+a\uf022b", "+a\uf022b/c\uf025"]
    share.open("a\uf022b\\c\uf025")


def test_a_name_that_is_no_utf8_is_told(share) -> None:
    share.watch()
    (Path(os.fsdecode(os.fsencode(share.root) + b"/caf\xe9"))).write_bytes(b"")
    assert share.eventually(1) == ["+caf\udce9"]


def test_removing_a_tree_while_it_is_watched_leaves_nothing(share) -> None:
    for n in range(20):
        make(share.root, f"t/d{n}/e/f")
    share.watch()
    shutil.rmtree(share.root / "t")
    words = share.eventually(61)
    assert sorted(w for w in words if w[0] == "-") == sorted(
        ["-t"] + [f"-t/d{n}{rest}" for n in range(20) for rest in ("", "/e", "/e/f")]
    )
    make(share.root, "t/d1/f")
    assert share.eventually(3) == ["+t", "+t/d1", "+t/d1/f"]


def make(root: Path, *paths: str | None) -> None:
    for path in filter(None, paths):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(b"")


def dedup(words: list[str]) -> list[str]:
    """The kernel says a truncating write twice; a client sees it once."""
    return [word for n, word in enumerate(words) if n == 0 or words[n - 1] != word]


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("over", [False, True], ids=["to a free name", "over an empty directory"])
def test_a_watch_is_followed_when_its_parent_moves_where_nobody_looks(share, tree, over) -> None:
    (share.root / "a/c").mkdir(parents=True)
    (share.root / "b").mkdir()
    if over:
        (share.root / "b/a").mkdir()
    share.watch("a\\c", tree=tree)
    (share.root / "a").rename(share.root / "b/a")
    assert share.told() == []
    (share.root / "b/a/c/x").write_bytes(b"")
    assert dedup(share.eventually(1)) == ["+b/a/c/x"]


def test_a_directory_above_a_watch_that_moves_into_a_tree_is_seen_whole(share) -> None:
    (share.root / "a/c").mkdir(parents=True)
    (share.root / "b").mkdir()
    share.watch("b")
    share.watch("a\\c", tree=False)
    (share.root / "a").rename(share.root / "b/a")
    share.eventually(1)
    (share.root / "b/a/x").write_bytes(b"")
    assert dedup(share.eventually(1)) == ["+b/a/x"]
    share.watch("b\\a", tree=False)
    (share.root / "b/a/y").write_bytes(b"")
    assert "+b/a/y" in share.eventually(1)


def test_a_watched_directory_that_another_one_replaces_is_doomed(share) -> None:
    """By rename(2), from a directory that nobody watches; the new one can be watched."""
    (share.root / "d").mkdir()
    (share.root / "aside/new").mkdir(parents=True)
    share.watch("d", tree=False)
    (share.root / "aside/new").rename(share.root / "d")
    assert share.eventually(1) == ["!d"]
    share.watch("d", tree=False)
    (share.root / "d/x").write_bytes(b"")
    assert dedup(share.eventually(1)) == ["+d/x"]


def test_a_directory_that_is_removed_takes_what_watched_above_it_along(share) -> None:
    for n in range(20):
        (share.root / f"d{n}").mkdir()
        handle = share.watch(f"d{n}", tree=False)
        (share.root / f"d{n}").rmdir()
        share.eventually(1)
        share.store.close(handle)
    assert share.feed.statistics.directories == 0


def test_what_is_in_a_directory_that_is_renamed_as_soon_as_it_is_made_is_told_once(share) -> None:
    share.watch()
    (share.root / "tmp").mkdir()
    (share.root / "tmp/y").write_bytes(b"")
    (share.root / "tmp").rename(share.root / "final")
    (share.root / "final/z").write_bytes(b"")
    (share.root / "final/s").mkdir()
    (share.root / "final/s/x").write_bytes(b"")
    words = share.eventually(6)
    assert "tmp>final" in words
    for name in ("y", "z", "s", "x"):
        assert sum(word[0] == "+" and word.endswith(f"/{name}") for word in words) == 1, words


def test_a_directory_that_was_removed_before_it_is_watched_is_doomed(share) -> None:
    (share.root / "d").mkdir()
    handle = share.open("d", options=CreateOptions.FILE_DIRECTORY_FILE).handle
    (share.root / "d").rmdir()
    for _ in range(2):
        with pytest.raises(StatusError, match=r"^STATUS_DELETE_PENDING$"):
            share.store.watch(handle, False)
    share.store.close(handle)
    assert share.feed.statistics.directories == 0


def test_a_file_whose_name_was_removed_beside_is_told_by_that_name(share) -> None:
    share.watch()
    handle = share.create("f")
    (share.root / "f").unlink()
    assert share.told() == ["+f", "-f"]
    share.store.write(handle, 0, b"x")
    assert share.told() == ["~f"]
    share.store.set_basic(handle, BasicInformation(file_attributes=HIDDEN))
    assert share.told() == ["~f"]
    share.store.set_delete_pending(handle, True)
    (share.root / "f").write_bytes(b"another")
    share.told()
    share.store.close(handle)
    assert share.told() == []
    assert (share.root / "f").exists()


def test_a_name_that_says_deleted_is_one_as_any_other(share) -> None:
    share.watch()
    handle = share.create("f (deleted)")
    share.told()
    share.store.write(handle, 0, b"x")
    assert share.told() == ["~f (deleted)"]
    share.store.rename(handle, "g", False)
    assert share.told() == ["f (deleted)>g"]


def test_what_is_in_a_directory_that_says_deleted_is_told(share) -> None:
    (share.root / "d (deleted)").mkdir()
    share.watch()
    (share.root / "d (deleted)/x").write_bytes(b"")
    assert share.eventually(1) == ["+d (deleted)/x"]
    (share.root / "d (deleted)/x").unlink()
    (share.root / "d (deleted)").rmdir()
    assert share.eventually(2) == ["-d (deleted)/x", "-d (deleted)"]


def test_a_directory_that_was_renamed_beside_is_doomed_where_it_is(share) -> None:
    (share.root / "a/d").mkdir(parents=True)
    share.watch("a\\d")
    handle = share.open("a\\d").handle
    (share.root / "a").rename(share.root / "b")
    share.store.set_delete_pending(handle, True)
    assert share.told()[-1] == "!b/d"


def test_a_watched_directory_that_is_removed_and_made_again_is_doomed(share) -> None:
    """The events are read afterwards: there is one by that name."""
    (share.root / "d").mkdir()
    share.watch()
    old = share.watch("d", tree=False)
    (share.root / "d").rmdir()
    (share.root / "d").mkdir()
    assert "!d" in share.eventually(1)
    share.watch("d", tree=False)
    share.store.close(old)
    (share.root / "d/x").write_bytes(b"")
    assert dedup(share.eventually(1)) == ["+d/x"]


def test_what_was_made_in_a_directory_that_came_from_outside_is_not_lost(share, tmp_path) -> None:
    """Before anybody could look: then its watchers must enumerate."""
    (tmp_path / "outside/in").mkdir(parents=True)
    time.sleep(TICK)
    share.watch()
    (tmp_path / "outside").rename(share.root / "d")
    (share.root / "d/in/x").write_bytes(b"")
    words = share.eventually(2)
    assert words[0] == "+d"
    assert words[1] in ("+d/in/x", "?d")
    (share.root / "d/in/y").write_bytes(b"")
    assert "+d/in/y" in share.eventually(1)


def test_a_directory_that_came_from_outside_is_told_alone(share, tmp_path) -> None:
    (tmp_path / "outside/in").mkdir(parents=True)
    (tmp_path / "outside/in/x").write_bytes(b"")
    time.sleep(TICK)
    share.watch()
    (tmp_path / "outside").rename(share.root / "d")
    assert share.eventually(1) == ["+d"]
    assert share.told() == []


@pytest.mark.parametrize("watched", ["a", "b", "ab"])
@pytest.mark.parametrize("above", [False, True], ids=["", "and above"])
def test_directories_that_exchange_names_keep_their_watches(share, watched, above) -> None:
    for name in ("a", "b"):
        (share.root / name / "in").mkdir(parents=True)
        (share.root / name / f"was-{name}").mkdir()
    if above:
        share.watch()
    handles = {name: share.watch(name) for name in watched}
    exchange(share.root / "a", share.root / "b")
    words = share.told()
    assert [word for word in words if word[0] in "!?"] == []
    if above:
        assert [word for word in words if ">" in word] == ["a>b", "b>a"]
    for name, handle in handles.items():
        new = {"a": "b", "b": "a"}[name]
        assert handle.watch_key == str(share.root / new)
        (share.root / new / "in" / f"from-{name}").write_bytes(b"")
        assert dedup(share.eventually(1)) == [f"+{new}/in/from-{name}"]
    for handle in handles.values():
        share.store.close(handle)


def test_a_directory_that_is_renamed_there_and_back_is_where_it_was(share) -> None:
    (share.root / "a/in").mkdir(parents=True)
    handle = share.watch("a")
    share.watch()
    (share.root / "a").rename(share.root / "b")
    (share.root / "b").rename(share.root / "a")
    share.told()
    assert handle.watch_key == str(share.root / "a")
    (share.root / "a/in/x").write_bytes(b"")
    assert dedup(share.eventually(1)) == ["+a/in/x"]


@pytest.mark.parametrize(("went", "stays"), [("new", "live"), ("live", "new")])
@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_of_two_that_exchanged_names_one_goes_before_anybody_looks(share, went, stays, how) -> None:
    for name in ("live", "new"):
        (share.root / name).mkdir()
    share.watch()
    exchange(share.root / "new", share.root / "live")
    if how == "removed":
        (share.root / went).rmdir()
    else:
        (share.root / went).rename(share.root / "old")
    share.told()
    (share.root / stays / "x").write_bytes(b"")
    assert dedup(share.eventually(1)) == [f"+{stays}/x"]


def test_directories_that_exchange_names_twice_are_where_they_were(share) -> None:
    for name in ("a", "b"):
        (share.root / name).mkdir()
    handle = share.watch("a")
    for _ in range(2):
        exchange(share.root / "a", share.root / "b")
    words = share.told()
    assert [word for word in words if word[0] in "!?"] == []
    assert handle.watch_key == str(share.root / "a")


def test_a_directory_that_is_renamed_there_and_back_has_no_part_in_what_comes_after(share) -> None:
    (share.root / "a").mkdir()
    handle = share.watch("a", tree=False)
    share.watch(tree=False)
    (share.root / "a").rename(share.root / "b")
    (share.root / "b").rename(share.root / "a")
    (share.root / "b").mkdir()
    share.told()
    assert handle.watch_key == str(share.root / "a")
    (share.root / "a/x").write_bytes(b"")
    assert next(w for w in share.eventually(1) if w != "~a") == "+a/x"


@pytest.mark.parametrize("below", ["", "/in"])
def test_what_changed_in_a_directory_just_before_it_exchanged_its_name(share, below) -> None:
    """Its path is looked up when it has the other name already."""
    for name in ("a", "b"):
        (share.root / name / "in").mkdir(parents=True)
    share.watch()
    (share.root / f"a{below}/x").write_bytes(b"")
    exchange(share.root / "a", share.root / "b")
    share.told()
    (share.root / f"b{below}/y").write_bytes(b"")
    assert dedup(share.eventually(1)) == [f"+b{below}/y"]


def test_a_directory_that_is_gone_and_is_to_be_deleted_dooms_no_other(share) -> None:
    """The kernel says that it is at `d (deleted)`, where another one is."""
    for name in ("d", "d (deleted)"):
        (share.root / name).mkdir()
    share.watch("d (deleted)")
    gone = share.open("d", options=CreateOptions.FILE_DELETE_ON_CLOSE).handle
    (share.root / "d").rmdir()
    share.told()
    share.store.set_delete_pending(gone, True)
    share.store.set_delete_pending(gone, False)
    share.store.close(gone)
    assert share.told() == []


def test_a_directory_made_in_one_that_left_the_share_is_not_taken_for_a_namesake(
    share, tmp_path
) -> None:
    (share.root / "a").mkdir()
    gone = share.watch("a")
    (share.root / "a").rename(tmp_path / "gone")
    share.told()
    (share.root / "a").mkdir()
    handle = share.watch("a")
    (tmp_path / "gone/k").mkdir()
    (tmp_path / "gone/k").rename(tmp_path / "gone/l")
    share.told()
    assert handle.watch_key == str(share.root / "a")
    (share.root / "a/x").write_bytes(b"")
    assert share.eventually(1)[0] == "+a/x"
    share.store.close(gone)


def test_what_is_made_in_a_directory_just_before_it_is_renamed_is_seen(share) -> None:
    (share.root / "a/in").mkdir(parents=True)
    share.watch()
    (share.root / "a/in/made/deep").mkdir(parents=True)
    (share.root / "a").rename(share.root / "b")
    (share.root / "b").rename(share.root / "c")
    share.told()
    (share.root / "c/in/made/deep/x").write_bytes(b"")
    assert dedup(share.eventually(1)) == ["+c/in/made/deep/x"]


def exchange(one: Path, other: Path) -> None:
    renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)


def test_a_directory_that_no_path_leads_to_keeps_nobody_from_hearing(share, tmp_path) -> None:
    """Beside the share; a fanotify mark sees all of a file system."""
    share.watch(tree=False)
    here = os.open(tmp_path, os.O_PATH)
    for _ in range(20):
        os.mkdir("n" * 250, dir_fd=here)
        below = os.open("n" * 250, os.O_PATH, dir_fd=here)
        os.close(here)
        here = below
    os.mkdir("deepest", dir_fd=here)
    os.close(here)
    (share.root / "x").mkdir()
    assert share.eventually(1) == ["+x"]
    shutil.rmtree(tmp_path / ("n" * 250))
