"""QUERY_INFO (3.3.5.20)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from notify_server.core import ea, file_info, fs_info
from notify_server.core.model import Open
from notify_server.core.negotiation import io_size
from notify_server.core.outcome import Job, Outcome, Reply
from notify_server.wire.constants import AccessMask, Dialect, InfoType, SecurityInformation
from notify_server.wire.fscc import FileInformationClass
from notify_server.wire.query import QueryInfoRequest, pack_buffer_response
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

_READ_EA: Final = int(AccessMask.FILE_READ_EA)
_READ_CONTROL: Final = int(AccessMask.READ_CONTROL)
_SACL_ACCESS: Final = int(AccessMask.ACCESS_SYSTEM_SECURITY)
_SACL: Final = int(SecurityInformation.SACL_SECURITY_INFORMATION)


def query_info(request: Request) -> Outcome:
    """Look the kind of information up; what needs the store is read in a job."""
    body = QueryInfoRequest.parse(request.message)
    opened = request.open(body.file_id)
    limit = io_size(request.connection)
    if body.output_buffer_length > limit or len(body.input_buffer) > limit:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    request.check_charge(max(body.output_buffer_length, len(body.input_buffer)))
    handler = _KINDS.get(body.info_type)
    if handler is None:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    request.busy = opened
    return handler(opened, body)


def _fit(data: bytes, minimum: int, room: int) -> Reply:
    """As much as fits: too little room for the fixed part is an error, for the rest a warning."""
    if room < minimum:
        raise StatusError(NtStatus.STATUS_INFO_LENGTH_MISMATCH)
    if len(data) > room:
        return Reply(pack_buffer_response(data[:room]), NtStatus.STATUS_BUFFER_OVERFLOW)
    return Reply(pack_buffer_response(data))


def _file(opened: Open, body: QueryInfoRequest) -> Outcome:
    """3.3.5.20.1."""
    if (
        body.information_class == FileInformationClass.FileNormalizedNameInformation
        and opened.tree.session.connection.dialect < Dialect.SMB_3_1_1
    ):
        raise StatusError(NtStatus.STATUS_NOT_SUPPORTED)
    special = _SPECIAL.get(body.information_class)
    if special is not None:
        return special(opened, body)
    layout = file_info.LAYOUTS.get(body.information_class)
    if layout is None:
        raise StatusError(NtStatus.STATUS_INVALID_INFO_CLASS)
    if layout.access and not opened.granted_access & layout.access:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if body.output_buffer_length < layout.minimum:
        raise StatusError(NtStatus.STATUS_INFO_LENGTH_MISMATCH)
    return Job(
        lambda: opened.store.attributes(opened.handle),
        lambda found: _fit(layout.pack(opened, found), layout.minimum, body.output_buffer_length),
    )


def _full_ea(opened: Open, body: QueryInfoRequest) -> Outcome:
    """FileFullEaInformation: those that the client names, or all."""
    if not opened.granted_access & _READ_EA:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    names = ea.parse_get_ea(body.input_buffer) if body.input_buffer else None

    def work() -> Reply:
        found = opened.store.eas(opened.handle)
        if names is not None:
            found = ea.select(found, names)
        if not found:
            raise StatusError(NtStatus.STATUS_NO_EAS_ON_FILE)
        data = ea.pack_full_ea(found)
        if len(data) > body.output_buffer_length:
            raise StatusError(NtStatus.STATUS_BUFFER_OVERFLOW)
        return Reply(pack_buffer_response(data))

    return Job(work)


def _streams(opened: Open, body: QueryInfoRequest) -> Outcome:
    """FileStreamInformation; a list that does not fit is not sent in part."""

    def work() -> Reply:
        data = file_info.streams(opened.store.streams(opened.handle))
        if len(data) > body.output_buffer_length:
            raise StatusError(NtStatus.STATUS_BUFFER_OVERFLOW)
        return Reply(pack_buffer_response(data))

    return Job(work)


def _file_id(opened: Open, body: QueryInfoRequest) -> Outcome:
    def work() -> Reply:
        found = opened.store.attributes(opened.handle)
        data = file_info.file_id(found, opened.store.volume().serial_number)
        return _fit(data, len(data), body.output_buffer_length)

    return Job(work)


def _no_short_name(opened: Open, body: QueryInfoRequest) -> Outcome:
    """FileAlternateNameInformation: no 8.3 names are made."""
    raise StatusError(NtStatus.STATUS_OBJECT_NAME_NOT_FOUND)


def _file_system(opened: Open, body: QueryInfoRequest) -> Outcome:
    """3.3.5.20.2."""
    found = fs_info.LAYOUTS.get(body.information_class)
    if found is None:
        raise StatusError(NtStatus.STATUS_INVALID_INFO_CLASS)
    pack, minimum = found
    if body.output_buffer_length < minimum:
        raise StatusError(NtStatus.STATUS_INFO_LENGTH_MISMATCH)
    return Job(
        opened.store.volume,
        lambda volume: _fit(pack(volume), minimum, body.output_buffer_length),
    )


def _security(opened: Open, body: QueryInfoRequest) -> Outcome:
    """3.3.5.20.3: too small a buffer is told the size that it takes."""
    wanted = body.additional_information
    needed = _SACL_ACCESS if wanted & _SACL else 0
    if wanted & ~_SACL:
        needed |= _READ_CONTROL
    if opened.granted_access & needed != needed:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)

    def work() -> Reply:
        data = opened.store.security_descriptor(opened.handle, wanted)
        if len(data) > body.output_buffer_length:
            raise StatusError(NtStatus.STATUS_BUFFER_TOO_SMALL, len(data).to_bytes(4, "little"))
        return Reply(pack_buffer_response(data))

    return Job(work)


def _quota(opened: Open, body: QueryInfoRequest) -> Outcome:
    raise StatusError(NtStatus.STATUS_NOT_SUPPORTED)


_Handler = Callable[[Open, QueryInfoRequest], Outcome]

_KINDS: Final[dict[int, _Handler]] = {
    InfoType.SMB2_0_INFO_FILE: _file,
    InfoType.SMB2_0_INFO_FILESYSTEM: _file_system,
    InfoType.SMB2_0_INFO_SECURITY: _security,
    InfoType.SMB2_0_INFO_QUOTA: _quota,
}

_SPECIAL: Final[dict[int, _Handler]] = {
    FileInformationClass.FileFullEaInformation: _full_ea,
    FileInformationClass.FileStreamInformation: _streams,
    FileInformationClass.FileIdInformation: _file_id,
    FileInformationClass.FileAlternateNameInformation: _no_short_name,
}
