"""The command line: what it takes, what it refuses, and the process that it starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from notify_server.aio.command import main, parse
from notify_server.aio.settings import CommandError
from notify_server.auth.ntlm import nt_hash
from notify_server.core.config import Bounds, Encryption
from notify_server.fs.access import Credentials
from notify_server.fs.api import FeedBounds
from notify_server.notify.table import Bounds as WatchBounds


def arguments(tmp_path: Path, *more: str) -> list[str]:
    return ["--share", f"TEST={tmp_path}", "--user", "u", *more]


def test_a_command_line(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    command, ready = parse(
        arguments(
            tmp_path, "--password-file", str(password), "--listen", "[::1]:4450",
            "--encryption", "required", "--ready-file", "r",
        ),
        {},
    )  # fmt: skip
    assert command.listen == ("::1", 4450)
    assert command.users == {"u": nt_hash("secret")}
    assert command.options["encryption"] is Encryption.REQUIRED
    assert ready == "r"
    assert "secret" not in repr(command)


def test_the_password_may_come_from_the_environment(tmp_path: Path) -> None:
    command, _ready = parse(arguments(tmp_path), {"NOTIFY_SERVER_PASSWORD": "p"})
    assert command.users == {"u": nt_hash("p")}


CONFIG = """
listen = "0.0.0.0:445"
log_level = "warning"
[users]
u = "878d8014606cda29677a44efa1353fc7"
[share.TEST]
path = "{path}"
notify = false
[options]
session_seconds = 60
encryption = "off"
[bounds]
parked = 5
authentication_seconds = 2
[bounds.notify]
requests = 7
[bounds.source]
retry_seconds = 9
"""


def config_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(text.replace("{path}", str(tmp_path)))
    path.chmod(0o600)
    return path


def test_a_configuration_file(tmp_path: Path) -> None:
    command, _ready = parse(["--config", str(config_file(tmp_path, CONFIG))], {})
    assert command.listen == ("0.0.0.0", 445)
    assert command.log_level == "warning"
    assert command.users == {"u": bytes.fromhex("878d8014606cda29677a44efa1353fc7")}
    assert command.shares["TEST"].notify is False
    assert command.options == {
        "session_seconds": 60,
        "encryption": Encryption.OFF,
        "bounds": Bounds(parked=5, authentication_seconds=2),
        "watch_bounds": WatchBounds(requests=7),
        "feed_bounds": FeedBounds(retry_seconds=9),
    }


def test_bounds_on_the_command_line_win_over_the_file(tmp_path: Path) -> None:
    argv = ["--config", str(config_file(tmp_path, CONFIG)), "--bound", "parked=6"]
    command, _ready = parse([*argv, "--bound", "notify.bytes=4096"], {})
    assert command.options["bounds"] == Bounds(parked=6, authentication_seconds=2)
    assert command.options["watch_bounds"] == WatchBounds(requests=7, bytes=4096)


@pytest.mark.parametrize(
    ("bound", "says"),
    [
        ("parkd=5", "source.directories"),
        ("parked=many", "must be int"),
        ("parked=0", "bounds.parked: must be greater than 0"),
        ("notify.requests=-1", "bounds.notify.requests: must be"),
        ("source.retry_seconds=nan", "bounds.source.retry_seconds: must be"),
        ("authentication_seconds=inf", "authentication_seconds: must be"),
    ],
)
def test_a_wrong_bound_is_named(tmp_path: Path, bound: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        parse(arguments(tmp_path, "--bound", bound), {"NOTIFY_SERVER_PASSWORD": "p"})


def secret_file(tmp_path: Path, name: str, password: str, mode: int = 0o600) -> str:
    path = tmp_path / name
    path.write_text(password + "\n")
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o440])
def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = secret_file(tmp_path, "pw", "secret", mode)
    with pytest.raises(CommandError, match=f"others can read it; chmod 600 {file}"):
        parse(arguments(tmp_path, "--password-file", file), {})
    argv = arguments(tmp_path, "--password-file", file, "--allow-readable-password-file")
    command, _ready = parse(argv, {})
    assert command.users == {"u": nt_hash("secret")}


def test_the_nt_hash_for_the_file_can_be_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--nt-hash", "--password-file", secret_file(tmp_path, "pw", "password")]) == 0
    assert capsys.readouterr().out == "8846f7eaee8fb117ad06bdd830b7586c\n"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("parked = 5", "parkd = 5"), "parkd"),
        (("parked = 5", 'parked = "5"'), "parked: must be int"),
        (("notify = false", "notify = 0"), "notify: must be bool"),
        (('encryption = "off"', 'encryption = "on"'), "off, offered, required"),
        (("878d", "87"), "NT hash"),
        (('listen = "0.0.0.0:445"', 'listen = "here"'), "HOST:PORT"),
        (('log_level = "warning"', 'log_level = "loud"'), "log_level"),
        (("[bounds]", "[bonds]"), "bonds"),
        (("requests = 7", "requests = 0"), "bounds.notify.requests: must be greater than 0"),
        (("requests = 7", "directories = 7"), "bounds.notify: unknown 'directories'"),
        (("session_seconds = 60", 'watch_source = "x"'), "auto, inotify, fanotify"),
        (('path = "{path}"', ""), "needs path"),
        (("[share.TEST]", "[x]"), "unknown 'x'"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    path = config_file(tmp_path, CONFIG.replace(*change))
    with pytest.raises(CommandError, match=says) as caught:
        parse(["--config", str(path)], {})
    assert str(path) in str(caught.value)


def test_a_user_with_a_uid_has_its_rights(tmp_path: Path) -> None:
    password = tmp_path / "password2"
    password.write_text("secret2\n")
    password.chmod(0o600)
    config = tmp_path / "config"
    config.write_text(
        f'[user.second]\npassword_file = "{password}"\nuid = 1001\ngroups = [7]\n'
        f'[user.third]\npassword_file = "{password}"\nsession_seconds = 2\n'
        f'[share.TEST]\npath = "{tmp_path}"\n'
    )
    command, _ready = parse(["--config", str(config)], {})
    assert command.users == {"second": nt_hash("secret2"), "third": nt_hash("secret2")}
    who = Credentials(1001, 1001, frozenset({7}))
    assert command.options["credentials"] == {"second": who}
    assert command.options["session_seconds_of"] == {"third": 2.0}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("uid = 1", "user.x: needs password_file"),
        ('password_file = "/absent"\nuid = 1', "user.x.password_file /absent: No such file"),
        ('password_file = "PASSWORD"\ngid = 1', "gid and groups need uid"),
        ('password_file = "PASSWORD"\nuid = 1\ngroups = ["a"]', "groups: must be a list of int"),
        ('password_file = "PASSWORD"\nuid = "1"', "uid: must be int"),
    ],
)
def test_what_is_wrong_about_a_user_is_named(tmp_path: Path, table: str, says: str) -> None:
    password = tmp_path / "password"
    password.write_text("p")
    password.chmod(0o600)
    config = tmp_path / "config"
    config.write_text(f"[user.x]\n{table.replace('PASSWORD', str(password))}\n")
    with pytest.raises(CommandError, match=says):
        parse(["--config", str(config)], {})


def test_a_file_with_verifiers_must_not_be_readable_by_others(tmp_path: Path) -> None:
    path = config_file(tmp_path, CONFIG)
    path.chmod(0o644)
    with pytest.raises(CommandError, match="chmod 600"):
        parse(["--config", str(path)], {})


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--user", "u"], "no share"),
        (["--share", "TEST"], "NAME=PATH"),
        (["--share", "TEST=/"], "no user"),
        (["--share", "TEST=/nowhere/at/all", "--user", "u"], "not a directory"),
        (["--share", "TEST=/", "--user", "u", "--listen", "1:x"], "HOST:PORT"),
        (["--share", "TEST=/", "--user", "u", "--password-file", "/nowhere"], "No such file"),
    ],
)
def test_what_is_wrong_in_the_arguments_is_named(argv: list[str], says: str) -> None:
    environ = {"NOTIFY_SERVER_PASSWORD": "p"}
    with pytest.raises(CommandError, match=says):
        parse(argv, environ)


def test_the_process_says_where_it_listens_and_stops_when_told(tmp_path: Path) -> None:
    notify = tmp_path / "notify"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(notify))
    ready = tmp_path / "ready"
    share = tmp_path / "share"
    share.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "notify_server", *arguments(share), "--listen", "127.0.0.1:0",
         "--ready-file", str(ready)],
        env={**os.environ, "NOTIFY_SERVER_PASSWORD": "p", "NOTIFY_SOCKET": str(notify)},
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:")
        port = int(line.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        manager.settimeout(5)
        assert manager.recv(100) == b"READY=1"
        assert ready.read_text() == f"127.0.0.1:{port}\n"
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert rest == ""


def test_a_wrong_command_line_ends_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "notify_server", "--share", "x"], capture_output=True, timeout=20
    )
    assert done.returncode == 2
