"""A lean SMB 2.1 client for loads: blocking, unsigned, nothing decoded that is not needed.

It exists so that the client's own time is small beside the server's. Logon and message layout come
from `lab.client`; what is measured is between two system calls of this process.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from lab.client import wire
from lab.client.smb import Logon
from lab.scenarios.model import Command, NtStatus

DIALECT_2_1 = 0x0210
SHARE_ALL = 7
LIST_DIRECTORY = 0x0010_0081
CREATE_FILE_ACCESS = 0x0012_019F | 0x0001_0000
FILE_OPEN, FILE_CREATE = 1, 2
DIRECTORY_FILE, DELETE_ON_CLOSE = 0x1, 0x1000
WATCH_TREE = 1
STATUS = struct.Struct("<I")
WHOLE = socket.MSG_WAITALL
# One for all: a new buffer for each system call would cost more than the call.
_BUFFER = bytearray(1 << 18)
_ROOM = memoryview(_BUFFER)
_LENGTH_AND_STATUS = struct.Struct(">I8x4s")  # the frame's length, and the status behind it
_HEAD = _LENGTH_AND_STATUS.size


class LoadError(Exception):
    """The server answered a request of the load with something else than it must."""


class Client:
    """One connection, one session, one tree. `guid` is the ClientGuid, random if not given."""

    def __init__(self, host: str, port: int, user: str, password: str, share: str) -> None:
        self.socket = socket.create_connection((host, port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session_id = 0
        self.tree_id = 0
        self._message_id = 0
        self._negotiate()
        self._log_on(user, password)
        path = f"\\\\{host}\\{share}"
        reply = self.call(Command.TREE_CONNECT, {"path": path})
        self.tree_id = wire.parse_header(reply).tree_id

    def _negotiate(self) -> None:
        self.call(
            Command.NEGOTIATE,
            {
                "dialects": (DIALECT_2_1,),
                "security_mode": 1,
                "capabilities": 4,
                "client_guid": os.urandom(16),
                "contexts": [],
            },
        )

    def _log_on(self, user: str, password: str) -> None:
        logon = Logon(user, password)
        fields: dict[str, Any] = {"security_mode": 1, "token": logon.first_token()}
        reply = self.call(Command.SESSION_SETUP, fields, NtStatus.STATUS_MORE_PROCESSING_REQUIRED)
        header = wire.parse_header(reply)
        self.session_id = header.session_id
        body = wire.parse_body(header, reply)
        fields["token"] = logon.second_token(bytes.fromhex(body["security_buffer"]))
        self.call(Command.SESSION_SETUP, fields)

    # -- requests and replies -------------------------------------------------------------------

    def frame(self, command: Command, fields: dict[str, Any]) -> bytes:
        """A whole frame, length prefix included, under the next MessageId."""
        first = command is Command.NEGOTIATE
        header = wire.Header(
            64, 0 if first else 1, 0, command, 64, 0, 0, self._message_id,
            0, self.tree_id, self.session_id, bytes(16),
        )  # fmt: skip
        self._message_id += 1
        pdu = header.pack() + wire.build_body(command, fields)
        return len(pdu).to_bytes(4, "big") + pdu

    def send(self, command: Command, fields: dict[str, Any]) -> None:
        self.socket.sendall(self.frame(command, fields))

    def receive(self) -> bytes:
        """The next message without its length prefix."""
        head = self._exactly(4)
        return self._exactly(int.from_bytes(head, "big"))

    def _exactly(self, size: int) -> bytes:
        data = self.socket.recv(size, socket.MSG_WAITALL)
        if len(data) != size:
            raise LoadError("the server closed the connection")
        return data

    def call(
        self, command: Command, fields: dict[str, Any], wanted: NtStatus = NtStatus.STATUS_SUCCESS
    ) -> bytes:
        self.send(command, fields)
        return self.expect(wanted)

    def expect(self, wanted: NtStatus) -> bytes:
        reply = self.receive()
        (status,) = STATUS.unpack_from(reply, 8)
        if status != wanted:
            raise LoadError(f"expected {wanted.name}, got 0x{status:08X}")
        return reply

    def expect_what_is_there(self, wanted: NtStatus) -> int:
        """How many responses came with one system call: for loads that take thousands."""
        expected = STATUS.pack(wanted)
        filled = self.socket.recv_into(_ROOM[: len(_BUFFER) // 2])  # room for the rest of a frame
        if not filled:
            raise LoadError("the server closed the connection")
        position = count = 0
        while position < filled:
            if filled - position < _HEAD:
                filled += self.socket.recv_into(_ROOM[filled:], position + _HEAD - filled, WHOLE)
            length, status = _LENGTH_AND_STATUS.unpack_from(_BUFFER, position)
            position += 4 + length
            if position > filled:
                filled += self.socket.recv_into(_ROOM[filled:], position - filled, WHOLE)
            if status != expected:
                got = STATUS.unpack(status)[0]
                raise LoadError(f"expected {wanted.name}, got 0x{got:08X}")
            count += 1
        return count

    # -- what the loads do ----------------------------------------------------------------------

    def open_directory(self, path: str) -> bytes:
        """The FileId of a directory handle that may be watched."""
        return self._open(path, LIST_DIRECTORY, FILE_OPEN, DIRECTORY_FILE)

    def create_file(self, path: str) -> bytes:
        return self._open(path, CREATE_FILE_ACCESS, FILE_CREATE, 0)

    def create_fields(
        self, path: str, access: int, disposition: int, options: int
    ) -> dict[str, Any]:
        return {
            "path": path,
            "desired_access": access,
            "share_access": SHARE_ALL,
            "create_disposition": disposition,
            "create_options": options,
        }

    def _open(self, path: str, access: int, disposition: int, options: int) -> bytes:
        reply = self.call(Command.CREATE, self.create_fields(path, access, disposition, options))
        return reply[64 + 64 : 64 + 80]

    def close_file(self, file_id: bytes) -> None:
        self.call(Command.CLOSE, {"file_id": file_id})

    def notify_fields(self, file_id: bytes, completion_filter: int, tree: bool) -> dict[str, Any]:
        return {
            "file_id": file_id,
            "completion_filter": completion_filter,
            "flags": WATCH_TREE if tree else 0,
            "output_buffer_length": 0xFFFF,
        }

    def park(self, file_id: bytes, completion_filter: int = 3, tree: bool = False) -> None:
        """CHANGE_NOTIFY, and its interim response awaited: the watch is armed afterwards.

        A server that had buffered something answers at once; it is asked again.
        """
        while True:
            self.send(Command.CHANGE_NOTIFY, self.notify_fields(file_id, completion_filter, tree))
            (status,) = STATUS.unpack_from(self.receive(), 8)
            if status == NtStatus.STATUS_PENDING:
                return
            if status != NtStatus.STATUS_SUCCESS:
                raise LoadError(f"CHANGE_NOTIFY answered 0x{status:08X}")
