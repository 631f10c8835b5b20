"""What the core may ask of a share's directory.

All calls are synchronous, may run in any thread, and raise `StatusError` with the status that the
client is to be given; operating-system errors are mapped in one table (`errors`). Times are
FILETIMEs: 100 ns units since 1601-01-01 UTC ([MS-DTYP] 2.3.3). Names are those of the wire: `\\`
between components, and `:` before a stream.

A store also keeps what must be decided together with the file system and under one lock: share
modes, delete pending, deletion at the last close. And it tells: each call that changes something
hands the exact event to the change feed before it returns, so the core never publishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from notify_server.fs.access import Credentials
from notify_server.notify.change import Event
from notify_server.wire.constants import (
    CreateAction,
    CreateDisposition,
)
from notify_server.wire.fscc import FileAttributes, FileSystemAttributes

_DIRECTORY: Final = int(FileAttributes.FILE_ATTRIBUTE_DIRECTORY)


StreamKey = tuple[int, int, str]
"""Which stream of which file, whatever it is called and in whatever share: device, inode, stream's
name, `""` for the file's data."""


@dataclass(frozen=True, slots=True)
class Ea:
    """One extended attribute ([MS-FSCC] 2.4.16); an empty value deletes it."""

    name: bytes
    value: bytes
    flags: int = 0


class OpenRequest(NamedTuple):
    """What CREATE asks of the file system ([MS-SMB2] 2.2.13; [MS-FSA] 2.1.5.1).

    Bits are plain numbers here and in `Handle` and `Attributes`: arithmetic with IntFlags is 40
    times as slow, and every open does much of it.
    """

    path: str
    desired_access: int
    """AccessMask bits."""
    share_access: int = 7
    """ShareAccess bits."""
    disposition: int = CreateDisposition.FILE_OPEN
    """A CreateDisposition."""
    options: int = 0
    """CreateOptions bits."""
    attributes: int = 0
    """FileAttributes bits."""
    allocation_size: int = 0
    eas: Sequence[Ea] = ()
    security_descriptor: bytes = b""
    credentials: Credentials | None = None
    """Who asks, where that is not whoever runs the server."""
    before: Callable[[StreamKey], None] | None = None
    """Called, in whatever thread, with what is there and is about to be opened; the file is as it
    was if this raises."""


class Attributes(NamedTuple):
    """What is known of a file or stream; the sum of several information classes."""

    creation_time: int
    last_access_time: int
    last_write_time: int
    change_time: int
    file_attributes: int
    """FileAttributes bits."""
    end_of_file: int
    allocation_size: int
    number_of_links: int
    index_number: int
    ea_size: int
    delete_pending: bool = False

    @property
    def directory(self) -> bool:
        return bool(self.file_attributes & _DIRECTORY)


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory, with its attributes."""

    name: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Stream:
    """One data stream of a file ([MS-FSCC] 2.4.43); `name` is `::$DATA` or `:name:$DATA`."""

    name: str
    size: int
    allocation_size: int


@dataclass(frozen=True, slots=True)
class BasicInformation:
    """FileBasicInformation to set ([MS-FSCC] 2.4.7).

    0 leaves a field as it is; time -1 also stops it from following later operations on the
    handle, -2 lets it follow them again.
    """

    creation_time: int = 0
    last_access_time: int = 0
    last_write_time: int = 0
    change_time: int = 0
    file_attributes: FileAttributes = FileAttributes(0)  # noqa: RUF009


@dataclass(frozen=True, slots=True)
class Volume:
    """The file system under a share ([MS-FSCC] 2.5)."""

    label: str
    serial_number: int
    creation_time: int
    total_units: int
    available_units: int
    sectors_per_unit: int
    bytes_per_sector: int
    maximum_name_length: int
    file_system_name: str
    attributes: FileSystemAttributes


class Handle(Protocol):
    """An open file, directory or stream; opaque but for these."""

    @property
    def granted_access(self) -> int:
        """The access that was asked for, generic bits and MAXIMUM_ALLOWED resolved."""

    @property
    def maximal_access(self) -> int:
        """What this client could get on the file (the MxAc create context)."""

    @property
    def is_directory(self) -> bool: ...

    @property
    def credentials(self) -> Credentials | None:
        """Whose rights it was opened with; None: this process'."""

    @property
    def delete_pending(self) -> bool:
        """Whether the file goes with its last handle."""

    @property
    def watch_key(self) -> str:
        """Key of the directory as the feed speaks of it now; "" before `Store.watch`."""

    @property
    def key(self) -> StreamKey:
        """What it is a handle of."""

    @property
    def path(self) -> str:
        """Where it was opened, relative to the share, as it is spelled on disk, in characters
        that the wire has; follows renames made through a store."""


class Opened(NamedTuple):
    """Result of `Store.open`."""

    handle: Handle
    action: CreateAction
    attributes: Attributes


class Store(Protocol):
    """One share."""

    @property
    def serial_number(self) -> int:
        """Of its volume; known without asking the file system."""

    def open(self, request: OpenRequest) -> Opened:
        """Open, create, overwrite or supersede ([MS-FSA] 2.1.5.1), share modes included."""

    def close(self, handle: Handle) -> None:
        """Close; the last one of a file that is to be deleted deletes it. Never raises."""

    def attributes(self, handle: Handle) -> Attributes: ...

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Up to `length` bytes; none at or beyond the end (the core says END_OF_FILE)."""

    def write(self, handle: Handle, offset: int, data: bytes) -> int: ...

    def flush(self, handle: Handle) -> None: ...

    def set_end_of_file(self, handle: Handle, size: int) -> None: ...

    def set_allocation_size(self, handle: Handle, size: int) -> None:
        """Reserve; a size below the end of file truncates ([MS-FSA] 2.1.5.15.1)."""

    def set_basic(self, handle: Handle, information: BasicInformation) -> None: ...

    def set_delete_pending(self, handle: Handle, pending: bool) -> None:
        """FileDispositionInformation; DIRECTORY_NOT_EMPTY and CANNOT_DELETE are said here."""

    def rename(self, handle: Handle, path: str, replace: bool) -> None:
        """To `path` in the same share ([MS-FSA] 2.1.5.15.11); `:name` renames a stream."""

    def link(self, handle: Handle, path: str, replace: bool) -> None: ...

    def names(self, handle: Handle, pattern: str, limit: int) -> list[str]:
        """What is in a directory now, `.` and `..` first, filtered by an expression
        ([MS-FSA] 2.1.4.4); for `entries`. INSUFFICIENT_RESOURCES if it is more than `limit`."""

    def entries(self, handle: Handle, names: Iterable[str]) -> Iterator[Entry | None]:
        """For each of `names` what is known of it now; None for one that is no more."""

    def eas(self, handle: Handle) -> list[Ea]: ...

    def set_eas(self, handle: Handle, eas: Sequence[Ea]) -> None: ...

    def streams(self, handle: Handle) -> list[Stream]: ...

    def security_descriptor(self, handle: Handle, information: int) -> bytes:
        """Self-relative ([MS-DTYP] 2.4.6), the parts that SecurityInformation bits name."""

    def set_security_descriptor(self, handle: Handle, information: int, sd: bytes) -> None: ...

    def volume(self) -> Volume: ...

    def may_list(self, handle: Handle, key: str) -> bool:
        """Whether who opened `handle` may know the names in a directory below it.

        `key` is the directory as the feed speaks of it. Cheap, and never raises.
        """

    def watch(self, handle: Handle, tree: bool) -> str:
        """See changes below a directory from now on, until `close`; returns its key.

        The first call on a handle counts. Never fails for want of resources: a directory that
        cannot be watched makes the feed say `ChangesLost` for it.
        """


class Feed(Protocol):
    """Changes of all stores of a server, made over SMB or beside it, in the order of the kernel."""

    name: str
    """The source behind it, for the log: `inotify`, `fanotify`."""

    def fileno(self) -> int:
        """Readable when `drain` has something that no store's call brought."""

    def drain(self) -> list[Event]:
        """What has happened. Call after each job on a store, and when `fileno` is readable."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FeedBounds:
    """How much a feed asks of the kernel, and what it may lose."""

    directories: int = 1 << 20
    """Directories watched at once; beyond it WATCH_TREE degrades to enumeration."""
    retry_seconds: float = 5.0
    """How often a watch that could not be had is tried again, and said to have lost changes."""

    def __post_init__(self) -> None:
        for name in ("directories", "retry_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: must be greater than 0")


@dataclass(slots=True)
class FeedStatistics:
    """Counters for logs and tests."""

    directories: int = 0
    events: int = 0
    echoes: int = 0
    overflows: int = 0
    failures: list[str] = field(default_factory=list)
