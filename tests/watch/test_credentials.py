"""Where the password comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.watch.credentials import VARIABLE, check_user, password


def test_the_order_of_sources(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("of the file\nand a second line\n")
    environ = {VARIABLE: "of the environment"}

    def own() -> str:
        return "the lab's"

    def ask(prompt: str) -> str:
        return f"typed at {prompt!r}"

    assert password("jo", str(file), environ, own=own, ask=ask) == "of the file"
    assert password("jo", "", environ, own=own, ask=ask) == "of the environment"
    assert password("jo", "", {}, own=own, ask=ask) == "the lab's"
    assert password("jo", "", {}, ask=ask) == "typed at 'password of jo: '"


def test_an_empty_variable_is_an_empty_password() -> None:
    assert password("jo", "", {VARIABLE: ""}) == ""


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError, match="no password for 'jo'") as caught:
        password("jo", "", {})
    assert VARIABLE in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "cause"),
    [(None, "No such file"), (b"", "is empty"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_file_without_a_password(tmp_path: Path, content: bytes | None, cause: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=cause):
        password("jo", str(file), {})


@pytest.mark.parametrize("user", ["", "DOMAIN\\", "\\jo"])
def test_what_names_no_user(user: str) -> None:
    with pytest.raises(UsageError):
        check_user(user)


@pytest.mark.parametrize("user", ["jo", "DOMAIN\\jo", "jo@example.org"])
def test_users_with_and_without_a_domain(user: str) -> None:
    assert check_user(user) == user
