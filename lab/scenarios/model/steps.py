"""Steps of a scenario: what the client does."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

Scalar: TypeAlias = "int | str | bool | None"
Fields: TypeAlias = "tuple[tuple[str, Scalar], ...]"

DEADLINE_S = 1.0  # of a response, on a quick server; scaled, and longer where it is slow
USERS = ("second", "brief")  # one without rights to others' files; one whose sessions expire


@dataclass(frozen=True)
class Request:
    """One SMB2 request. `ref` names it; `file` names the open, or "all-ff", that gives its FileId.

    `must` lists the final statuses without which the rest of the scenario makes no sense (empty:
    any is an observation like another). `override` replaces fields of header or body as built
    (`output_buffer_length` may be "max + 1", one more than the server's MaxTransactSize);
    `tree` names a tree connect other than the connection's first. `opens` names what the response
    will give: an open, or a tree connect. `share` is the share of a TREE_CONNECT, "" the lab's own.
    """

    command: str
    ref: str
    body: Fields = ()
    file: str | None = None
    opens: str | None = None
    related: bool = False
    wait: bool = True
    must: tuple[str, ...] = ()
    override: Fields = ()
    tree: str = ""
    share: str = ""


@dataclass(frozen=True)
class Connect:
    """A TCP connection of its own, NEGOTIATE, a session, and a tree connect to the share.

    With `ciphers`, the client offers them and seals everything after the logon. `previous` names
    the connection whose SessionId goes into PreviousSessionId. `user` is "" for the share's own
    user, or one of `USERS`.
    """

    conn: str
    dialects: tuple[int, ...] = (0x0311,)
    signing: tuple[str, ...] = ("AES-CMAC",)
    ciphers: tuple[str, ...] = ()
    previous: str = ""
    user: str = ""
    note: str = ""


@dataclass(frozen=True)
class Send:
    """One transport message: a request, or a compound of several."""

    conn: str
    requests: tuple[Request, ...]
    note: str = ""


@dataclass(frozen=True)
class Cancel:
    """CANCEL of `target` (MS-SMB2 3.2.4.24), naming it by AsyncId, MessageId, or both.

    Without a target, the ids are those given.
    """

    conn: str
    target: str
    by_async_id: bool = True
    by_message_id: bool = False
    async_id: int = 0
    message_id: int = 0
    note: str = ""


@dataclass(frozen=True)
class Wait:
    """Receive until `ref` has its interim (or, failing that, final) response."""

    conn: str
    ref: str
    stage: str = "final"
    deadline: float = DEADLINE_S
    must: tuple[str, ...] = ()
    point: str = ""
    note: str = ""


@dataclass(frozen=True)
class OnServer:
    """A command run on the server itself; `{dir}` is the scenario's directory there."""

    argv: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Drain:
    """Receive on all connections for `seconds` (scaled), or until `unless` has its final response.

    Whoever waits for silence need not wait on once it is broken. With `settle`, the time grows with
    how slow the server was found to answer.
    """

    seconds: float
    unless: str = ""
    settle: bool = False
    note: str = ""


@dataclass(frozen=True)
class Collect:
    """Send CHANGE_NOTIFY over and over, gathering records.

    Ends with a record named `until`; or, when that is empty, with a request that stays parked
    for `quiet` seconds. `first` is a request already parked on the same open. The last request
    answers to `ref` afterwards.
    """

    conn: str
    ref: str
    file: str
    body: Fields
    first: str = ""
    until: str = ""
    quiet: float = 0.1
    deadline: float = 3.0
    point: str = ""
    note: str = ""


@dataclass(frozen=True)
class Drop:
    """Close the TCP connection without a word."""

    conn: str
    note: str = ""


@dataclass(frozen=True)
class Reauthenticate:
    """A SESSION_SETUP in the session that there is; with a wrong password, unless `valid`."""

    conn: str
    valid: bool
    must: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Cork:
    """What `conn` sends is kept from here on; with `on` false, it leaves in one piece."""

    conn: str
    on: bool
    note: str = ""


@dataclass(frozen=True)
class Pause:
    """Let `seconds` pass, unscaled and without receiving: a step of a sweep."""

    seconds: float
    note: str = ""


Step: TypeAlias = (
    Connect
    | Send
    | Cancel
    | Wait
    | OnServer
    | Drain
    | Collect
    | Drop
    | Reauthenticate
    | Cork
    | Pause
)
STEP_TYPES: Mapping[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Connect,
        Send,
        Cancel,
        Wait,
        OnServer,
        Drain,
        Collect,
        Drop,
        Reauthenticate,
        Cork,
        Pause,
    )
}


def language() -> str:
    """Tells one set of steps and fields from another: host and interpreter must speak the same."""
    kinds = (*STEP_TYPES.values(), Request)
    plain = [(kind.__name__, [item.name for item in fields(kind)]) for kind in kinds]
    return hashlib.sha256(repr(plain).encode()).hexdigest()[:16]
