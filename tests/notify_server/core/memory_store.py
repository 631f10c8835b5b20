"""A share in memory: enough of `fs.api.Store` for the core's tests, and faults on demand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from notify_server.fs.access import Credentials
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
from notify_server.notify.change import Change, Event, Report
from notify_server.wire.constants import (
    AccessMask,
    CompletionFilter,
    CreateAction,
    CreateDisposition,
    CreateOptions,
)
from notify_server.wire.fscc import FileAttributes, FileSystemAttributes, NotifyAction
from notify_server.wire.status import NtStatus, StatusError

_EVERYTHING = AccessMask(0x001F01FF)
_OVERWRITING = (
    CreateDisposition.FILE_SUPERSEDE,
    CreateDisposition.FILE_OVERWRITE,
    CreateDisposition.FILE_OVERWRITE_IF,
)


@dataclass
class Node:
    """A file or directory."""

    is_directory: bool
    number: int
    data: bytearray = field(default_factory=bytearray)


@dataclass(eq=False)
class MemoryHandle:
    """`fs.api.Handle`."""

    path: str
    node: Node
    granted_access: AccessMask
    delete_on_close: bool = False
    maximal_access: AccessMask = _EVERYTHING
    closed: bool = False
    delete_pending: bool = False
    watch_key: str = ""
    credentials: Credentials | None = None

    @property
    def key(self) -> StreamKey:
        return 0, self.node.number, ""

    @property
    def is_directory(self) -> bool:
        return self.node.is_directory


class MemoryFeed:
    """`fs.api.Feed`: what the store, or a test, put in."""

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

    def added(self, path: str, mask: CompletionFilter) -> None:
        """A name appeared."""
        self.report(path, NotifyAction.FILE_ACTION_ADDED, mask)

    def report(self, path: str, action: NotifyAction, mask: CompletionFilter) -> None:
        """One record's worth of change."""
        directory, _, name = path.rpartition("\\")
        self.events.append(Change((Report(key_of(directory), name, action, mask),)))


def key_of(path: str) -> str:
    """The key of a directory, as LocalStore would make it."""
    return "/share" + ("/" + path.replace("\\", "/") if path else "")


class MemoryStore:
    """`fs.api.Store`."""

    def __init__(self, feed: MemoryFeed) -> None:
        self.feed = feed
        self.serial_number = 0x1234
        self.nodes: dict[str, Node] = {"": Node(True, 1)}
        self.handles: list[MemoryHandle] = []
        self.fail: dict[str, NtStatus] = {}
        self.private: set[str] = set()  # directories that no user with credentials may list

    def _check(self, operation: str) -> None:
        if operation in self.fail:
            raise StatusError(self.fail[operation])

    def make(self, path: str, data: bytes | None = None) -> None:
        """Put a directory, or with `data` a file, without telling anybody."""
        self.nodes[path] = Node(data is None, len(self.nodes) + 1, bytearray(data or b""))

    def open(self, request: OpenRequest) -> Opened:
        self._check("open")
        node = self.nodes.get(request.path)
        if node is not None and request.before is not None:
            request.before((0, node.number, ""))
        action = CreateAction.FILE_OPENED
        if node is None:
            if request.disposition in (
                CreateDisposition.FILE_OPEN,
                CreateDisposition.FILE_OVERWRITE,
            ):
                raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)
            directory = bool(request.options & CreateOptions.FILE_DIRECTORY_FILE)
            node = self.nodes[request.path] = Node(directory, len(self.nodes) + 1)
            action = CreateAction.FILE_CREATED
            self.feed.added(
                request.path,
                CompletionFilter.FILE_NOTIFY_CHANGE_DIR_NAME
                if directory
                else CompletionFilter.FILE_NOTIFY_CHANGE_FILE_NAME,
            )
        elif request.disposition == CreateDisposition.FILE_CREATE:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        elif request.disposition in _OVERWRITING:
            node.data.clear()
            action = CreateAction.FILE_OVERWRITTEN
        access = request.desired_access
        if access & (AccessMask.MAXIMUM_ALLOWED | AccessMask.GENERIC_ALL):
            access = _EVERYTHING
        doomed = bool(request.options & CreateOptions.FILE_DELETE_ON_CLOSE)
        handle = MemoryHandle(request.path, node, access, doomed, credentials=request.credentials)
        self.handles.append(handle)
        return Opened(handle, action, self.attributes(handle))

    def close(self, handle: MemoryHandle) -> None:
        assert not handle.closed, "closed twice"
        handle.closed = True
        self.handles.remove(handle)
        if handle.delete_on_close:
            del self.nodes[handle.path]
            self.feed.report(
                handle.path,
                NotifyAction.FILE_ACTION_REMOVED,
                CompletionFilter.FILE_NOTIFY_CHANGE_FILE_NAME,
            )

    def attributes(self, handle: MemoryHandle) -> Attributes:
        self._check("attributes")
        node = handle.node
        kind = (
            FileAttributes.FILE_ATTRIBUTE_DIRECTORY
            if node.is_directory
            else FileAttributes.FILE_ATTRIBUTE_ARCHIVE
        )
        size = len(node.data)
        return Attributes(1, 2, 3, 4, kind, size, size, 1, node.number, 0)

    def read(self, handle: MemoryHandle, offset: int, length: int) -> bytes:
        self._check("read")
        assert not handle.closed
        return bytes(handle.node.data[offset : offset + length])

    def write(self, handle: MemoryHandle, offset: int, data: bytes) -> int:
        self._check("write")
        assert not handle.closed
        node = handle.node
        node.data.extend(b"\0" * (offset - len(node.data)))
        node.data[offset : offset + len(data)] = data
        return len(data)

    def flush(self, handle: MemoryHandle) -> None:
        self._check("flush")

    def set_end_of_file(self, handle: MemoryHandle, size: int) -> None:
        data = handle.node.data
        data[size:] = b""
        data.extend(b"\0" * (size - len(data)))

    def set_allocation_size(self, handle: MemoryHandle, size: int) -> None:
        pass

    def set_basic(self, handle: MemoryHandle, information: BasicInformation) -> None:
        pass

    def set_delete_pending(self, handle: MemoryHandle, pending: bool) -> None:
        handle.delete_on_close = pending

    def rename(self, handle: MemoryHandle, path: str, replace: bool) -> None:
        if path in self.nodes and not replace:
            raise StatusError(NtStatus.STATUS_OBJECT_NAME_COLLISION)
        self.nodes[path] = self.nodes.pop(handle.path)
        for other in self.handles:
            if other.node is handle.node:
                other.path = path

    def link(self, handle: MemoryHandle, path: str, replace: bool) -> None:
        self.nodes[path] = handle.node

    def names(self, handle: MemoryHandle, pattern: str, limit: int) -> list[str]:
        self._check("names")
        prefix = handle.path + "\\" if handle.path else ""
        names = [
            path.removeprefix(prefix)
            for path in self.nodes
            if path and path.startswith(prefix) and "\\" not in path.removeprefix(prefix)
        ]
        if pattern != "*":
            names = [name for name in names if name == pattern]
        else:
            names = [".", "..", *names]
        if len(names) > limit:
            raise StatusError(NtStatus.STATUS_INSUFFICIENT_RESOURCES)
        return names

    def entries(self, handle: MemoryHandle, names: Iterable[str]) -> Iterator[Entry | None]:
        self._check("entries")
        prefix = handle.path + "\\" if handle.path else ""
        for name in names:
            there = name in (".", "..") or prefix + name in self.nodes
            yield Entry(name, self.attributes(handle)) if there else None

    def eas(self, handle: MemoryHandle) -> list[Ea]:
        return [Ea(b"ONE", b"1"), Ea(b"TWO", b"22")]

    def set_eas(self, handle: MemoryHandle, eas: Sequence[Ea]) -> None:
        pass

    def streams(self, handle: MemoryHandle) -> list[Stream]:
        return [Stream("::$DATA", len(handle.node.data), 4096)]

    def security_descriptor(self, handle: MemoryHandle, information: int) -> bytes:
        return b"S" * 20

    def set_security_descriptor(self, handle: MemoryHandle, information: int, sd: bytes) -> None:
        pass

    def volume(self) -> Volume:
        attributes = FileSystemAttributes.FILE_CASE_PRESERVED_NAMES
        return Volume("MEM", self.serial_number, 1, 1000, 500, 8, 512, 255, "NTFS", attributes)

    def may_list(self, handle: MemoryHandle, key: str) -> bool:
        return handle.credentials is None or key not in self.private

    def watch(self, handle: MemoryHandle, tree: bool) -> str:
        self._check("watch")
        return key_of(handle.path)
