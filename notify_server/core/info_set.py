"""SET_INFO (3.3.5.21)."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Final

from notify_server.core import ea
from notify_server.core.model import Open
from notify_server.core.negotiation import io_size
from notify_server.core.outcome import Job, Outcome, Reply
from notify_server.fs.api import BasicInformation
from notify_server.wire.codec import WireError, utf16
from notify_server.wire.constants import AccessMask, InfoType, SecurityInformation
from notify_server.wire.fscc import DispositionFlags, FileAttributes, FileInformationClass
from notify_server.wire.query import SET_INFO_RESPONSE, SetInfoRequest
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

_BASIC: Final = Struct("<qqqqI")
_U64: Final = Struct("<Q")
_RENAME: Final = Struct("<B7xQI")
_RENAME_EX: Final = Struct("<I4xQI")
_REPLACE: Final = 0x00000001
_LARGEST: Final = 0x7FFFFFFFFFFFFFFF

_SIZES: Final = frozenset(
    {
        FileInformationClass.FileEndOfFileInformation,
        FileInformationClass.FileAllocationInformation,
    }
)
_RENAMES: Final = frozenset(
    {
        FileInformationClass.FileRenameInformation,
        FileInformationClass.FileRenameInformationEx,
    }
)
_NAMES: Final = _RENAMES | {
    FileInformationClass.FileLinkInformation,
    FileInformationClass.FileDispositionInformation,
    FileInformationClass.FileDispositionInformationEx,
}
_WRITE_DATA: Final = int(AccessMask.FILE_WRITE_DATA)
_WRITE_ATTRIBUTES: Final = int(AccessMask.FILE_WRITE_ATTRIBUTES)
_WRITE_EA: Final = int(AccessMask.FILE_WRITE_EA)
_DELETE: Final = int(AccessMask.DELETE)

# Access that setting a part of a security descriptor takes (3.3.5.21.3).
_SECURITY_ACCESS: Final = (
    (
        SecurityInformation.OWNER_SECURITY_INFORMATION
        | SecurityInformation.GROUP_SECURITY_INFORMATION
        | SecurityInformation.LABEL_SECURITY_INFORMATION,
        AccessMask.WRITE_OWNER,
    ),
    (SecurityInformation.DACL_SECURITY_INFORMATION, AccessMask.WRITE_DAC),
    (SecurityInformation.SACL_SECURITY_INFORMATION, AccessMask.ACCESS_SYSTEM_SECURITY),
)


def set_info(request: Request) -> Outcome:
    """Look the kind of information up, check the access, do it in a job."""
    body = SetInfoRequest.parse(request.message)
    opened = request.open(body.file_id)
    if len(body.buffer) > io_size(request.connection):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    request.check_charge(len(body.buffer))
    if request.valid_tree.share.read_only:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    request.busy = opened
    work = _work(opened, body)
    identity = request.valid_session.identity
    if identity is not None and identity.anonymous and _concerns_name(body):
        # The directory decides about its names, and would not let anybody anonymous.
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    oplocks = request.connection.server.oplocks
    is_file = body.info_type == InfoType.SMB2_0_INFO_FILE
    if is_file and body.information_class in _SIZES:
        oplocks.written(opened)

    def then(_: None) -> Outcome:
        if is_file and body.information_class in _RENAMES:
            oplocks.renamed(opened)
        return Reply(SET_INFO_RESPONSE)

    return Job(work, then)


def _concerns_name(body: SetInfoRequest) -> bool:
    return body.info_type == InfoType.SMB2_0_INFO_FILE and body.information_class in _NAMES


def _work(opened: Open, body: SetInfoRequest) -> Callable[[], None]:
    if body.info_type == InfoType.SMB2_0_INFO_FILE:
        found = _FILE.get(body.information_class)
        if found is None:
            raise StatusError(NtStatus.STATUS_INVALID_INFO_CLASS)
        needed, prepare = found
        if needed and not opened.granted_access & needed:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
        return prepare(opened, body.buffer)
    if body.info_type == InfoType.SMB2_0_INFO_SECURITY:
        return _security(opened, body)
    if body.info_type in (InfoType.SMB2_0_INFO_FILESYSTEM, InfoType.SMB2_0_INFO_QUOTA):
        raise StatusError(NtStatus.STATUS_NOT_SUPPORTED)
    raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)


def _unpack(layout: Struct, data: bytes) -> tuple[int, ...]:
    if len(data) < layout.size:
        raise StatusError(NtStatus.STATUS_INFO_LENGTH_MISMATCH)
    return layout.unpack_from(data)


def _basic(opened: Open, data: bytes) -> Callable[[], None]:
    creation, last_access, last_write, change, attributes = _unpack(_BASIC, data)
    if min(creation, last_access, last_write, change) < -2:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    information = BasicInformation(
        creation, last_access, last_write, change, FileAttributes(attributes)
    )
    return lambda: opened.store.set_basic(opened.handle, information)


def _target(data: bytes, layout: Struct) -> tuple[bool, str]:
    """ReplaceIfExists and the new name of FileRename- or FileLinkInformation (2.4.37, 2.4.23)."""
    flags, root, size = _unpack(layout, data)
    if root or layout.size + size > len(data):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    name = utf16(data[layout.size : layout.size + size])
    if not name:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    return bool(flags & _REPLACE), name.removeprefix("\\")


def _rename(opened: Open, data: bytes) -> Callable[[], None]:
    replace, name = _target(data, _RENAME)
    return lambda: opened.store.rename(opened.handle, name, replace)


def _rename_ex(opened: Open, data: bytes) -> Callable[[], None]:
    replace, name = _target(data, _RENAME_EX)
    return lambda: opened.store.rename(opened.handle, name, replace)


def _link(opened: Open, data: bytes) -> Callable[[], None]:
    replace, name = _target(data, _RENAME)
    return lambda: opened.store.link(opened.handle, name, replace)


def _disposition(opened: Open, data: bytes) -> Callable[[], None]:
    if not data:
        raise StatusError(NtStatus.STATUS_INFO_LENGTH_MISMATCH)
    pending = bool(data[0])
    return lambda: opened.store.set_delete_pending(opened.handle, pending)


def _disposition_ex(opened: Open, data: bytes) -> Callable[[], None]:
    """POSIX semantics are taken as an ordinary deletion at the last close ([MS-FSCC] 2.4.12)."""
    if len(data) < 4:
        raise StatusError(NtStatus.STATUS_INFO_LENGTH_MISMATCH)
    flags = int.from_bytes(data[:4], "little")
    pending = bool(flags & DispositionFlags.FILE_DISPOSITION_DELETE)
    return lambda: opened.store.set_delete_pending(opened.handle, pending)


def _size(data: bytes) -> int:
    (size,) = _unpack(_U64, data)
    if size > _LARGEST:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    return size


def _end_of_file(opened: Open, data: bytes) -> Callable[[], None]:
    size = _size(data)
    return lambda: opened.store.set_end_of_file(opened.handle, size)


def _allocation(opened: Open, data: bytes) -> Callable[[], None]:
    size = _size(data)
    return lambda: opened.store.set_allocation_size(opened.handle, size)


def _position(opened: Open, data: bytes) -> Callable[[], None]:
    size = _size(data)

    def work() -> None:
        opened.position = size

    return work


def _mode(opened: Open, data: bytes) -> Callable[[], None]:
    """Modes are advice that this server does not need; they are taken and not kept."""
    _unpack(Struct("<I"), data)
    return lambda: None


def _full_ea(opened: Open, data: bytes) -> Callable[[], None]:
    try:
        eas = ea.parse_full_ea(data)
    except WireError:
        raise StatusError(NtStatus.STATUS_EA_LIST_INCONSISTENT) from None
    return lambda: opened.store.set_eas(opened.handle, eas)


def _security(opened: Open, body: SetInfoRequest) -> Callable[[], None]:
    for parts, needed in _SECURITY_ACCESS:
        if body.additional_information & parts and not opened.granted_access & needed:
            raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    return lambda: opened.store.set_security_descriptor(
        opened.handle, body.additional_information, body.buffer
    )


_FILE: Final[dict[int, tuple[int, Callable[[Open, bytes], Callable[[], None]]]]] = {
    FileInformationClass.FileBasicInformation: (_WRITE_ATTRIBUTES, _basic),
    FileInformationClass.FileRenameInformation: (_DELETE, _rename),
    FileInformationClass.FileRenameInformationEx: (_DELETE, _rename_ex),
    FileInformationClass.FileLinkInformation: (0, _link),
    FileInformationClass.FileDispositionInformation: (_DELETE, _disposition),
    FileInformationClass.FileDispositionInformationEx: (_DELETE, _disposition_ex),
    FileInformationClass.FileEndOfFileInformation: (_WRITE_DATA, _end_of_file),
    FileInformationClass.FileAllocationInformation: (_WRITE_DATA, _allocation),
    FileInformationClass.FilePositionInformation: (0, _position),
    FileInformationClass.FileModeInformation: (0, _mode),
    FileInformationClass.FileFullEaInformation: (_WRITE_EA, _full_ea),
}
"""Class -> (access that it takes, how its job is prepared)."""
