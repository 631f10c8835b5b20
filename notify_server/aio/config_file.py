"""The TOML file of `--config`. Errors name the file and the key, and what is allowed."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from notify_server.aio import logs
from notify_server.aio.settings import BOUND_TYPES, Command, CommandError, address, dotted
from notify_server.aio.shares import ShareOptions
from notify_server.auth.ntlm import nt_hash
from notify_server.core.config import Encryption
from notify_server.fs.access import Credentials
from notify_server.fs.sources import KINDS

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
    "may_hang": bool,
}
_USER: Final[dict[str, type]] = {
    "password_file": str,
    "uid": int,
    "gid": int,
    "groups": list,
    "session_seconds": float,
}
_HASH_SIZE: Final = 16


def read_config(command: Command, path: Path, *, readable_passwords: bool = False) -> None:
    """Fill `command` with what a file says; raises CommandError."""
    try:
        with path.open("rb") as file:
            readable = others_may_read(file.fileno())
            config = tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{path}: {error}") from None
    _only(f"{path}", config, _TOP)
    if "listen" in config:
        command.listen = address(f"{path}: listen", str(config["listen"]))
    command.log_level = str(config.get("log_level", command.log_level))
    logs.levels(f"{path}: log_level", command.log_level)
    for name, values in _table(f"{path}: share", config.get("share", {})).items():
        share = _typed(f"{path}: share.{name}", values, _SHARE)
        if "path" not in share:
            raise CommandError(f"{path}: share.{name}: needs path")
        command.shares[name] = ShareOptions(**share)
    command.options = _options(path, config.get("options", {}))
    _bounds(command, path, _table(f"{path}: bounds", config.get("bounds", {})))
    users = _table(f"{path}: users", config.get("users", {}))
    if users and readable:
        raise CommandError(f"{path}: has [users] and others can read it; chmod 600 {path}")
    for name, verifier in users.items():
        command.users[name] = _verifier(f"{path}: users.{name}", verifier)
    for name, values in _table(f"{path}: user", config.get("user", {})).items():
        _user(command, f"{path}: user.{name}", name, values, readable=readable_passwords)


def read_password(where: str, file: str, *, readable: bool = False) -> bytes:
    """The NT hash of the password in a file: nothing else of it is kept.

    `readable` takes a file that others can read as well.
    """
    try:
        with open(file, encoding="utf-8") as secret:
            if not readable and others_may_read(secret.fileno()):
                raise CommandError(
                    f"{where} {file}: others can read it; "
                    f"chmod 600 {file}, or --allow-readable-password-file"
                )
            return nt_hash(secret.read().removesuffix("\n"))
    except OSError as error:
        raise CommandError(f"{where} {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{where} {file}: is not UTF-8") from None


def others_may_read(fd: int) -> bool:
    """Asked of the open file, which nobody can exchange any more."""
    return bool(os.fstat(fd).st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _options(path: Path, table: object) -> dict[str, Any]:
    options = _typed(f"{path}: options", table, _OPTIONS)
    if "watch_source" in options:
        _one_of(f"{path}: options.watch_source", options["watch_source"], KINDS)
    if "encryption" in options:
        _one_of(
            f"{path}: options.encryption",
            options["encryption"],
            [item.value for item in Encryption],
        )
        options["encryption"] = Encryption(options["encryption"])
    return options


def _bounds(command: Command, path: Path, table: dict[str, Any]) -> None:
    """[bounds], and in it [bounds.notify] and [bounds.source]."""
    plain = {key: value for key, value in table.items() if key not in BOUND_TYPES}
    for name, types in BOUND_TYPES.items():
        values = table.get(name, {}) if name else plain
        where = dotted(f"{path}: bounds", name)
        found = _typed(where, values, types)
        if found:
            command.bounds[name] = found
    command.bind(f"{path}: ")


def _user(command: Command, where: str, name: str, values: object, *, readable: bool) -> None:
    """[user.NAME]: a password in a file of its own, whose rights, how long a session lives."""
    told = _typed(where, values, _USER)
    if "password_file" not in told:
        raise CommandError(f"{where}: needs password_file")
    file = told["password_file"]
    command.users[name] = read_password(f"{where}.password_file", file, readable=readable)
    if "session_seconds" in told:
        lives = command.options.setdefault("session_seconds_of", {})
        lives[name] = float(told["session_seconds"])
    if "uid" not in told:
        if told.keys() & {"gid", "groups"}:
            raise CommandError(f"{where}: gid and groups need uid")
        return
    groups = told.get("groups", [])
    if not all(type(group) is int for group in groups):
        raise CommandError(f"{where}.groups: must be a list of int")
    gid = told.get("gid", told["uid"])
    credentials = Credentials(told["uid"], gid, frozenset(groups))
    command.options.setdefault("credentials", {})[name] = credentials


def _verifier(where: str, value: object) -> bytes:
    try:
        verifier = bytes.fromhex(str(value))
    except ValueError:
        verifier = b""
    if len(verifier) != _HASH_SIZE:
        raise CommandError(f"{where}: must be an NT hash, 32 hexadecimal digits (see --nt-hash)")
    return verifier


def _one_of(where: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise CommandError(f"{where}: one of {', '.join(allowed)}")


def _only(where: str, table: dict[str, Any], allowed: Sequence[str]) -> None:
    for key in table:
        if key not in allowed:
            raise CommandError(f"{where}: unknown {key!r}; known are {', '.join(allowed)}")


def _table(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CommandError(f"{where}: must be a table")
    return dict(value)


def _typed(where: str, value: object, types: Mapping[str, type]) -> dict[str, Any]:
    table = _table(where, value)
    _only(where, table, tuple(types))
    for key, each in table.items():
        wanted = types[key]
        if wanted is float and type(each) is int:
            continue
        if type(each) is not wanted:
            raise CommandError(f"{where}.{key}: must be {wanted.__name__}")
    return table
