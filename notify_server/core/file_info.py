"""File information classes as QUERY_INFO lays them out ([MS-FSCC] 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from notify_server.core.model import Open
from notify_server.fs.api import Attributes, Stream
from notify_server.wire.codec import to_utf16
from notify_server.wire.constants import AccessMask, CreateOptions
from notify_server.wire.fscc import FileInformationClass

_BASIC: Final = Struct("<QQQQI4x")
_STANDARD: Final = Struct("<QQIBB2x")
_NETWORK_OPEN: Final = Struct("<QQQQQQI4x")
_COMPRESSION: Final = Struct("<QHBBB3x")
_STREAM: Final = Struct("<IIQQ")
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")
_TAG: Final = Struct("<II")
_ID: Final = Struct("<Q16s")

_MODE: Final = int(
    CreateOptions.FILE_WRITE_THROUGH
    | CreateOptions.FILE_SEQUENTIAL_ONLY
    | CreateOptions.FILE_NO_INTERMEDIATE_BUFFERING
    | CreateOptions.FILE_SYNCHRONOUS_IO_ALERT
    | CreateOptions.FILE_SYNCHRONOUS_IO_NONALERT
    | CreateOptions.FILE_DELETE_ON_CLOSE
)


def basic(_o: Open, a: Attributes) -> bytes:
    """FileBasicInformation (2.4.7)."""
    return _BASIC.pack(
        a.creation_time, a.last_access_time, a.last_write_time, a.change_time, a.file_attributes
    )


def standard(_o: Open, a: Attributes) -> bytes:
    """FileStandardInformation (2.4.41)."""
    return _STANDARD.pack(
        a.allocation_size, a.end_of_file, a.number_of_links, a.delete_pending, a.directory
    )


def internal(_o: Open, a: Attributes) -> bytes:
    """FileInternalInformation (2.4.22)."""
    return _U64.pack(a.index_number)


def ea_size(_o: Open, a: Attributes) -> bytes:
    """FileEaInformation (2.4.12)."""
    return _U32.pack(a.ea_size)


def access(o: Open, _a: Attributes) -> bytes:
    """FileAccessInformation (2.4.1)."""
    return _U32.pack(o.granted_access)


def position(o: Open, _a: Attributes) -> bytes:
    """FilePositionInformation (2.4.35)."""
    return _U64.pack(o.position)


def mode(o: Open, _a: Attributes) -> bytes:
    """FileModeInformation (2.4.26)."""
    return _U32.pack(o.create_options & _MODE)


def alignment(_o: Open, _a: Attributes) -> bytes:
    """FileAlignmentInformation (2.4.3): bytes will do."""
    return _U32.pack(0)


def name(o: Open, _a: Attributes) -> bytes:
    r"""FileNameInformation (2.4.27), from the root of the share and with its leading ``\``."""
    data = to_utf16("\\" + o.handle.path)
    return _U32.pack(len(data)) + data


def normalized_name(o: Open, _a: Attributes) -> bytes:
    r"""FileNormalizedNameInformation (2.4.28), relative to the share, without a leading ``\``."""
    data = to_utf16(o.handle.path)
    return _U32.pack(len(data)) + data


def all_information(o: Open, a: Attributes) -> bytes:
    """FileAllInformation (2.4.2)."""
    parts = (basic, standard, internal, ea_size, access, position, mode, alignment, name)
    return b"".join(part(o, a) for part in parts)


def network_open(_o: Open, a: Attributes) -> bytes:
    """FileNetworkOpenInformation (2.4.29)."""
    return _NETWORK_OPEN.pack(
        a.creation_time,
        a.last_access_time,
        a.last_write_time,
        a.change_time,
        a.allocation_size,
        a.end_of_file,
        a.file_attributes,
    )


def attribute_tag(_o: Open, a: Attributes) -> bytes:
    """FileAttributeTagInformation (2.4.6); nothing here is a reparse point."""
    return _TAG.pack(a.file_attributes, 0)


def compression(_o: Open, a: Attributes) -> bytes:
    """FileCompressionInformation (2.4.9): not compressed."""
    return _COMPRESSION.pack(a.end_of_file, 0, 0, 0, 0)


def streams(found: Sequence[Stream]) -> bytes:
    """FileStreamInformation (2.4.43)."""
    parts = []
    for index, stream in enumerate(found):
        data = to_utf16(stream.name)
        size = _STREAM.size + len(data)
        padded = size + -size % 8
        last = index == len(found) - 1
        head = _STREAM.pack(0 if last else padded, len(data), stream.size, stream.allocation_size)
        parts.append(head + data if last else (head + data).ljust(padded, b"\0"))
    return b"".join(parts)


def file_id(a: Attributes, volume_serial: int) -> bytes:
    """FileIdInformation (2.4.21)."""
    return _ID.pack(volume_serial, a.index_number.to_bytes(16, "little"))


@dataclass(slots=True, frozen=True)
class Layout:
    """How a class that needs only the attributes is packed, and the access that it asks for.

    `minimum` bytes must fit into the client's buffer; what is beyond them may be cut.
    """

    pack: Callable[[Open, Attributes], bytes]
    minimum: int
    access: int = 0


_READ_ATTRIBUTES: Final = int(AccessMask.FILE_READ_ATTRIBUTES)

LAYOUTS: Final[dict[int, Layout]] = {
    FileInformationClass.FileBasicInformation: Layout(basic, 40, _READ_ATTRIBUTES),
    FileInformationClass.FileStandardInformation: Layout(standard, 24),
    FileInformationClass.FileInternalInformation: Layout(internal, 8),
    FileInformationClass.FileEaInformation: Layout(ea_size, 4),
    FileInformationClass.FileAccessInformation: Layout(access, 4),
    FileInformationClass.FilePositionInformation: Layout(position, 8),
    FileInformationClass.FileModeInformation: Layout(mode, 4),
    FileInformationClass.FileAlignmentInformation: Layout(alignment, 4),
    FileInformationClass.FileNameInformation: Layout(name, 8),
    FileInformationClass.FileNormalizedNameInformation: Layout(normalized_name, 8),
    FileInformationClass.FileAllInformation: Layout(all_information, 104, _READ_ATTRIBUTES),
    FileInformationClass.FileNetworkOpenInformation: Layout(network_open, 56, _READ_ATTRIBUTES),
    FileInformationClass.FileAttributeTagInformation: Layout(attribute_tag, 8, _READ_ATTRIBUTES),
    FileInformationClass.FileCompressionInformation: Layout(compression, 16),
}
