"""File system information classes as QUERY_INFO lays them out ([MS-FSCC] 2.5)."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from notify_server.fs.api import Volume
from notify_server.wire.codec import to_utf16
from notify_server.wire.fscc import FsInformationClass

_VOLUME: Final = Struct("<QIIBx")
_SIZE: Final = Struct("<QQII")
_FULL_SIZE: Final = Struct("<QQQII")
_DEVICE: Final = Struct("<II")
_ATTRIBUTE: Final = Struct("<IiI")
_CONTROL: Final = Struct("<QQQQQI4x")
_OBJECT_ID: Final = Struct("<16s48x")
_SECTOR_SIZE: Final = Struct("<IIIIIII")

_FILE_DEVICE_DISK: Final = 0x00000007
_FILE_DEVICE_IS_MOUNTED: Final = 0x00000020
_SSINFO_FLAGS_ALIGNED: Final = 0x00000003
_UNKNOWN: Final = 0xFFFFFFFFFFFFFFFF


def _volume(v: Volume) -> bytes:
    label = to_utf16(v.label)
    return _VOLUME.pack(v.creation_time, v.serial_number & 0xFFFFFFFF, len(label), 0) + label


def _size(v: Volume) -> bytes:
    return _SIZE.pack(v.total_units, v.available_units, v.sectors_per_unit, v.bytes_per_sector)


def _full_size(v: Volume) -> bytes:
    return _FULL_SIZE.pack(
        v.total_units,
        v.available_units,
        v.available_units,
        v.sectors_per_unit,
        v.bytes_per_sector,
    )


def _device(_v: Volume) -> bytes:
    return _DEVICE.pack(_FILE_DEVICE_DISK, _FILE_DEVICE_IS_MOUNTED)


def _attribute(v: Volume) -> bytes:
    name = to_utf16(v.file_system_name)
    return _ATTRIBUTE.pack(v.attributes, v.maximum_name_length, len(name)) + name


def _control(_v: Volume) -> bytes:
    """No quota is kept."""
    return _CONTROL.pack(0, 0, 0, _UNKNOWN, _UNKNOWN, 0)


def _object_id(v: Volume) -> bytes:
    return _OBJECT_ID.pack(v.serial_number.to_bytes(16, "little"))


def _sector_size(v: Volume) -> bytes:
    sector = v.bytes_per_sector
    unit = sector * v.sectors_per_unit
    return _SECTOR_SIZE.pack(sector, sector, unit, sector, _SSINFO_FLAGS_ALIGNED, 0, 0)


LAYOUTS: Final[dict[int, tuple[Callable[[Volume], bytes], int]]] = {
    FsInformationClass.FileFsVolumeInformation: (_volume, 24),
    FsInformationClass.FileFsSizeInformation: (_size, 24),
    FsInformationClass.FileFsDeviceInformation: (_device, 8),
    FsInformationClass.FileFsAttributeInformation: (_attribute, 16),
    FsInformationClass.FileFsControlInformation: (_control, 48),
    FsInformationClass.FileFsFullSizeInformation: (_full_size, 32),
    FsInformationClass.FileFsObjectIdInformation: (_object_id, 64),
    FsInformationClass.FileFsSectorSizeInformation: (_sector_size, 28),
}
"""Class -> (how it is packed, bytes that must fit)."""
