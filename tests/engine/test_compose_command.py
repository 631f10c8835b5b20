"""Which Compose is used, and with what environment."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.engine import compose
from lab.errors import LabFailed


def test_the_plugin_is_preferred_to_the_old_program() -> None:
    assert compose.find_command(lambda command: True) == ["docker", "compose"]


def test_the_old_program_serves_where_the_plugin_is_missing() -> None:
    def only_old(command: Sequence[str]) -> bool:
        return command[0] == "docker-compose"

    assert compose.find_command(only_old) == ["docker-compose"]


def test_none_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "find_command", lambda: None)
    with pytest.raises(LabFailed, match="no Docker Compose") as caught:
        compose.Compose("lab", Path("/root"), Path("/env"))
    assert "apt-get install docker-compose" in caught.value.remedy


def test_what_the_lab_resolved_beats_the_shells_variables() -> None:
    env = compose.child_environment(
        {"PATH": "/bin", "LAB_KSMBD_ACCELERATOR": "auto"},
        "# made by lab\nLAB_KSMBD_ACCELERATOR=tcg\nLAB_KSMBD_DEBUG=\n\n",
    )
    assert env["LAB_KSMBD_ACCELERATOR"] == "tcg"
    assert env["LAB_KSMBD_DEBUG"] == ""
    assert env["PATH"] == "/bin"


def test_the_project_does_not_depend_on_the_working_directory() -> None:
    words = compose.Compose("lab", Path("/r"), Path("/r/.lab/env"), ["docker-compose"]).arguments(
        "up", "-d"
    )
    assert words[0] == "docker-compose"
    assert words[-2:] == ["up", "-d"]
    for option, value in (
        ("--project-name", "lab"),
        ("--project-directory", "/r"),
        ("--file", "/r/docker-compose.yml"),
        ("--env-file", "/r/.lab/env"),
    ):
        assert words[words.index(option) + 1] == value


def test_files_that_exist_add_to_the_topology(tmp_path: Path) -> None:
    more = [tmp_path / "flavours.yml", tmp_path / "absent.yml"]
    more[0].touch()
    words = compose.Compose("lab", Path("/r"), Path("/e"), ["dc"], more=more).arguments()
    files = [words[at + 1] for at, word in enumerate(words) if word == "--file"]
    assert files == ["/r/docker-compose.yml", str(more[0])]


ROOT = Path(__file__).resolve().parents[2]


def test_the_topology_is_unprivileged_and_on_loopback() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert "privileged: true" not in text
    assert "network_mode" not in text
    assert "cap_drop: [ALL]" in text
    ports = [line.strip() for line in text.splitlines() if line.strip().startswith("ports:")]
    assert len(ports) == 4
    assert all("127.0.0.1" in line for line in ports)
