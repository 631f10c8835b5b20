"""Names of backends: what people see, and what becomes a host name."""

import pytest

from lab import backends


@pytest.mark.parametrize(
    ("name", "parts", "service"),
    [
        ("samba", ("samba", ""), "samba"),
        ("ksmbd", ("ksmbd", ""), "ksmbd"),
        ("ksmbd@sid", ("ksmbd", "sid"), "ksmbd-sid"),
        ("ksmbd@v7.1-rc2", ("ksmbd", "v7.1-rc2"), "ksmbd-v7.1-rc2"),
        ("front", ("front", ""), "front"),
    ],
)
def test_a_name_has_a_kind_a_flavour_and_a_service(
    name: str, parts: tuple[str, str], service: str
) -> None:
    assert backends.split(name) == parts
    assert backends.service(name) == service
    assert backends.of_service(service) == name


@pytest.mark.parametrize(
    "name", ["ksmbd@", "ksmbd@Sid", "ksmbd@a/b", "samba@sid", f"ksmbd@{'x' * 32}"]
)
def test_what_is_no_flavour_stays_whole(name: str) -> None:
    assert backends.split(name) == (name, "")
    assert not backends.is_ksmbd(name)


def test_flavours_stand_beside_ksmbd() -> None:
    assert backends.with_flavours(["sid", "mine"]) == (
        "samba", "ksmbd", "ksmbd@sid", "ksmbd@mine", "py",
    )  # fmt: skip


def test_the_default_flavour_has_a_folder_too() -> None:
    assert (backends.folder(""), backends.folder("sid")) == ("ksmbd", "sid")
    assert (backends.named(""), backends.named("sid")) == ("ksmbd", "ksmbd@sid")
