"""Sessions, trees, opens and parked requests (3.3.1.7 to 3.3.1.13). Data, and no behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, Final

from notify_server.auth.acceptor import Acceptor, Identity
from notify_server.auth.keys import SessionKeys
from notify_server.auth.sealing import Sealer
from notify_server.core.config import Share
from notify_server.core.outcome import JobResult
from notify_server.fs.api import Handle, Store, StreamKey

if TYPE_CHECKING:
    from notify_server.core.connection import Connection

_FILE_ID: Final = Struct("<QQ")


@dataclass(slots=True, eq=False)
class Session:
    """A session (3.3.1.8). Valid once `keys` are there; `acceptor` is an exchange in progress."""

    session_id: int
    connection: Connection
    acceptor: Acceptor | None = None
    preauth_hash: bytes = b""
    identity: Identity | None = None
    owner: str = ""
    """Who logged on first, in lower case, "" for nobody; repeated logons are his (or nobody's)."""
    keys: SessionKeys | None = None
    sealer: Sealer | None = None
    signing_required: bool = False
    encrypt_data: bool = False
    expires_at: float | None = None
    trees: dict[int, Tree] = field(default_factory=dict)
    opens: dict[int, Open] = field(default_factory=dict)
    next_tree_id: int = 1
    logged_off: bool = False

    @property
    def user(self) -> str:
        """Who, for the log."""
        return self.identity.user if self.identity else "-"


@dataclass(slots=True, eq=False)
class Tree:
    """A tree connect (3.3.1.9)."""

    tree_id: int
    session: Session
    share: Share


@dataclass(slots=True, eq=False)
class Listing:
    """Where QUERY_DIRECTORY stands on an Open: the names when it began, and how far it is.

    What is known of each name is read when it is sent, so that a name that went is not sent.
    """

    names: list[str]
    pattern: str
    position: int = 0


@dataclass(slots=True, eq=False)
class Open:
    """An Open (3.3.1.10)."""

    number: int
    tree: Tree
    store: Store
    handle: Handle
    granted_access: int
    is_directory: bool
    create_options: int
    index_number: int
    position: int = 0
    listing: Listing | None = None
    watch_key: str | None = None
    turn: list[Callable[[JobResult, float], None]] | None = None
    """While the first CHANGE_NOTIFY gets the directory watched, or a QUERY_DIRECTORY reads it:
    those behind it, which wait for it."""
    oplock_key: StreamKey | None = None
    oplock_level: int = 0
    oplock_breaking_to: int = 0
    oplock_waiters: list[Callable[[float], None]] | None = None
    """While a break waits for its acknowledgment: who is told that it came."""
    jobs: int = 0
    closed: bool = False
    closing: list[Callable[[JobResult, float], None]] | None = None
    """While the store closes the handle: the CLOSE that waits for it."""
    lock_key: StreamKey = field(init=False)
    """What byte-range locks are held on, as it was opened: a stream that is renamed keeps the key
    that its locks are found by."""

    def __post_init__(self) -> None:
        self.lock_key = self.handle.key

    @property
    def file_id(self) -> bytes:
        """SMB2_FILEID (2.2.14.1): the same number, never used again, persistent and volatile."""
        return _FILE_ID.pack(self.number, self.number)


def file_number(file_id: bytes) -> int:
    """The number in a FileId, or -1 if its two halves differ."""
    persistent, volatile = _FILE_ID.unpack(file_id)
    return volatile if persistent == volatile else -1


@dataclass(slots=True, eq=False)
class ParkedRequest:
    """A request that got an interim response, and what its final one needs."""

    connection: Connection
    session: Session
    open: Open
    command: int
    message_id: int
    async_id: int
    signed: bool
    sealed: bool
    since: float
    completion_filter: int = 0
    watch_tree: bool = False
