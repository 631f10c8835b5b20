"""What to watch, as people type it."""

from __future__ import annotations

import pytest

from lab.errors import UsageError
from lab.watch.address import Address, directory, is_remote, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("//fileserver/public", Address("fileserver", 445, "public")),
        ("//fileserver/public/", Address("fileserver", 445, "public")),
        ("//192.0.2.7:1445/TEST/dir/sub", Address("192.0.2.7", 1445, "TEST", "dir/sub")),
        (r"\\fileserver\C$\Users", Address("fileserver", 445, "C$", "Users")),
        ("smb://fileserver:4450/public/a//b/.", Address("fileserver", 4450, "public", "a/b")),
        ("//[2001:db8::7]/share", Address("2001:db8::7", 445, "share")),
        ("//[::1]:1445/share/d", Address("::1", 1445, "share", "d")),
    ],
)
def test_an_address_in_all_its_spellings(text: str, address: Address) -> None:
    assert is_remote(text)
    assert parse(text) == address


@pytest.mark.parametrize("text", ["//h/s", "//h:1445/s/d/e", "//[::1]/s", "//[::1]:1/s/d"])
def test_an_address_is_shown_as_it_can_be_typed(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("//", "names no share"),
        ("//host", "names no share"),
        ("///share", "names no host"),
        ("//:445/share", "names no host"),
        ("//[]/share", "names no host"),
        ("//[::1/share", "names no host"),
        ("//::1/share", "names no host"),
        ("//host:/share", "is no port"),
        ("//host:0/share", "is no port"),
        ("//host:65536/share", "is no port"),
        ("//host:445445445445/share", "is no port"),
        ("//host:x/share", "is no port"),
        ("//jo:secret@host/share", "has a user in it"),
        ("//host/share/../other", "cannot go up"),
    ],
)
def test_what_is_no_address_is_refused_with_its_cause(text: str, cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        parse(text)


def test_a_directory_of_the_labs_share() -> None:
    assert not is_remote("dir/sub")
    assert not is_remote("/dir")
    assert directory("/dir//sub/") == "dir/sub"
    assert directory(r"dir\sub") == "dir/sub"
    assert directory("") == ""
    assert Address("h", 445, "s", "dir/sub").smb_path == r"dir\sub"
