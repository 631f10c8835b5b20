"""libsmb2, a client in C that shares no code with anybody here, on one share of a server.

A program of its own: the client container has the library, and this comes in over its standard
input. It does to files whatever the library can do, and prints what it saw as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_uint32, c_uint64, c_void_p
from typing import Any

BLOCK = 65536
DATA = bytes(range(256)) * 1200  # several blocks, the last one not full


class Stat(Structure):
    """struct smb2_stat_64."""

    _fields_ = [
        ("type", c_uint32),
        ("links", c_uint32),
        ("number", c_uint64),
        ("size", c_uint64),
        ("times", c_uint64 * 8),
    ]


class Entry(Structure):
    """struct smb2dirent."""

    _fields_ = [("name", c_char_p), ("stat", Stat)]


class Volume(Structure):
    """struct smb2_statvfs."""

    _fields_ = [
        ("block_size", c_uint32),
        ("fragment_size", c_uint32),
        ("blocks", c_uint64),
        ("free", c_uint64),
        ("available", c_uint64),
        ("more", c_uint32 * 6),
    ]


class Share:
    """A connection; each method is a call of the library that must not fail."""

    def __init__(self, server: str, share: str, user: str, password: str) -> None:
        self.library = ctypes.CDLL("libsmb2.so.6")
        for name in ("smb2_init_context", "smb2_open", "smb2_opendir"):
            getattr(self.library, name).restype = c_void_p
        self.library.smb2_readdir.restype = POINTER(Entry)
        self.library.smb2_get_error.restype = c_char_p
        for name in ("smb2_pread", "smb2_pwrite"):
            getattr(self.library, name).argtypes = [
                c_void_p, c_void_p, c_void_p, c_uint32, c_uint64,
            ]  # fmt: skip
        self.library.smb2_truncate.argtypes = [c_void_p, c_char_p, c_uint64]
        self.context = c_void_p(self.library.smb2_init_context())
        self.library.smb2_set_password(self.context, password.encode())
        self.names = (server.encode(), share.encode(), user.encode())

    def set(self, **options: int) -> None:
        for name, value in options.items():
            getattr(self.library, f"smb2_set_{name}")(self.context, value)

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            result = getattr(self.library, f"smb2_{name}")(self.context, *arguments)
            if result is None or (isinstance(result, int) and result < 0):
                error = self.library.smb2_get_error(self.context)
                raise SystemExit(f"smb2_{name}: {result} {error!r}")
            return result

        return call

    def put(self, path: bytes, data: bytes) -> None:
        handle = c_void_p(self.open(path, os.O_WRONLY | os.O_CREAT))
        for at in range(0, len(data), BLOCK):
            block = data[at : at + BLOCK]
            assert self.pwrite(handle, block, len(block), at) == len(block)
        self.fsync(handle)
        self.close(handle)

    def get(self, path: bytes) -> tuple[bytes, int]:
        """The data, and the size that it is said to have."""
        handle, stat = c_void_p(self.open(path, os.O_RDONLY)), Stat()
        data, buffer = b"", ctypes.create_string_buffer(BLOCK)
        while count := self.pread(handle, buffer, BLOCK, len(data)):
            data += buffer.raw[:count]
        self.fstat(handle, byref(stat))
        self.close(handle)
        return data, stat.size

    def listing(self, path: bytes) -> dict[str, list[int]]:
        directory, found = c_void_p(self.opendir(path)), {}
        while entry := self.library.smb2_readdir(self.context, directory):
            stat = entry.contents.stat
            found[entry.contents.name.decode()] = [stat.type, stat.size]
        self.library.smb2_closedir(self.context, directory)
        return found


def main(server: str, name: str, user: str, password: str, version: str, protection: str) -> None:
    share = Share(server, name, user, password)
    share.set(version=int(version, 0), security_mode=1, authentication=1)
    share.set(seal=int(protection == "sealed"), sign=int(protection == "signed"))
    share.connect_share(*share.names)
    share.mkdir(b"libsmb2")
    share.put(b"libsmb2/one", DATA)
    share.rename(b"libsmb2/one", b"libsmb2/two")
    data, size = share.get(b"libsmb2/two")
    share.truncate(b"libsmb2/two", 1000)
    stat, volume = Stat(), Volume()
    share.stat(b"libsmb2/two", byref(stat))
    share.statvfs(b"", byref(volume))
    said = {
        "same": data == DATA,
        "size": size,
        "truncated": stat.size,
        "names": share.listing(b"libsmb2"),
        "has_blocks": volume.blocks > 0,
    }
    share.unlink(b"libsmb2/two")
    share.rmdir(b"libsmb2")
    share.disconnect_share()
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.stdin.readline().rstrip("\n"), *sys.argv[4:])
