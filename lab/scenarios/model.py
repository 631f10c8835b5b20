"""A scenario as a value: the steps a client takes, and what the documents expect of the server.

`lab.scenarios.script` records a catalogue function into an immutable `Scenario`, which serialises
to JSON, prints as documentation (`lab.scenarios.describe`), is carried out by `lab.client` and
judged by `lab.verdicts`. A scenario never knows which server it will meet: latitude is
`one_of(..., because=...)`, and a server's known differences live in its deviations file.

This module is copied into the client's container by itself: standard library only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, ClassVar, TypeAlias

Scalar: TypeAlias = "int | str | bool | None"
Fields: TypeAlias = "tuple[tuple[str, Scalar], ...]"
Record: TypeAlias = "tuple[str, str]"  # (action, name), as in ("ADDED", "dir\\file1")


class CompletionFilter(IntFlag):
    """MS-SMB2 2.2.35, CompletionFilter."""

    FILE_NOTIFY_CHANGE_FILE_NAME = 0x001
    FILE_NOTIFY_CHANGE_DIR_NAME = 0x002
    FILE_NOTIFY_CHANGE_ATTRIBUTES = 0x004
    FILE_NOTIFY_CHANGE_SIZE = 0x008
    FILE_NOTIFY_CHANGE_LAST_WRITE = 0x010
    FILE_NOTIFY_CHANGE_LAST_ACCESS = 0x020
    FILE_NOTIFY_CHANGE_CREATION = 0x040
    FILE_NOTIFY_CHANGE_EA = 0x080
    FILE_NOTIFY_CHANGE_SECURITY = 0x100
    FILE_NOTIFY_CHANGE_STREAM_NAME = 0x200
    FILE_NOTIFY_CHANGE_STREAM_SIZE = 0x400
    FILE_NOTIFY_CHANGE_STREAM_WRITE = 0x800


FILE_NAME = CompletionFilter.FILE_NOTIFY_CHANGE_FILE_NAME
DIR_NAME = CompletionFilter.FILE_NOTIFY_CHANGE_DIR_NAME
ANY_NAME = FILE_NAME | DIR_NAME


class Action(IntEnum):
    """MS-FSCC 2.7.1, Action, without its FILE_ACTION_ prefix."""

    ADDED = 1
    REMOVED = 2
    MODIFIED = 3
    RENAMED_OLD_NAME = 4
    RENAMED_NEW_NAME = 5
    ADDED_STREAM = 6
    REMOVED_STREAM = 7
    MODIFIED_STREAM = 8


class Command(IntEnum):
    """MS-SMB2 2.2.1, Command."""

    NEGOTIATE = 0
    SESSION_SETUP = 1
    LOGOFF = 2
    TREE_CONNECT = 3
    TREE_DISCONNECT = 4
    CREATE = 5
    CLOSE = 6
    FLUSH = 7
    READ = 8
    WRITE = 9
    LOCK = 10
    IOCTL = 11
    CANCEL = 12
    ECHO = 13
    QUERY_DIRECTORY = 14
    CHANGE_NOTIFY = 15
    QUERY_INFO = 16
    SET_INFO = 17


class HeaderFlags(IntFlag):
    """MS-SMB2 2.2.1, Flags."""

    SMB2_FLAGS_SERVER_TO_REDIR = 0x1
    SMB2_FLAGS_ASYNC_COMMAND = 0x2
    SMB2_FLAGS_RELATED_OPERATIONS = 0x4
    SMB2_FLAGS_SIGNED = 0x8


class NtStatus(IntEnum):
    """MS-ERREF 2.3: the statuses that a scenario may meet; others print as hexadecimal."""

    STATUS_SUCCESS = 0x00000000
    STATUS_PENDING = 0x00000103
    STATUS_NOTIFY_CLEANUP = 0x0000010B
    STATUS_NOTIFY_ENUM_DIR = 0x0000010C
    STATUS_BUFFER_OVERFLOW = 0x80000005
    STATUS_NO_MORE_FILES = 0x80000006
    STATUS_NOT_IMPLEMENTED = 0xC0000002
    STATUS_INVALID_INFO_CLASS = 0xC0000003
    STATUS_INFO_LENGTH_MISMATCH = 0xC0000004
    STATUS_INVALID_HANDLE = 0xC0000008
    STATUS_INVALID_PARAMETER = 0xC000000D
    STATUS_NO_SUCH_FILE = 0xC000000F
    STATUS_MORE_PROCESSING_REQUIRED = 0xC0000016
    STATUS_ACCESS_DENIED = 0xC0000022
    STATUS_OBJECT_NAME_INVALID = 0xC0000033
    STATUS_OBJECT_NAME_NOT_FOUND = 0xC0000034
    STATUS_OBJECT_NAME_COLLISION = 0xC0000035
    STATUS_OBJECT_PATH_NOT_FOUND = 0xC000003A
    STATUS_SHARING_VIOLATION = 0xC0000043
    STATUS_DELETE_PENDING = 0xC0000056
    STATUS_LOGON_FAILURE = 0xC000006D
    STATUS_INSUFFICIENT_RESOURCES = 0xC000009A
    STATUS_FILE_IS_A_DIRECTORY = 0xC00000BA
    STATUS_NOT_SUPPORTED = 0xC00000BB
    STATUS_NETWORK_NAME_DELETED = 0xC00000C9
    STATUS_BAD_NETWORK_NAME = 0xC00000CC
    STATUS_REQUEST_NOT_ACCEPTED = 0xC00000D0
    STATUS_INTERNAL_ERROR = 0xC00000E5
    STATUS_DIRECTORY_NOT_EMPTY = 0xC0000101
    STATUS_NOT_A_DIRECTORY = 0xC0000103
    STATUS_CANCELLED = 0xC0000120
    STATUS_CANNOT_DELETE = 0xC0000121
    STATUS_FILE_CLOSED = 0xC0000128
    STATUS_USER_SESSION_DELETED = 0xC0000203
    STATUS_NETWORK_SESSION_EXPIRED = 0xC000035C


def status_name(code: int) -> str:
    """The symbolic name of an NTSTATUS, or its eight hexadecimal digits."""
    try:
        return NtStatus(code).name
    except ValueError:
        return f"0x{code:08X}"


# -- what a field may be ------------------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """A predicate on one observed value; `kind` names a row of `lab.verdicts.checks.MATCHERS`."""

    kind: str
    value: Scalar | tuple[Scalar, ...] = None
    because: str = ""


def equals(value: Scalar) -> Match:
    return Match("equals", value)


def at_least(value: int) -> Match:
    return Match("at_least", value)


def nonzero() -> Match:
    return Match("nonzero")


def bits_set(value: int) -> Match:
    return Match("bits_set", value)


def bits_clear(value: int) -> Match:
    return Match("bits_clear", value)


def one_of(*values: Scalar, because: str) -> Match:
    """Latitude, with its justification."""
    return Match("one_of", values, because)


def same_as(ref: str, stage: str, field: str) -> Match:
    """Equal to what another response carried in `field`."""
    return Match("same_as", (ref, stage, field))


# -- steps: what the client does ----------------------------------------------------------------


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
    the connection whose SessionId goes into PreviousSessionId.
    """

    conn: str
    dialects: tuple[int, ...] = (0x0311,)
    signing: tuple[str, ...] = ("AES-CMAC",)
    ciphers: tuple[str, ...] = ()
    previous: str = ""
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
    deadline: float = 2.0
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

    Whoever waits for silence need not wait on once it is broken.
    """

    seconds: float
    unless: str = ""
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


# -- expectations: what the host judges ---------------------------------------------------------


@dataclass(frozen=True)
class ExpectField:
    """A field of the interim or final response to `of`."""

    step: int
    of: str
    stage: str
    field: str
    match: Match
    rule: str = ""


@dataclass(frozen=True)
class ExpectRecords:
    """The final response to `of` is STATUS_SUCCESS with exactly one of these lists of records."""

    step: int
    of: str
    alternatives: tuple[tuple[Record, ...], ...]
    because: str = ""
    rule: str = ""


@dataclass(frozen=True)
class ExpectCollected:
    """All records that a `Collect` gathered are exactly one of these lists."""

    step: int
    of: str
    alternatives: tuple[tuple[Record, ...], ...]
    because: str = ""
    rule: str = ""


@dataclass(frozen=True)
class ExpectPending:
    """No final response to `of` had come by the end of `step`."""

    step: int
    of: str
    rule: str = ""


@dataclass(frozen=True)
class ExpectNoInterim:
    """`of` was answered by its final response alone."""

    step: int
    of: str
    rule: str = ""


@dataclass(frozen=True)
class ExpectDistinct:
    """`field` differs between the responses to all of `refs`."""

    step: int
    refs: tuple[str, ...]
    stage: str
    field: str
    rule: str = ""


@dataclass(frozen=True)
class ExpectDelivered:
    """The records of all the final responses to `refs`, one after another, are such a list."""

    step: int
    refs: tuple[str, ...]
    alternatives: tuple[tuple[Record, ...], ...]
    because: str = ""
    rule: str = ""


Expectation: TypeAlias = (
    ExpectField
    | ExpectRecords
    | ExpectCollected
    | ExpectPending
    | ExpectNoInterim
    | ExpectDistinct
    | ExpectDelivered
)
EXPECTATION_TYPES: Mapping[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        ExpectField,
        ExpectRecords,
        ExpectCollected,
        ExpectPending,
        ExpectNoInterim,
        ExpectDistinct,
        ExpectDelivered,
    )
}


# -- the scenario -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """`name` is its place in the catalogue ("C2"), `cites` the sections of the specifications."""

    name: str
    title: str
    about: str
    cites: tuple[str, ...]
    rests_on: str
    provisional: bool
    steps: tuple[Step, ...]
    expectations: tuple[Expectation, ...]

    evidence: ClassVar[str] = "observations.jsonl"  # the file in its cell's folder

    @property
    def group(self) -> str:
        return self.name[0]

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["cites"] = list(self.cites)
        plain["steps"] = [_tagged("op", step) for step in self.steps]
        plain["expectations"] = [_tagged("expect", item) for item in self.expectations]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Scenario:
        values = dict(plain)
        values["cites"] = tuple(plain["cites"])
        values["steps"] = tuple(step_from_json(step) for step in plain["steps"])
        values["expectations"] = tuple(
            _untagged("expect", EXPECTATION_TYPES, item) for item in plain["expectations"]
        )
        return cls(**values)


# -- JSON ---------------------------------------------------------------------------------------


def _tagged(tag: str, value: Any) -> dict[str, Any]:
    return {tag: type(value).__name__, **_plain(value)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _untagged(tag: str, types: Mapping[str, type[Any]], plain: Mapping[str, Any]) -> Any:
    values = {key: _frozen(value) for key, value in plain.items() if key != tag}
    if "match" in values:
        values["match"] = Match(**{k: _frozen(v) for k, v in values["match"].items()})
    if "requests" in values:
        values["requests"] = tuple(
            Request(**{k: _frozen(v) for k, v in request.items()}) for request in values["requests"]
        )
    return types[plain[tag]](**values)


def step_from_json(plain: Mapping[str, Any]) -> Step:
    """The inverse of what `Scenario.to_json` made of a step."""
    step: Step = _untagged("op", STEP_TYPES, plain)
    return step
