"""`lab watch`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lab.cli.registry import command
from lab.cli.words import Positional

if TYPE_CHECKING:
    from lab.session import Lab
    from lab.watch.address import Address
    from lab.watch.events import Event
    from lab.watch.watcher import Wanted

EXIT_TOO_FEW = 1
SIGNALLED = 128
STYLES = ("auto", "always", "never")


@command(
    "watch",
    positional=Positional("path", variadic=True, most=1),
    flags={
        "filter": "what to watch for, as a,b: names, attributes, size, last-write, last-access, "
        "creation, ea, security, times, streams, explorer, all; or hex as 0x15 (default: all)",
        "recursive": "everything below the directory too (SMB2_WATCH_TREE)",
        "ladder": "show the PDUs underneath as well, as this client itself sent and received them",
        "json": "JSON lines: one object an event, with its time in UTC",
        "user": "log on as this user (default: the lab's own user; elsewhere, your name here)",
        "password_file": "the first line of this file is the password",
        "count": "end after so many changes",
        "timeout": "end after so many seconds",
        "colour": "auto (on a terminal, unless NO_COLOR is set), always or never",
    },
    metavars={
        "filter": "WORDS",
        "user": "NAME",
        "password_file": "FILE",
        "count": "N",
        "timeout": "SECONDS",
        "colour": "WHEN",
    },
    short={"recursive": "-r", "filter": "-f", "user": "-u", "count": "-n"},
    examples=(
        ("lab watch", "the share's root on the active server, through the front"),
        ("lab watch dir/sub --recursive", "a directory of the share, and all below it"),
        ("lab watch --filter size,0x10", "only what changes a size or a time of last write"),
        ("lab watch --ladder", "with requests, interim and final responses underneath"),
        ("lab watch //fileserver/public --user jo", "any SMB2 server; asks for the password"),
        ("lab watch //192.0.2.7:1445/TEST/dir --json", "JSON lines, for a script"),
        ("lab watch --count 1 --timeout 10", "wait for a change; exits 1 if none came"),
    ),
)
def watch(
    context: Any,
    path: Sequence[str],
    filter: str = "all",
    recursive: bool = False,
    ladder: bool = False,
    json: bool = False,
    user: str = "",
    password_file: str = "",
    count: str = "0",
    timeout: str = "0",
    colour: str = "auto",
) -> int:
    """Show changes of a directory as they are notified, decoded, until Ctrl-C.

    PATH is a directory of the lab's share, on whatever server is active, or
    //HOST[:PORT]/SHARE[/DIR] of any SMB2 server.

    One line a change: time, action, name, and the classes of the filter that it may have matched.
    The protocol does not say which: a watch for one class alone (--filter size) tells. "Too many
    changes: list again" is the server's STATUS_NOTIFY_ENUM_DIR.

    The next request is sent before a change is shown, so none is missed while the connection
    holds. When it ends (a switch, a restart), the watch goes on with a new one, and says so.

    The password comes from --password-file, the environment (LAB_WATCH_PASSWORD) or a prompt; for
    the lab's own share it is known. Exits 0 at --count or --timeout, 1 if the timeout came before
    the count, 3 if the server refuses or cannot notify, 130 after Ctrl-C.
    """
    from lab.watch import filters

    completion_filter = filters.parse(filter)
    limits = _number("--count", count, int), _number("--timeout", timeout, float)
    reporter = Reporter(json, _coloured(colour))
    address, lab = _address(path)
    from lab.watch.watcher import Wanted

    name, password = _credentials(lab, user, password_file)
    wanted = Wanted(address, name, password, completion_filter, recursive, *limits)
    if ladder:
        reporter.say("ladder: PDUs as this client itself sent and received them, not a capture")
    return _run(wanted, reporter, _who_answers(lab), ladder)


def _run(wanted: Wanted, tell: Reporter, server: Callable[[], str], ladder: bool) -> int:
    from lab.client.pump import Pump
    from lab.watch.interrupts import stop_on_signals
    from lab.watch.watcher import Watcher

    pump = Pump()
    with stop_on_signals(pump) as stop:
        watcher = Watcher(wanted, pump, tell, stop, server=server, ladder=ladder)
        watcher.run()
    if stop.asked:
        return SIGNALLED + stop.signal
    return EXIT_TOO_FEW if watcher.shown < wanted.count else 0


class Reporter:
    """Prints events at once: what was watched for on stdout, how the watch fares on stderr.

    JSON lines are all on stdout.
    """

    def __init__(self, as_json: bool, coloured: bool) -> None:
        from lab.watch.events import Lost, Oddity, Watching
        from lab.watch.lines import Text
        from lab.watch.lines import as_json as to_json

        self._json = as_json
        self._render: Callable[[Event, datetime], str] = (
            to_json if as_json else Text(colour=coloured)
        )
        self._aside = () if as_json else (Lost, Oddity, Watching)

    def __call__(self, event: Event) -> None:
        stream = sys.stderr if isinstance(event, self._aside) else sys.stdout
        print(self._render(event, datetime.now(UTC)), file=stream, flush=True)

    def say(self, text: str) -> None:
        """A word about the output itself, for people only."""
        if not self._json:
            print(text, file=sys.stderr)


def _address(path: Sequence[str]) -> tuple[Address, Lab | None]:
    """Where to watch; the lab too, if it is the lab's own share."""
    from lab.watch import address

    text = "".join(path)
    if address.is_remote(text):
        return address.parse(text), None
    from lab.session import Lab

    lab = Lab.open()
    lab.require_running("front")
    host, port = lab.front_address()
    return address.Address(host, port, lab.settings.share.name, address.directory(text)), lab


def _credentials(lab: Lab | None, user: str, file: str) -> tuple[str, str]:
    from getpass import getuser

    from lab.watch import credentials

    own = lab is not None and user in ("", lab.settings.share.user)
    if lab is not None and not user:
        user = lab.settings.share.user
    name = credentials.check_user(user or getuser())
    known = lab.secrets.password if lab is not None and own else None
    return name, credentials.password(name, file, os.environ, own=known)


def _who_answers(lab: Lab | None) -> Callable[[], str]:
    """The lab's active backend, asked anew for each connection; of other hosts, nothing."""
    return (lambda: lab.remembered_backend) if lab is not None else (lambda: "")


def _number(option: str, text: str, kind: type[Any]) -> Any:
    from lab.errors import UsageError

    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:  # NaN compares false, too
        raise UsageError(
            f"{option} {text!r} is not what it takes", f"{option} 10; 0 is without end"
        )
    return value


def _coloured(when: str) -> bool:
    from lab.cli.words import check_value

    check_value("colour", when, STYLES)
    automatic = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return when == "always" or (when == "auto" and automatic)
