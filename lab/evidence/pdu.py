"""One SMB2 PDU as tshark decoded it, and one event of TCP: what ladders are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SERVER_TO_REDIR, ASYNC_COMMAND, RELATED_OPERATIONS, SIGNED = 0x1, 0x2, 0x4, 0x8  # 2.2.1, Flags
STATUS_PENDING = 0x103
NEGOTIATE, SESSION_SETUP, LOGOFF, TREE_CONNECT = 0, 1, 2, 3
CREATE, CLOSE, CANCEL, CHANGE_NOTIFY = 5, 6, 12, 15
ALL_FF = "ff" * 16

# MS-SMB2 2.2.1, Command.
COMMANDS: Mapping[int, str] = dict(
    enumerate(
        (
            "NEGOTIATE",
            "SESSION_SETUP",
            "LOGOFF",
            "TREE_CONNECT",
            "TREE_DISCONNECT",
            "CREATE",
            "CLOSE",
            "FLUSH",
            "READ",
            "WRITE",
            "LOCK",
            "IOCTL",
            "CANCEL",
            "ECHO",
            "QUERY_DIRECTORY",
            "CHANGE_NOTIFY",
            "QUERY_INFO",
            "SET_INFO",
            "OPLOCK_BREAK",
        )
    )
)
# MS-FSCC 2.7.1, Action, without its FILE_ACTION_ prefix.
ACTIONS: Mapping[int, str] = dict(
    enumerate(
        (
            "ADDED",
            "REMOVED",
            "MODIFIED",
            "RENAMED_OLD_NAME",
            "RENAMED_NEW_NAME",
            "ADDED_STREAM",
            "REMOVED_STREAM",
            "MODIFIED_STREAM",
        ),
        start=1,
    )
)
# MS-SMB2 2.2.35, CompletionFilter, without its FILE_NOTIFY_CHANGE_ prefix.
FILTERS: Mapping[int, str] = {
    1 << bit: name
    for bit, name in enumerate(
        (
            "FILE_NAME",
            "DIR_NAME",
            "ATTRIBUTES",
            "SIZE",
            "LAST_WRITE",
            "LAST_ACCESS",
            "CREATION",
            "EA",
            "SECURITY",
            "STREAM_NAME",
            "STREAM_SIZE",
            "STREAM_WRITE",
        )
    )
}


def command_name(command: int) -> str:
    return COMMANDS.get(command, f"command {command}")


def action_name(action: int) -> str:
    return ACTIONS.get(action, f"action {action}")


def filter_words(completion_filter: int) -> str:
    """As in "FILE_NAME|LAST_WRITE"; bits without a name in hexadecimal."""
    words = [name for bit, name in FILTERS.items() if completion_filter & bit]
    rest = completion_filter & ~sum(FILTERS)
    return "|".join([*words, *([f"{rest:#x}"] if rest or not words else [])])


@dataclass(frozen=True)
class Notify:
    """The fixed part of a CHANGE_NOTIFY request (2.2.35)."""

    completion_filter: int
    watch_tree: bool
    output_buffer_length: int


@dataclass(frozen=True)
class Record:
    """A FILE_NOTIFY_INFORMATION (MS-FSCC 2.7.1)."""

    action: int
    name: str


@dataclass(frozen=True)
class Pdu:
    """`position` and `count`: its place in the compound. None: the field was not there.

    `sealed` with `command` -1: encrypted, and no key for it. `info` is what tshark calls the
    information class of QUERY_INFO and SET_INFO, `malformed` its complaint about the bytes;
    `disposition` and `options` are CREATE's, `delete_pending` FileDispositionInformation's.
    """

    frame: int
    time: float
    stream: int
    client_port: int
    command: int
    flags: int
    position: int = 0
    count: int = 1
    status: int | None = None
    status_name: str = ""
    message_id: int = 0
    async_id: int | None = None
    session_id: int = 0
    credits: int = 0
    credit_charge: int = 0
    sealed: bool = False
    file_id: str | None = None
    name: str | None = None
    notify: Notify | None = None
    records: tuple[Record, ...] = ()
    output_length: int | None = None
    info: str = ""
    disposition: int | None = None
    options: int = 0
    delete_pending: bool = False
    dialect: int | None = None
    tree: str = ""
    malformed: bool = False

    @property
    def from_client(self) -> bool:
        return not self.flags & SERVER_TO_REDIR


@dataclass(frozen=True)
class TcpEvent:
    """A connection opened, closed or reset, by the client or the server."""

    frame: int
    time: float
    stream: int
    client_port: int
    what: str  # "SYN", "FIN", "RST"
    from_client: bool
