"""The command line: arguments, logging, signals, readiness. `--config` is `config_file`'s."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO

from notify_server.aio import logs
from notify_server.aio.config_file import read_config, read_password
from notify_server.aio.server import NotifyServer, Options
from notify_server.aio.settings import (
    BOUND_TYPES,
    Command,
    CommandError,
    address,
    dotted,
)
from notify_server.aio.shares import ShareOptions
from notify_server.auth.ntlm import nt_hash
from notify_server.core.config import Encryption
from notify_server.fs.sources import KINDS

PASSWORD_VARIABLE: Final = "NOTIFY_SERVER_PASSWORD"  # noqa: S105  (a name, no password)
_PASSED_ON: Final = (
    "server_name",
    "watch_source",
    "require_signing",
    "allow_anonymous",
    "session_seconds",
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="notify_server", description="An SMB2 server that is exact about CHANGE_NOTIFY."
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="TOML file; arguments add to it and win over it")
    add("--share", metavar="NAME=PATH", action="append", default=[], help="may be repeated")
    add("--user", metavar="NAME", help=f"with --password-file or ${PASSWORD_VARIABLE}")
    add("--password-file", metavar="FILE", help="file with the user's password, mode 0600")
    add(
        "--allow-readable-password-file",
        action="store_true",
        help="take a password file that others can read, as some containers' secrets are mounted",
    )
    add(
        "--nt-hash",
        action="store_true",
        help="print the NT hash of the password, for [users] in --config, and end",
    )
    add("--listen", metavar="HOST:PORT", help="default 127.0.0.1:445; port 0 takes a free one")
    add("--server-name", metavar="NAME", help="NetBIOS name that clients are told")
    add("--watch-source", choices=KINDS)
    add(
        "--allow-anonymous",
        action="store_true",
        default=None,
        help="let nobody log on, to IPC$ and nothing else",
    )
    add("--require-signing", action="store_true", default=None)
    add("--encryption", choices=[item.value for item in Encryption])
    add("--session-seconds", type=float, metavar="N", help="sessions expire; 0 is never")
    add(
        "--bound",
        metavar="NAME=N",
        action="append",
        default=[],
        help="how much clients may hold, as in the file's [bounds]: opens=1000, notify.requests=99",
    )
    add("--log-level", metavar="LEVEL", help="info, debug, …; others for parts: 'info fs:debug'")
    add("--trace", metavar="FILE", help="write the functions that handle each request; slow")
    add("--ready-file", metavar="FILE", help="gets the address once the server answers")
    return parser


def parse(argv: Sequence[str] | None, environ: dict[str, str]) -> tuple[Command, str | None]:
    """Arguments, file and environment as one Command, and the ready file; raises CommandError."""
    return _command(_parser().parse_args(argv), environ)


def _command(arguments: argparse.Namespace, environ: dict[str, str]) -> tuple[Command, str | None]:
    command = Command()
    if arguments.config:
        readable = arguments.allow_readable_password_file
        read_config(command, Path(arguments.config), readable_passwords=readable)
    for share in arguments.share:
        name, equals, path = share.partition("=")
        if not (name and equals and path):
            raise CommandError(f"--share {share}: must be NAME=PATH")
        command.shares[name] = ShareOptions(path)
    if arguments.user:
        command.users[arguments.user] = _verifier(arguments, environ)
    if arguments.listen:
        command.listen = address("--listen", arguments.listen)
    for option in _PASSED_ON:
        value = getattr(arguments, option)
        if value is not None:
            command.options[option] = value
    if command.options.get("session_seconds", 0) < 0:
        raise CommandError("--session-seconds: must not be negative")
    if arguments.encryption:
        command.options["encryption"] = Encryption(arguments.encryption)
    for bound in arguments.bound:
        _bound(command, bound)
    command.bind()
    if arguments.log_level:
        logs.levels("--log-level", arguments.log_level)
        command.log_level = arguments.log_level
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


def _bound(command: Command, text: str) -> None:
    """`--bound [TABLE.]NAME=N`."""
    name, _equals, number = text.partition("=")
    table, _dot, key = name.rpartition(".")
    kind = BOUND_TYPES.get(table, {}).get(key)
    if kind is None:
        known = (dotted(table, key) for table, types in BOUND_TYPES.items() for key in types)
        raise CommandError(f"--bound {text}: must be NAME=N with one of {', '.join(known)}")
    try:
        command.bounds.setdefault(table, {})[key] = kind(number)
    except ValueError:
        raise CommandError(f"--bound {text}: must be {kind.__name__}") from None


def _open(path: str) -> TextIO:
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--trace {path}: {error.strerror}") from None


def _verifier(arguments: argparse.Namespace, environ: dict[str, str]) -> bytes:
    """The NT hash of the password that the arguments mean."""
    file = arguments.password_file
    if file is None:
        if PASSWORD_VARIABLE in environ:
            return nt_hash(environ[PASSWORD_VARIABLE])
        raise CommandError(f"--user: needs --password-file or ${PASSWORD_VARIABLE}")
    return read_password("--password-file", file, readable=arguments.allow_readable_password_file)


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


def _collect_rarely() -> None:
    """Reference counts free nearly everything here; cycles come from a request that fails.

    So the collector need not look at what was imported, nor at all connections each time that a
    quarter more have come, which would stop everybody for as long as that takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 could not start, 2 usage."""
    environ = dict(os.environ)
    try:
        arguments = _parser().parse_args(argv)
        if arguments.nt_hash:
            print(_verifier(arguments, environ).hex())
            return 0
        command, ready_file = _command(arguments, environ)
    except CommandError as error:
        print(f"notify_server: {error}", file=sys.stderr)
        return 2
    logs.set_up(command.log_level)
    _raise_descriptor_limit()
    _collect_rarely()
    try:
        asyncio.run(_serve(command, ready_file, environ))
    except OSError as error:
        print(f"notify_server: {error}", file=sys.stderr)
        return 1
    return 0
