"""What a server is told before it starts: shares, users, policies and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Final

from notify_server.auth import sealing, signing
from notify_server.fs.access import Credentials
from notify_server.fs.api import Store
from notify_server.wire.constants import AccessMask, Cipher, Dialect

IPC_SHARE: Final = "IPC$"
FULL_ACCESS: Final = 0x001F01FF
READ_ONLY_ACCESS: Final = 0x001200A9
_SMALLEST_IO: Final = 1 << 16
_LARGEST_IO: Final = (1 << 24) - (1 << 17)  # with what surrounds it, 3 bytes of length say it


class Encryption(Enum):
    """When a session is sealed (3.x only)."""

    OFF = "off"
    OFFERED = "offered"  # the client decides
    REQUIRED = "required"


@dataclass(slots=True, frozen=True)
class Bounds:
    """How much one client, and all together, may hold. Each refusal has its proper status."""

    connections: int = 16384
    """Beyond it a new connection is closed at once."""
    authentication_seconds: float = 30.0
    """A connection without a session by then, or for so long, is closed."""
    peer_seconds: float = 120.0
    """A peer whose machine does not answer for so long is gone: the connection ends."""
    frame_before_session: int = 1 << 16
    """Bytes of a frame until a session is set up; beyond it the connection is closed."""
    io_size: int = 1 << 23
    """MaxReadSize, MaxWriteSize, MaxTransactSize; 64 KiB in dialect 2.0.2."""
    compound: int = 64
    """Requests in one frame; beyond it the connection is closed."""
    sessions: int = 64
    """On one connection; beyond it STATUS_REQUEST_NOT_ACCEPTED."""
    all_sessions: int = 65536
    """On all connections; beyond it STATUS_REQUEST_NOT_ACCEPTED."""
    trees: int = 256
    """In one session; beyond it STATUS_INSUFFICIENT_RESOURCES."""
    opens: int = 16384
    """In one session; beyond it STATUS_TOO_MANY_OPENED_FILES."""
    all_opens: int = 131072
    """In all sessions; beyond it STATUS_TOO_MANY_OPENED_FILES."""
    listed: int = 1 << 22
    """Names that directory listings under way hold; beyond it STATUS_INSUFFICIENT_RESOURCES."""
    parked: int = 511
    """Requests without a final response on one connection; then STATUS_INSUFFICIENT_RESOURCES."""
    credits: int = 8192
    """Credits that a client can hold."""
    held: int = 1 << 26
    """Bytes of requests under way on one connection; beyond it nothing is read from it."""
    all_held: int = 1 << 31
    """The same of all connections, with frames that are not complete; beyond it whoever brings
    more of a frame is disconnected."""
    locks: int = 4096
    """Byte-range locks on one file; beyond it STATUS_INSUFFICIENT_RESOURCES."""

    def __post_init__(self) -> None:
        for item in fields(self):
            if not 0 < getattr(self, item.name) < float("inf"):
                raise ValueError(f"{item.name}: must be greater than 0")
        if not _SMALLEST_IO <= self.io_size <= _LARGEST_IO:
            raise ValueError(f"io_size: must be from {_SMALLEST_IO} to {_LARGEST_IO}")

    @property
    def frame(self) -> int:
        """Bytes of a frame once a session exists: a full WRITE and what surrounds it."""
        return self.io_size + (1 << 16)


@dataclass(slots=True, frozen=True)
class Share:
    """One share; `store` is None for IPC$."""

    name: str
    store: Store | None
    read_only: bool = False
    notify: bool = True
    """Without it CHANGE_NOTIFY is answered STATUS_NOT_IMPLEMENTED."""
    encrypt: bool = False
    may_hang: bool = False
    """Calls of its store may never come back: none is made where the core runs."""

    @property
    def maximal_access(self) -> AccessMask:
        """MaximalAccess of TREE_CONNECT (2.2.10)."""
        return AccessMask(READ_ONLY_ACCESS if self.read_only else FULL_ACCESS)


@dataclass(slots=True, frozen=True)
class Config:
    """Everything the core needs to know. `users` maps lower-cased names to NT hashes."""

    shares: Mapping[str, Share]
    users: Mapping[str, bytes] = field(repr=False)
    credentials: Mapping[str, Credentials] = field(default_factory=dict, kw_only=True)
    """Users, by lower-cased name, who have not this process' rights but those of a uid."""
    server_guid: bytes
    server_name: str = "NOTIFY"
    dialects: tuple[int, ...] = (
        Dialect.SMB_3_1_1,
        Dialect.SMB_3_0_2,
        Dialect.SMB_3_0,
        Dialect.SMB_2_1,
        Dialect.SMB_2_0_2,
    )
    ciphers: tuple[Cipher, ...] = sealing.SUPPORTED
    signing_algorithms: tuple[int, ...] = signing.SUPPORTED
    require_signing: bool = False
    encryption: Encryption = Encryption.OFFERED
    allow_anonymous: bool = False
    oplocks: bool = True
    session_seconds: float = 0.0
    """Life of a session until the client must authenticate again; 0 is for ever."""
    session_seconds_of: Mapping[str, float] = field(default_factory=dict)
    """The same for single users, by lower-cased name."""
    bounds: Bounds = Bounds()

    def share(self, name: str) -> Share | None:
        """A share by name, whatever the case."""
        return self.shares.get(name.lower())


def share_table(*shares: Share) -> dict[str, Share]:
    """Shares by lower-cased name, IPC$ among them."""
    table = {share.name.lower(): share for share in shares}
    table.setdefault(IPC_SHARE.lower(), Share(IPC_SHARE, None))
    return table
