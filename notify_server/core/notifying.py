"""CHANGE_NOTIFY (3.3.5.19): checks here; when it completes, and with what, is `notify.table`'s."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from notify_server.core.model import Open, ParkedRequest
from notify_server.core.negotiation import io_size
from notify_server.core.outcome import PARKED, Job, Outcome, Reply, Wait
from notify_server.wire.change_notify import (
    ChangeNotifyRequest,
    pack_change_notify_response,
)
from notify_server.wire.constants import AccessMask, Command, NotifyFlags
from notify_server.wire.error import ERROR_BODY
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

_LIST: Final = int(AccessMask.FILE_LIST_DIRECTORY)
_WATCH_TREE: Final = int(NotifyFlags.SMB2_WATCH_TREE)


def change_notify(request: Request) -> Outcome:
    """Validate in the order of 3.3.5.19, see to it that the directory is watched, and arm."""
    body = ChangeNotifyRequest.parse(request.message)
    connection = request.connection
    opened = request.open(body.file_id)
    if body.output_buffer_length > io_size(connection):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    request.check_charge(body.output_buffer_length)
    if not opened.is_directory:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if not opened.granted_access & _LIST:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if not request.valid_tree.share.notify:
        # Windows repeats at once what is NOT_SUPPORTED; on this it falls back to polling.
        raise StatusError(NtStatus.STATUS_NOT_IMPLEMENTED)
    if not request.is_last:
        raise StatusError(NtStatus.STATUS_INTERNAL_ERROR)
    tree = bool(body.flags & _WATCH_TREE)
    if tree and request.valid_tree.share.may_hang and _sees(opened) is not None:
        # Who may see which directory would have to be asked for each change, and not here.
        raise StatusError(NtStatus.STATUS_NOT_IMPLEMENTED)
    if opened.watch_key is not None:
        return _arm(request, opened, body, opened.watch_key)
    if opened.turn is not None:
        return Wait(opened.turn, lambda _: change_notify(request))

    def then(key: str) -> Outcome:
        opened.watch_key = key
        return _arm(request, opened, body, key)

    # A large tree takes a while to watch. What comes behind waits, so that the first request is
    # the one that fixes filter, tree flag and size.
    request.take_turn(opened)
    return Job(lambda: opened.store.watch(opened.handle, tree), then, light=not tree)


def _sees(opened: Open) -> Callable[[str], bool] | None:
    """What decides which directories below the watched one are told of; None: all.

    It goes by who opened the directory: the session may have turned into nobody's since.
    """
    if opened.handle.credentials is None:
        return None
    return lambda key: opened.store.may_list(opened.handle, key)


def _arm(request: Request, opened: Open, body: ChangeNotifyRequest, key: str) -> Outcome:
    """Hand the request to the watch table: answered at once, or parked.

    Between the request and this moment its job may have been away: its handle may be closed by
    now, and it may be cancelled. A cancelled first request still begins the watch.
    """
    connection = request.connection
    server = connection.server
    session = request.valid_session
    if opened.closed:
        return Reply(ERROR_BODY, NtStatus.STATUS_NOTIFY_CLEANUP)
    if opened.handle.delete_pending:
        # Doomed while the job was away: the table was told before it had this watch.
        raise StatusError(NtStatus.STATUS_DELETE_PENDING)
    if not connection.room_to_wait:
        raise StatusError(NtStatus.STATUS_INSUFFICIENT_RESOURCES)
    parked = ParkedRequest(
        connection,
        session,
        opened,
        Command.SMB2_CHANGE_NOTIFY,
        request.header.message_id,
        connection.new_async_id(),
        request.to_sign,
        request.chain.sealed_by is not None,
        request.now,
        body.completion_filter,
        bool(body.flags & _WATCH_TREE),
    )
    completion = server.watches.arm(
        opened,
        parked,
        directory=opened.handle.watch_key or key,  # it may have been renamed meanwhile
        completion_filter=body.completion_filter,
        watch_tree=parked.watch_tree,
        output_buffer_length=body.output_buffer_length,
        sees=_sees(opened) if parked.watch_tree else None,
    )
    if completion is None and request.cancelled:
        completion = server.watches.cancel(parked)
    if completion is None:
        connection.parked[parked.async_id] = parked
        return PARKED
    if server.notify_log.wanted:
        server.notify_log.add(parked, completion.status, len(completion.buffer), request.now)
    if completion.status in (NtStatus.STATUS_SUCCESS, NtStatus.STATUS_NOTIFY_ENUM_DIR):
        return Reply(pack_change_notify_response(completion.buffer), completion.status)
    raise StatusError(completion.status)
