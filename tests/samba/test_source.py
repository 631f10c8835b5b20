"""Which source a setting or a command line names."""

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.samba.source import Source, existing, parse


def test_debian_is_no_source() -> None:
    assert parse("debian", Path("/")) is None


@pytest.mark.parametrize(
    ("words", "url", "ref"),
    [
        ("git:https://x.org/samba.git@v4-22", "https://x.org/samba.git", "v4-22"),
        ("git:ssh://git@x.org/samba.git@v4-22", "ssh://git@x.org/samba.git", "v4-22"),
        ("git:git@gitlab.com:me/samba.git@main", "git@gitlab.com:me/samba.git", "main"),
    ],
)  # fmt: skip
def test_a_repository_has_its_reference_behind_the_last_at(words: str, url: str, ref: str) -> None:
    assert parse(words, Path("/")) == Source(url=url, ref=ref)


@pytest.mark.parametrize(
    "words",
    [
        "git:",
        "git:https://x.org/samba.git",
        "git:https://x.org/samba.git@",
        "git:git@gitlab.com:me/samba.git",
        "git:ssh://git@x.org/samba.git",
        "git:@main",
    ],
)
def test_a_repository_without_a_reference_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="which branch, tag or commit") as error:
        parse(words, Path("/"))
    assert "git:URL@REF" in str(error.value)


def test_a_folder_is_found_from_where_one_is(tmp_path: Path) -> None:
    (tmp_path / "samba").mkdir()
    source = parse("./samba", tmp_path)
    assert source == Source(folder=tmp_path / "samba")
    assert source.words == str(tmp_path / "samba")
    with pytest.raises(UsageError, match=r"no folder .*/gone"):
        parse("./gone", tmp_path)


def test_references_of_one_repository_share_a_tree_and_suites_do_not() -> None:
    one, other = (Source(url="https://x/samba.git", ref=ref) for ref in ("a", "b"))
    assert one.key("trixie") == other.key("trixie")
    keys = {source.key(suite) for source in (one, Source()) for suite in ("trixie", "sid")}
    assert len(keys) == 4


def test_a_patch_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.patch").touch()
    assert existing(["a.patch"], tmp_path) == (tmp_path / "a.patch",)
    with pytest.raises(UsageError, match=r"no patch .*/b\.patch"):
        existing(["a.patch", "b.patch"], tmp_path)
