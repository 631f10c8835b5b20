"""A share in memory that fails as a file system fails, and checks how it is used.

Everything pure that `LocalStore` does with bytes of a client (names, expressions, EAs, security
descriptors, access masks) is done here by the same code; only the system calls are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from notify_server.fs import access, names, security, times, xattrs
from notify_server.fs.api import (
    Attributes,
    BasicInformation,
    Ea,
    Entry,
    Opened,
    OpenRequest,
    Stream,
    StreamKey,
    Volume,
)
from notify_server.notify.change import DirectoryDoomed, Event
from notify_server.notify.classes import Operation as Done
from notify_server.notify.classes import added, done, removed, renamed
from notify_server.wire.constants import (
    AccessMask,
    CreateAction,
    CreateDisposition,
    CreateOptions,
)
from notify_server.wire.fscc import FileAttributes, FileSystemAttributes
from notify_server.wire.status import NtStatus, StatusError

ROOT = "/share"
LARGEST_FILE = 4096
MOST_NODES = 64
_OPENING = (CreateDisposition.FILE_OPEN, CreateDisposition.FILE_OPEN_IF)
_MUST_EXIST = (CreateDisposition.FILE_OPEN, CreateDisposition.FILE_OVERWRITE)
_DEFAULT_DESCRIPTOR = security.default_descriptor(0, 0, directory=False)


class Node:
    """A file or directory."""

    __slots__ = ("data", "doomed", "eas", "is_directory", "number", "opens", "sd", "streams")

    def __init__(self, number: int, *, is_directory: bool) -> None:
        self.is_directory = is_directory
        self.number = number
        self.data = b""
        self.doomed = False
        self.opens = 0
        self.eas: dict[bytes, bytes] = {}
        self.streams: dict[str, bytes] = {}
        self.sd = _DEFAULT_DESCRIPTOR


class MemoryHandle:
    """`fs.api.Handle`."""

    __slots__ = (
        "closed", "credentials", "delete_on_close", "granted_access", "is_directory",
        "maximal_access", "node", "place", "stream", "watched",
    )  # fmt: skip

    def __init__(self, place: str, node: Node, stream: str, granted: AccessMask) -> None:
        self.place = place
        self.node = node
        self.stream = stream
        self.granted_access = granted
        self.maximal_access = AccessMask(access.ALL)
        self.is_directory = node.is_directory and not stream
        self.credentials: access.Credentials | None = None
        self.delete_on_close = False
        self.closed = False
        self.watched = False

    @property
    def key(self) -> StreamKey:
        return 0, self.node.number, self.stream.lower()

    @property
    def delete_pending(self) -> bool:
        return self.node.doomed

    @property
    def watch_key(self) -> str:
        return (ROOT + self.place) if self.watched else ""

    @property
    def path(self) -> str:
        relative = self.place.lstrip("/").replace("/", "\\")
        return f"{relative}:{self.stream}" if self.stream else relative


class MemoryFeed:
    """`fs.api.Feed`."""

    name = "memory"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def fileno(self) -> int:
        return -1

    def drain(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def close(self) -> None:
        pass


class MemoryStore:
    """`fs.api.Store`; asserts that no handle is used after its end."""

    def __init__(self, feed: MemoryFeed) -> None:
        self.feed = feed
        self.serial_number = 0x1234
        self.nodes: dict[str, Node] = {"": Node(1, is_directory=True)}
        self.handles: set[MemoryHandle] = set()
        self._number = 1

    def make(self, key: str, *, is_directory: bool) -> Node:
        self._number += 1
        node = self.nodes[key] = Node(self._number, is_directory=is_directory)
        return node

    def _live(self, handle: Any) -> MemoryHandle:
        assert isinstance(handle, MemoryHandle)
        assert not handle.closed, "a handle is used after it was closed"
        return handle

    def _parent(self, key: str) -> None:
        above = self.nodes.get(key.rpartition("/")[0])
        if above is None or not above.is_directory:
            raise StatusError(NtStatus.STATUS_OBJECT_PATH_NOT_FOUND)
        if above.doomed:
            raise StatusError(NtStatus.STATUS_DELETE_PENDING)

    def _tell(self, what: Done, key: str, name: str = "") -> None:
        directory, _, last = key.rpartition("/")
        self.feed.events.append(done(what, ROOT + directory, last + name))

    def open(self, request: OpenRequest) -> Opened:
        name = names.parse(request.path)
        key = "".join("/" + component for component in name.components)
        is_directory = bool(request.options & CreateOptions.FILE_DIRECTORY_FILE)
        for ea in request.eas:
            xattrs.check_ea(ea)
        granted = access.granted(int(request.desired_access), access.ALL)
        node = self.nodes.get(key)
        action = CreateAction.FILE_OPENED
        if node is None:
            if request.disposition in _MUST_EXIST:
                raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)
            self._parent(key)
            if len(self.nodes) >= MOST_NODES:
                raise StatusError(NtStatus.STATUS_DISK_FULL)
            node = self.make(key, is_directory=is_directory)
            node.sd = request.security_descriptor or node.sd
            action = CreateAction.FILE_CREATED
            directory, _, last = key.rpartition("/")
            self.feed.events.append(added(ROOT + directory, last, is_directory=is_directory))
        else:
            if node.doomed:
                raise StatusError(NtStatus.STATUS_DELETE_PENDING)
            if request.disposition == CreateDisposition.FILE_CREATE:
                raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
            if is_directory and not node.is_directory:
                raise StatusError(NtStatus.STATUS_NOT_A_DIRECTORY)
            if node.is_directory and request.options & CreateOptions.FILE_NON_DIRECTORY_FILE:
                raise StatusError(NtStatus.STATUS_FILE_IS_A_DIRECTORY)
            if request.before is not None:
                request.before((0, node.number, name.stream.lower()))
            if request.disposition not in _OPENING and not name.stream:
                if node.is_directory:
                    raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
                node.data = b""
                action = CreateAction.FILE_OVERWRITTEN
                self._tell(Done.OVERWRITTEN, key)
        if name.stream:
            node.streams.setdefault(name.stream, b"")
        handle = MemoryHandle(key, node, name.stream, granted)
        handle.delete_on_close = bool(request.options & CreateOptions.FILE_DELETE_ON_CLOSE)
        node.opens += 1
        self.handles.add(handle)
        return Opened(handle, action, self.attributes(handle))

    def close(self, handle: Any) -> None:
        live = self._live(handle)
        live.closed = True
        self.handles.remove(live)
        node = live.node
        node.opens -= 1
        if live.delete_on_close and not live.stream and live.place:
            node.doomed = True
        if node.doomed and not node.opens and self.nodes.get(live.place) is node:
            if node.is_directory and any(k.startswith(live.place + "/") for k in self.nodes):
                node.doomed = False
                return
            del self.nodes[live.place]
            directory, _, last = live.place.rpartition("/")
            self.feed.events.append(removed(ROOT + directory, last, is_directory=node.is_directory))

    def attributes(self, handle: Any) -> Attributes:
        live = self._live(handle)
        node = live.node
        size = len(node.streams.get(live.stream, b"") if live.stream else node.data)
        kind = (
            FileAttributes.FILE_ATTRIBUTE_DIRECTORY
            if live.is_directory
            else FileAttributes.FILE_ATTRIBUTE_ARCHIVE
        )
        return Attributes(1, 2, 3, 4, kind, size, size, 1, node.number, len(node.eas), node.doomed)

    def read(self, handle: Any, offset: int, length: int) -> bytes:
        live = self._live(handle)
        data = live.node.streams[live.stream] if live.stream else live.node.data
        return data[offset : offset + length]

    def write(self, handle: Any, offset: int, data: bytes) -> int:
        live = self._live(handle)
        if offset + len(data) > LARGEST_FILE:
            raise StatusError(NtStatus.STATUS_DISK_FULL)
        old = live.node.streams[live.stream] if live.stream else live.node.data
        new = old.ljust(offset, b"\0")[:offset] + data + old[offset + len(data) :]
        if live.stream:
            live.node.streams[live.stream] = new
            self._tell(Done.STREAM_WRITTEN, live.place, ":" + live.stream)
        else:
            live.node.data = new
            self._tell(Done.WRITTEN, live.place)
        return len(data)

    def flush(self, handle: Any) -> None:
        self._live(handle)

    def set_end_of_file(self, handle: Any, size: int) -> None:
        live = self._live(handle)
        if size > LARGEST_FILE:
            raise StatusError(NtStatus.STATUS_DISK_FULL)
        live.node.data = live.node.data[:size].ljust(size, b"\0")
        self._tell(Done.RESIZED, live.place)

    def set_allocation_size(self, handle: Any, size: int) -> None:
        live = self._live(handle)
        if size < len(live.node.data):
            self.set_end_of_file(live, size)

    def set_basic(self, handle: Any, information: BasicInformation) -> None:
        self._live(handle)
        for value in (information.last_write_time, information.creation_time):
            if times.signed(value) > 0:
                times.to_ns(times.signed(value))

    def set_delete_pending(self, handle: Any, pending: bool) -> None:
        live = self._live(handle)
        if not live.place:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        if pending != live.node.doomed:
            live.node.doomed = pending
            if live.node.is_directory:
                self.feed.events.append(DirectoryDoomed(ROOT + live.place, undone=not pending))

    def rename(self, handle: Any, path: str, replace: bool) -> None:
        live = self._live(handle)
        name = names.parse(path)
        if live.stream or name.stream or not name.components or not live.place:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_INVALID)
        new = "".join("/" + component for component in name.components)
        if new == live.place:
            return
        self._parent(new)
        there = self.nodes.get(new)
        if (there is not None and (not replace or there.opens)) or new.startswith(live.place + "/"):
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        old = live.place
        for key in [k for k in self.nodes if k == old or k.startswith(old + "/")]:
            self.nodes[new + key[len(old) :]] = self.nodes.pop(key)
        for other in self.handles:
            if other.place == old or other.place.startswith(old + "/"):
                other.place = new + other.place[len(old) :]
        old_directory, _, old_name = old.rpartition("/")
        directory, _, last = new.rpartition("/")
        self.feed.events += renamed(
            ROOT + old_directory, old_name, ROOT + directory, last,
            is_directory=live.node.is_directory,
        )  # fmt: skip

    def link(self, handle: Any, path: str, replace: bool) -> None:
        self._live(handle)
        names.parse(path)
        raise StatusError(NtStatus.STATUS_NOT_SUPPORTED)

    def names(self, handle: Any, pattern: str, limit: int) -> list[str]:
        live = self._live(handle)
        wanted = names.Expression(pattern)
        inside = live.place + "/"
        found = [
            key[len(inside) :]
            for key in self.nodes
            if key.startswith(inside) and "/" not in key[len(inside) :]
        ]
        found = [name for name in [".", "..", *found] if wanted.matches(name)]
        if len(found) > limit:
            raise StatusError(NtStatus.STATUS_INSUFFICIENT_RESOURCES)
        return found

    def entries(self, handle: Any, names: Iterable[str]) -> Iterator[Entry | None]:
        live = self._live(handle)
        for name in names:
            there = name in (".", "..") or f"{live.place}/{name}" in self.nodes
            yield Entry(name, self.attributes(handle)) if there else None

    def eas(self, handle: Any) -> list[Ea]:
        return [Ea(name, value) for name, value in self._live(handle).node.eas.items()]

    def set_eas(self, handle: Any, eas: Sequence[Ea]) -> None:
        live = self._live(handle)
        for ea in eas:
            xattrs.check_ea(ea)
        for ea in eas[:16]:
            live.node.eas[ea.name] = ea.value
        self._tell(Done.EA_CHANGED, live.place)

    def streams(self, handle: Any) -> list[Stream]:
        node = self._live(handle).node
        return [
            Stream("::$DATA", len(node.data), len(node.data)),
            *(Stream(xattrs.stream_label(n), len(v), len(v)) for n, v in node.streams.items()),
        ]

    def security_descriptor(self, handle: Any, information: int) -> bytes:
        return security.select(self._live(handle).node.sd, information)

    def set_security_descriptor(self, handle: Any, information: int, sd: bytes) -> None:
        node = self._live(handle).node
        node.sd = security.merge(node.sd, information, sd)

    def volume(self) -> Volume:
        attributes = FileSystemAttributes.FILE_CASE_PRESERVED_NAMES
        return Volume("MEM", self.serial_number, 1, 1000, 500, 8, 512, 255, "NTFS", attributes)

    def watch(self, handle: Any, tree: bool) -> str:
        live = self._live(handle)
        if live.node.doomed:
            raise StatusError(NtStatus.STATUS_DELETE_PENDING)
        live.watched = True
        return ROOT + live.place
