"""CREATE and CLOSE (3.3.5.9, 3.3.5.10)."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Final

from notify_server.core.ea import parse_full_ea
from notify_server.core.model import Open
from notify_server.core.oplocks import OplockHeldError
from notify_server.core.outcome import Job, JobResult, Outcome, Reply, Wait
from notify_server.fs.access import Credentials
from notify_server.fs.api import Attributes, Opened, OpenRequest, Store, StreamKey
from notify_server.wire import create as wire
from notify_server.wire.constants import (
    AccessMask,
    CloseFlags,
    CreateAction,
    CreateDisposition,
    CreateOptions,
    ImpersonationLevel,
    OplockLevel,
)
from notify_server.wire.file_io import CloseRequest, pack_close_response
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

_MXAC: Final = Struct("<II")
_QFID: Final = Struct("<QQ16x")
_U64: Final = Struct("<Q")
_WRITING: Final = int(
    AccessMask.FILE_WRITE_DATA
    | AccessMask.FILE_APPEND_DATA
    | AccessMask.FILE_WRITE_EA
    | AccessMask.FILE_DELETE_CHILD
    | AccessMask.FILE_WRITE_ATTRIBUTES
    | AccessMask.DELETE
    | AccessMask.WRITE_DAC
    | AccessMask.WRITE_OWNER
    | AccessMask.GENERIC_ALL
    | AccessMask.GENERIC_WRITE
)
_MUST_EXIST: Final = frozenset({CreateDisposition.FILE_OPEN, CreateDisposition.FILE_OVERWRITE})
_OVERWRITTEN: Final = frozenset({CreateAction.FILE_SUPERSEDED, CreateAction.FILE_OVERWRITTEN})
_READING: Final = frozenset({CreateDisposition.FILE_OPEN, CreateDisposition.FILE_OPEN_IF})
_MAXIMUM_ALLOWED: Final = int(AccessMask.MAXIMUM_ALLOWED)
_ATTRIBUTES: Final = 0x00007FB7  # what [MS-FSCC] 2.6 allows a client to send
_SYNCHRONIZE: Final = int(AccessMask.SYNCHRONIZE)
_RESERVED_ACCESS: Final = 0x0CE0FE00
_RESERVED_OPTIONS: Final = 0xFF000000
_UNSUPPORTED_OPTIONS: Final = int(
    0x00000080  # FILE_CREATE_TREE_CONNECTION, which SMB2 never had
    | CreateOptions.FILE_OPEN_BY_FILE_ID
    | CreateOptions.FILE_RESERVE_OPFILTER
)
_DELETE_ON_CLOSE: Final = int(CreateOptions.FILE_DELETE_ON_CLOSE)
_SHARE_ALL: Final = 7
_OPEN: Final = int(CreateDisposition.FILE_OPEN)
_LAST_DISPOSITION: Final = int(CreateDisposition.FILE_OVERWRITE_IF)
_DELEGATE: Final = int(ImpersonationLevel.DELEGATE)
_POSTQUERY: Final = int(CloseFlags.SMB2_CLOSE_FLAG_POSTQUERY_ATTRIB)
_NO_OPLOCK: Final = int(OplockLevel.SMB2_OPLOCK_LEVEL_NONE)


def create(request: Request) -> Outcome:
    """Open or create what the name says; no lease and no durable handle is ever granted."""
    body = wire.CreateRequest.parse(request.message)
    tree = request.valid_tree
    store = tree.share.store
    if store is None:
        # IPC$ has no pipe at all.
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)
    server = request.connection.server
    bounds = server.config.bounds
    if len(request.valid_session.opens) >= bounds.opens or server.handles >= bounds.all_opens:
        raise StatusError(NtStatus.STATUS_TOO_MANY_OPENED_FILES)
    identity = request.valid_session.identity
    user = identity.user.lower() if identity is not None else ""
    if identity is not None and identity.anonymous:
        return _look_for_nobody(store, body)
    credentials = server.config.credentials.get(user)
    gate = server.oplocks.gate(body.desired_access, body.create_disposition)
    wanted = _open_request(body, credentials, gate, read_only=tree.share.read_only)

    # Counted from here on, as many may be opened in threads at the same time.
    server.handles += 1

    def work() -> Opened | OplockHeldError:
        try:
            return store.open(wanted)
        except OplockHeldError as held:
            return held

    def then(result: Opened | OplockHeldError) -> Outcome:
        if not isinstance(result, OplockHeldError):
            return _opened(request, body, result)
        server.handles -= 1
        held = server.oplocks.held(result.key, body.desired_access, body.create_disposition)
        return _after_break(request, body, held, lambda: create(request))

    def failed() -> None:
        server.handles -= 1

    return Job(work, then, failed=failed)


def _look_for_nobody(store: Store, body: wire.CreateRequest) -> Outcome:
    """A session that turned anonymous keeps what is open, and learns no more than what is there."""
    if body.create_disposition not in _MUST_EXIST:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    wanted = OpenRequest(body.name, AccessMask.FILE_READ_ATTRIBUTES)

    def work() -> None:
        store.close(store.open(wanted).handle)

    def then(_: None) -> Outcome:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)

    return Job(work, then)


def _open_request(
    body: wire.CreateRequest,
    credentials: Credentials | None,
    gate: Callable[[StreamKey], None] | None,
    *,
    read_only: bool,
) -> OpenRequest:
    """Check what needs no file system, and put the request in the store's terms."""
    if body.name.startswith("\\"):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if body.impersonation_level > _DELEGATE:
        raise StatusError(NtStatus.STATUS_BAD_IMPERSONATION_LEVEL)
    if body.create_options & _UNSUPPORTED_OPTIONS:
        raise StatusError(NtStatus.STATUS_NOT_SUPPORTED)
    if body.desired_access & _RESERVED_ACCESS or not body.desired_access & ~_SYNCHRONIZE:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if (
        body.create_options & _RESERVED_OPTIONS
        or body.create_disposition > _LAST_DISPOSITION
        or body.share_access & ~_SHARE_ALL
        or body.file_attributes & ~_ATTRIBUTES
    ):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if wire.SMB2_CREATE_TIMEWARP_TOKEN in body.contexts:
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)
    if wire.SMB2_CREATE_DURABLE_HANDLE_RECONNECT in body.contexts or (
        wire.SMB2_CREATE_DURABLE_HANDLE_RECONNECT_V2 in body.contexts
    ):
        raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)
    disposition = body.create_disposition
    access = body.desired_access
    if read_only:
        deletes = body.create_options & _DELETE_ON_CLOSE
        if access & _WRITING or deletes or disposition not in _READING:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        disposition = _OPEN
    allocation = body.contexts.get(wire.SMB2_CREATE_ALLOCATION_SIZE, b"")
    eas = body.contexts.get(wire.SMB2_CREATE_EA_BUFFER, b"")
    return OpenRequest(
        path=body.name,
        desired_access=access,
        share_access=body.share_access,
        disposition=disposition,
        options=body.create_options,
        attributes=body.file_attributes,
        allocation_size=_U64.unpack(allocation)[0] if len(allocation) == _U64.size else 0,
        eas=parse_full_ea(eas) if eas else (),
        security_descriptor=body.contexts.get(wire.SMB2_CREATE_SD_BUFFER, b""),
        credentials=credentials,
        before=gate,
    )


def _opened(request: Request, body: wire.CreateRequest, result: Opened) -> Outcome:
    tree = request.valid_tree
    session = request.valid_session
    server = request.connection.server
    assert tree.share.store is not None
    attributes = result.attributes
    granted = result.handle.granted_access
    if tree.share.read_only and body.desired_access & _MAXIMUM_ALLOWED:
        granted &= int(tree.share.maximal_access)
    opened = Open(
        server.next_open_number(),
        tree,
        tree.share.store,
        result.handle,
        granted,
        result.handle.is_directory,
        body.create_options,
        attributes.index_number,
    )
    if session.logged_off or session.trees.get(tree.tree_id) is not tree:
        # The session or the tree went away while the job was.
        server.close_open(opened, request.now)
        raise StatusError(NtStatus.STATUS_NETWORK_NAME_DELETED)
    session.opens[opened.number] = opened
    request.chain.file_id = opened.file_id
    request.chain.failed_create = None
    if opened.is_directory:
        return _respond(body, opened, result)
    # Another open may have been granted an oplock while this one's job was away.
    held = server.oplocks.held(opened.handle.key, granted, body.create_disposition)
    requested = body.requested_oplock_level if server.config.oplocks else _NO_OPLOCK
    server.oplocks.add(opened, requested)
    if result.action in _OVERWRITTEN:
        server.oplocks.written(opened)
    if held is not None:
        return _after_break(
            request,
            body,
            held,
            lambda: _respond(body, opened, result),
            lambda: server.close_open(opened, request.now),
        )
    return _respond(body, opened, result)


def _after_break(
    request: Request,
    body: wire.CreateRequest,
    held: Open | None,
    then: Callable[[], Outcome],
    failed: Callable[[], None] = lambda: None,
) -> Outcome:
    """Have an oplock broken, and go on when its owner has answered; `failed`: never go on."""
    connection = request.connection

    def go_on_unless(ended: bool, status: NtStatus) -> None:
        if ended:
            failed()
            raise StatusError(status)

    def settled(_: None) -> Outcome:
        # Between its turn and this moment it may have been cancelled all the same.
        go_on_unless(request.cancelled or connection.closing, NtStatus.STATUS_CANCELLED)
        return then()

    go_on_unless(request.cancelled, NtStatus.STATUS_CANCELLED)
    if held is None:  # it was broken, or closed, meanwhile
        return then()
    crowded = not request.async_id and not connection.room_to_wait
    go_on_unless(crowded, NtStatus.STATUS_INSUFFICIENT_RESOURCES)
    queue: list[Callable[[JobResult, float], None]] = []
    connection.server.oplocks.wait(held, body.create_disposition, queue, request.now)
    return Wait(queue, settled, long=True, failed=failed)


def _respond(body: wire.CreateRequest, opened: Open, result: Opened) -> Outcome:
    attributes = result.attributes
    return Reply(
        wire.CreateResponse(
            opened.oplock_level,
            result.action,
            _times(attributes),
            attributes.allocation_size,
            attributes.end_of_file,
            attributes.file_attributes,
            opened.file_id,
            _answers(body, opened, attributes) if body.contexts else (),
        ).pack()
    )


def _answers(
    body: wire.CreateRequest, opened: Open, attributes: Attributes
) -> list[tuple[bytes, bytes]]:
    """Contexts of the response (2.2.14.2); those that are not understood are passed over."""
    answers = []
    maximal = opened.handle.maximal_access & int(opened.tree.share.maximal_access)
    if wire.SMB2_CREATE_QUERY_MAXIMAL_ACCESS_REQUEST in body.contexts:
        answers.append((wire.SMB2_CREATE_QUERY_MAXIMAL_ACCESS_REQUEST, _MXAC.pack(0, maximal)))
    if wire.SMB2_CREATE_QUERY_ON_DISK_ID in body.contexts:
        disk_id = _QFID.pack(attributes.index_number, opened.store.serial_number)
        answers.append((wire.SMB2_CREATE_QUERY_ON_DISK_ID, disk_id))
    return answers


def _times(attributes: Attributes) -> tuple[int, int, int, int]:
    return (
        attributes.creation_time,
        attributes.last_access_time,
        attributes.last_write_time,
        attributes.change_time,
    )


def close(request: Request) -> Outcome:
    """Close an Open; with POSTQUERY_ATTRIB say what the file was like at the end.

    Who has the response may count on it: share modes no longer hold, what was to be deleted is.
    """
    body = CloseRequest.parse(request.message)
    opened = request.open(body.file_id)
    server = request.connection.server
    if not body.flags & _POSTQUERY:
        server.close_open(opened, request.now)
        return _once_closed(opened, Reply(pack_close_response()))

    def attributes() -> Attributes | None:
        """None where they cannot be read: it is closed all the same (3.3.5.10)."""
        try:
            return opened.store.attributes(opened.handle)
        except StatusError:
            return None

    def then(attributes: Attributes | None) -> Outcome:
        server.close_open(opened, request.now)
        if attributes is None:
            return _once_closed(opened, Reply(pack_close_response()))
        reply = Reply(
            pack_close_response(
                _POSTQUERY,
                _times(attributes),
                attributes.allocation_size,
                attributes.end_of_file,
                attributes.file_attributes,
            )
        )
        return _once_closed(opened, reply)

    request.busy = opened
    return Job(attributes, then)


def _once_closed(opened: Open, reply: Reply) -> Outcome:
    """Reply when the store has closed the handle, which may take a thread a while."""
    return reply if opened.closing is None else Wait(opened.closing, lambda _: reply)
