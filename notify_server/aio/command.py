"""The command line: arguments or a TOML file, logging, signals, readiness."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import stat
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TextIO

from notify_server.aio.server import NotifyServer, Options, ShareOptions
from notify_server.core.config import Bounds, Encryption
from notify_server.fs.access import Credentials

PASSWORD_VARIABLE: Final = "NOTIFY_SERVER_PASSWORD"  # noqa: S105  (a name, no password)
_LEVELS: Final = ("debug", "info", "warning", "error")
_SMB_PORT: Final = 445


class CommandError(Exception):
    """The command line or the configuration is wrong; the message says where."""


@dataclass(slots=True)
class Command:
    """What to start."""

    shares: dict[str, ShareOptions] = field(default_factory=dict)
    users: dict[str, str | bytes] = field(default_factory=dict, repr=False)
    listen: tuple[str, int] = ("127.0.0.1", _SMB_PORT)
    options: dict[str, Any] = field(default_factory=dict)
    log_level: str = "info"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="notify_server", description="An SMB2 server that is exact about CHANGE_NOTIFY."
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="TOML file; arguments add to it and win over it")
    add("--share", metavar="NAME=PATH", action="append", default=[], help="may be repeated")
    add("--user", metavar="NAME", help=f"with --password-file or ${PASSWORD_VARIABLE}")
    add("--password-file", metavar="FILE", help="file with the user's password, mode 0600")
    add("--listen", metavar="HOST:PORT", help="default 127.0.0.1:445; port 0 takes a free one")
    add("--server-name", metavar="NAME", help="NetBIOS name that clients are told")
    add("--watch-source", choices=("auto", "inotify", "fanotify"))
    add("--require-signing", action="store_true", default=None)
    add("--encryption", choices=[item.value for item in Encryption])
    add("--session-seconds", type=float, metavar="N", help="sessions expire; 0 is never")
    add("--log-level", choices=_LEVELS)
    add("--trace", metavar="FILE", help="write the functions that handle each request; slow")
    add("--ready-file", metavar="FILE", help="gets the address once the server answers")
    return parser


def parse(argv: Sequence[str] | None, environ: dict[str, str]) -> tuple[Command, str | None]:
    """Arguments, file and environment as one Command, and the ready file; raises CommandError."""
    arguments = _parser().parse_args(argv)
    command = Command()
    if arguments.config:
        _read_config(command, Path(arguments.config))
    for share in arguments.share:
        name, equals, path = share.partition("=")
        if not (name and equals and path):
            raise CommandError(f"--share {share}: must be NAME=PATH")
        command.shares[name] = ShareOptions(path)
    if arguments.user:
        command.users[arguments.user] = _password(arguments.password_file, environ)
    if arguments.listen:
        command.listen = _address("--listen", arguments.listen)
    for option in ("server_name", "watch_source", "require_signing", "session_seconds"):
        value = getattr(arguments, option)
        if value is not None:
            command.options[option] = value
    if arguments.encryption:
        command.options["encryption"] = Encryption(arguments.encryption)
    command.log_level = arguments.log_level or command.log_level
    if arguments.trace:
        command.options["trace"] = sys.stderr if arguments.trace == "-" else _open(arguments.trace)
    if not command.shares:
        raise CommandError("no share: give --share NAME=PATH or [share.NAME] in --config")
    if not command.users and not command.options.get("allow_anonymous"):
        raise CommandError("no user: give --user NAME or [users] in --config")
    for name, options in command.shares.items():
        if not Path(options.path).is_dir():
            raise CommandError(f"share {name}: {options.path} is not a directory")
    return command, arguments.ready_file


def _open(path: str) -> TextIO:
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--trace {path}: {error.strerror}") from None


def _password(file: str | None, environ: dict[str, str], where: str = "--password-file") -> str:
    if file is None:
        if PASSWORD_VARIABLE in environ:
            return environ[PASSWORD_VARIABLE]
        raise CommandError(f"--user: needs --password-file or ${PASSWORD_VARIABLE}")
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{where} {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{where} {file}: is not UTF-8") from None
    _warn_if_readable(path)
    return text.removesuffix("\n")


def _warn_if_readable(path: Path) -> None:
    """A mounted secret's mode is not always ours to choose, so this warns and goes on."""
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        print(f"notify_server: {path} can be read by others", file=sys.stderr)


def _address(where: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise CommandError(f"{where} {text}: must be HOST:PORT")
    return host.strip("[]"), int(port)


# --- the file -------------------------------------------------------------------------------

_TOP: Final = ("listen", "log_level", "users", "user", "share", "options", "bounds")
_OPTIONS: Final[dict[str, type]] = {
    "server_name": str,
    "watch_source": str,
    "require_signing": bool,
    "encryption": str,
    "allow_anonymous": bool,
    "oplocks": bool,
    "session_seconds": float,
    "threads": int,
}
_SHARE: Final[dict[str, type]] = {
    "path": str,
    "read_only": bool,
    "notify": bool,
    "encrypt": bool,
}
_USER: Final[dict[str, type]] = {
    "password_file": str,
    "uid": int,
    "gid": int,
    "groups": list,
    "session_seconds": float,
}
_BOUNDS: Final[dict[str, type]] = {
    item.name: float if item.name.endswith("seconds") else int for item in fields(Bounds)
}


def _read_config(command: Command, path: Path) -> None:
    try:
        with path.open("rb") as file:
            config = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{path}: {error}") from None
    _only(f"{path}", config, _TOP)
    if "listen" in config:
        command.listen = _address(f"{path}: listen", str(config["listen"]))
    command.log_level = str(config.get("log_level", command.log_level))
    if command.log_level not in _LEVELS:
        raise CommandError(f"{path}: log_level: one of {', '.join(_LEVELS)}")
    for name, values in config.get("share", {}).items():
        command.shares[name] = ShareOptions(**_typed(f"{path}: share.{name}", values, _SHARE))
    command.options = _typed(f"{path}: options", config.get("options", {}), _OPTIONS)
    if "encryption" in command.options:
        try:
            command.options["encryption"] = Encryption(command.options["encryption"])
        except ValueError:
            allowed = ", ".join(item.value for item in Encryption)
            raise CommandError(f"{path}: options.encryption: one of {allowed}") from None
    bounds = _typed(f"{path}: bounds", config.get("bounds", {}), _BOUNDS)
    if bounds:
        try:
            command.options["bounds"] = Bounds(**bounds)
        except ValueError as error:
            raise CommandError(f"{path}: bounds.{error}") from None
    users = config.get("users", {})
    if users and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise CommandError(f"{path}: has [users] and can be read by others; chmod 600 it")
    for name, verifier in users.items():
        command.users[name] = _nt_hash(f"{path}: users.{name}", verifier)
    _read_users(command, f"{path}", config.get("user", {}))


def _read_users(command: Command, where: str, table: Any) -> None:
    """[user.NAME]: a password in a file of its own, whose rights, how long a session lives."""
    if not isinstance(table, dict):
        raise CommandError(f"{where}: user: must be a table")
    credentials, lives = {}, {}
    for name, values in table.items():
        here = f"{where}: user.{name}"
        told = _typed(here, values, _USER)
        if "password_file" not in told:
            raise CommandError(f"{here}: needs password_file")
        command.users[name] = _password(told["password_file"], {}, f"{here}.password_file")
        if "session_seconds" in told:
            lives[name] = float(told["session_seconds"])
        if "uid" not in told:
            if told.keys() & {"gid", "groups"}:
                raise CommandError(f"{here}: gid and groups need uid")
            continue
        groups = told.get("groups", [])
        if not all(type(group) is int for group in groups):
            raise CommandError(f"{here}.groups: must be a list of int")
        gid = told.get("gid", told["uid"])
        credentials[name] = Credentials(told["uid"], gid, frozenset(groups))
    if credentials:
        command.options["credentials"] = credentials
    if lives:
        command.options["session_seconds_of"] = lives


def _nt_hash(where: str, value: object) -> bytes:
    try:
        verifier = bytes.fromhex(str(value))
    except ValueError:
        verifier = b""
    if len(verifier) != 16:
        raise CommandError(f"{where}: must be an NT hash, 32 hexadecimal digits")
    return verifier


def _only(where: str, table: dict[str, Any], allowed: Sequence[str]) -> None:
    for key in table:
        if key not in allowed:
            raise CommandError(f"{where}: unknown {key!r}; known are {', '.join(allowed)}")


def _typed(where: str, table: Any, types: dict[str, type]) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise CommandError(f"{where}: must be a table")
    _only(where, table, tuple(types))
    for key, value in table.items():
        wanted = types[key]
        if wanted is float and type(value) is int:
            continue
        if type(value) is not wanted:
            raise CommandError(f"{where}.{key}: must be {wanted.__name__}")
    return dict(table)


# --- running --------------------------------------------------------------------------------


def _tell_systemd(state: str, environ: dict[str, str]) -> None:
    """sd_notify(3), where a service manager asked for it."""
    path = environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), address)


async def _serve(command: Command, ready_file: str | None, environ: dict[str, str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    options = Options(**command.options)
    async with NotifyServer(command.shares, command.users, command.listen, options) as server:
        host, port = server.address
        print(f"listening on {host}:{port}", flush=True)
        if ready_file:
            _write_ready(Path(ready_file), f"{host}:{port}\n")
        _tell_systemd("READY=1", environ)
        await stop.wait()
        _tell_systemd("STOPPING=1", environ)


def _write_ready(path: Path, text: str) -> None:
    """In one step, so that nobody reads half of it."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="ascii")
    temporary.replace(path)


def _raise_descriptor_limit() -> None:
    """Each connection and each open file is a descriptor; the soft limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 could not start, 2 usage."""
    environ = dict(os.environ)
    try:
        command, ready_file = parse(argv, environ)
    except CommandError as error:
        print(f"notify_server: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=command.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    _raise_descriptor_limit()
    try:
        asyncio.run(_serve(command, ready_file, environ))
    except OSError as error:
        print(f"notify_server: {error}", file=sys.stderr)
        return 1
    return 0
