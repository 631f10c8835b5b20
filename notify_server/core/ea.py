"""FILE_FULL_EA_INFORMATION and FILE_GET_EA_INFORMATION ([MS-FSCC] 2.4.16, 2.4.16.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from notify_server.fs.api import Ea
from notify_server.wire.codec import WireError
from notify_server.wire.status import NtStatus, StatusError

MAXIMUM_SIZE: Final = 65536  # bytes of a list, names or values: NTFS keeps no more of a file

_FULL: Final = Struct("<IBBH")
_GET: Final = Struct("<IB")


def parse_full_ea(data: bytes) -> list[Ea]:
    """EAs to set; raises STATUS_EA_LIST_INCONSISTENT's stand-in, WireError."""
    if len(data) > MAXIMUM_SIZE:
        raise StatusError(NtStatus.STATUS_EA_TOO_LARGE)
    eas = []
    while True:
        if len(data) < _FULL.size:
            raise WireError("short FILE_FULL_EA_INFORMATION")
        following, flags, name_size, value_size = _FULL.unpack_from(data)
        name_end = _FULL.size + name_size
        value_at = name_end + 1
        if value_at + value_size > len(data) or data[name_end]:
            raise WireError("FILE_FULL_EA_INFORMATION longer than its buffer")
        name = data[_FULL.size : name_end]
        if not name:
            raise StatusError(NtStatus.STATUS_INVALID_EA_NAME)
        eas.append(Ea(name, data[value_at : value_at + value_size], flags))
        if not following:
            return eas
        if following % 4 or following < value_at + value_size:
            raise WireError("NextEntryOffset of FILE_FULL_EA_INFORMATION")
        data = data[following:]


def parse_get_ea(data: bytes) -> list[bytes]:
    """Names of the EAs to query."""
    if len(data) > MAXIMUM_SIZE:
        raise StatusError(NtStatus.STATUS_EA_TOO_LARGE)
    names = []
    while True:
        if len(data) < _GET.size:
            raise WireError("short FILE_GET_EA_INFORMATION")
        following, size = _GET.unpack_from(data)
        if _GET.size + size > len(data):
            raise WireError("FILE_GET_EA_INFORMATION longer than its buffer")
        names.append(data[_GET.size : _GET.size + size])
        if not following:
            return names
        if following % 4 or following < _GET.size + size:
            raise WireError("NextEntryOffset of FILE_GET_EA_INFORMATION")
        data = data[following:]


def select(eas: Iterable[Ea], names: Iterable[bytes]) -> list[Ea]:
    """The EAs asked for by name, whatever the case; one that is missing has an empty value.

    A name asked for twice is answered once: the answer must not outgrow what is there.
    """
    by_name = {ea.name.upper(): ea for ea in eas}
    asked = {name.upper(): name for name in names}
    return [by_name.get(key, Ea(name, b"")) for key, name in asked.items()]


def pack_full_ea(eas: Sequence[Ea]) -> bytes:
    """EAs as a client reads them."""
    packed = []
    for index, ea in enumerate(eas):
        size = _FULL.size + len(ea.name) + 1 + len(ea.value)
        padded = size + -size % 4
        last = index == len(eas) - 1
        head = _FULL.pack(0 if last else padded, ea.flags, len(ea.name), len(ea.value))
        body = head + ea.name + b"\0" + ea.value
        packed.append(body if last else body.ljust(padded, b"\0"))
    return b"".join(packed)
