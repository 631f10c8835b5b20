"""IOCTL and ECHO (3.3.5.15, 3.3.5.18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from notify_server.core.negotiation import capabilities, io_size, security_mode
from notify_server.core.outcome import Disconnect, Job, Outcome, Reply
from notify_server.wire.constants import CtlCode, Dialect, IoctlFlags
from notify_server.wire.query import (
    IoctlRequest,
    ValidateNegotiateInfo,
    pack_ioctl_response,
    pack_validate_negotiate_info,
)
from notify_server.wire.session import EMPTY_RESPONSE, check_empty
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

_VALIDATE_SIZE: Final = 24
_OBJECT_ID_SIZE: Final = 64


def echo(request: Request) -> Outcome:
    """ECHO (3.3.5.17)."""
    check_empty(request.message)
    return Reply(EMPTY_RESPONSE)


def ioctl(request: Request) -> Outcome:
    """The few FSCTLs that mean something here; all others are refused as the table says."""
    body = IoctlRequest.parse(request.message)
    limit = io_size(request.connection)
    if body.flags != IoctlFlags.SMB2_0_IOCTL_IS_FSCTL:
        raise StatusError(NtStatus.STATUS_NOT_SUPPORTED)
    if len(body.input_buffer) > limit or body.max_output_response > limit:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    request.check_charge(max(len(body.input_buffer), body.max_output_response))
    handler = _HANDLERS.get(body.ctl_code)
    if handler is not None:
        return handler(request, body)
    status = _REFUSALS.get(body.ctl_code)
    if status is None:
        request.open(body.file_id)
        status = NtStatus.STATUS_INVALID_DEVICE_REQUEST
    raise StatusError(status)


def _validate_negotiate_info(request: Request, body: IoctlRequest) -> Outcome:
    """3.3.5.15.12: whatever does not match what was negotiated ends the connection."""
    connection = request.connection
    negotiated = connection.client_negotiate
    if negotiated is None or connection.dialect == Dialect.SMB_3_1_1:
        raise Disconnect("VALIDATE_NEGOTIATE_INFO in a dialect that has none")
    info = ValidateNegotiateInfo.parse(body.input_buffer)
    if body.max_output_response < _VALIDATE_SIZE:
        raise Disconnect("no room for VALIDATE_NEGOTIATE_INFO")
    if (
        info.guid != negotiated.client_guid
        or info.security_mode != negotiated.security_mode
        or info.capabilities != negotiated.capabilities
        or info.dialects != negotiated.dialects
    ):
        raise Disconnect("VALIDATE_NEGOTIATE_INFO differs from NEGOTIATE")
    config = connection.server.config
    output = pack_validate_negotiate_info(
        capabilities(connection, connection.dialect),
        config.server_guid,
        security_mode(config),
        connection.dialect,
    )
    return Reply(pack_ioctl_response(body.ctl_code, body.file_id, output))


def _object_id(request: Request, body: IoctlRequest) -> Outcome:
    """FSCTL_CREATE_OR_GET_OBJECT_ID ([MS-FSCC] 2.3.1): made of the file's and volume's numbers."""
    opened = request.open(body.file_id)
    if body.max_output_response < _OBJECT_ID_SIZE:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)

    def work() -> Reply:
        volume = opened.store.volume().serial_number.to_bytes(16, "little")
        object_id = opened.index_number.to_bytes(16, "little")
        output = (object_id + volume + object_id).ljust(_OBJECT_ID_SIZE, b"\0")
        return Reply(pack_ioctl_response(body.ctl_code, opened.file_id, output))

    request.busy = opened
    return Job(work)


_HANDLERS: Final[dict[int, Callable[[Request, IoctlRequest], Outcome]]] = {
    CtlCode.FSCTL_VALIDATE_NEGOTIATE_INFO: _validate_negotiate_info,
    CtlCode.FSCTL_CREATE_OR_GET_OBJECT_ID: _object_id,
}

_REFUSALS: Final[dict[int, NtStatus]] = {
    CtlCode.FSCTL_DFS_GET_REFERRALS: NtStatus.STATUS_NOT_FOUND,
    CtlCode.FSCTL_DFS_GET_REFERRALS_EX: NtStatus.STATUS_NOT_FOUND,
    CtlCode.FSCTL_PIPE_WAIT: NtStatus.STATUS_OBJECT_NAME_NOT_FOUND,
    CtlCode.FSCTL_QUERY_NETWORK_INTERFACE_INFO: NtStatus.STATUS_NOT_SUPPORTED,
    CtlCode.FSCTL_GET_REPARSE_POINT: NtStatus.STATUS_NOT_A_REPARSE_POINT,
}
