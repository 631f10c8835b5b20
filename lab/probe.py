"""Ask an SMB server who it is: one NEGOTIATE, one answer, no session.

A port that is open proves nothing (QEMU and HAProxy accept before there is a server), so a node is
healthy when this module gets an SMB2 NEGOTIATE Response, and `lab switch` compares the ServerGuid
in it. The file stands alone, on the standard library, because it is copied into every container
as the health check:

    python3 probe.py HOST PORT [--timeout SECONDS] [--json]

exits 0 when a NEGOTIATE was answered, 1 when not, 2 when called wrongly.
Sections are those of [MS-SMB2].
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from uuid import UUID

DIALECTS = (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
DEFAULT_TIMEOUT_S = 2.0

_PROTOCOL_ID = b"\xfeSMB"
_SMB2_NEGOTIATE = 0
_SMB2_FLAGS_SERVER_TO_REDIR = 0x00000001
_SMB2_NEGOTIATE_SIGNING_ENABLED = 0x0001
_SMB2_PREAUTH_INTEGRITY_CAPABILITIES = 0x0001
_SMB2_ENCRYPTION_CAPABILITIES = 0x0002
_SHA_512 = 0x0001
_CIPHERS = (0x0002, 0x0001, 0x0004, 0x0003)  # AES-128-GCM, -CCM, AES-256-GCM, -CCM

# 2.2.1.2: ProtocolId, StructureSize, CreditCharge, Status, Command, Credits, Flags, NextCommand,
# MessageId, Reserved, TreeId, SessionId, Signature
_HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
# 2.2.3 up to the dialects: StructureSize, DialectCount, SecurityMode, Reserved, Capabilities,
# ClientGuid, NegotiateContextOffset, NegotiateContextCount, Reserved2
_REQUEST = struct.Struct("<HHHHI16sIHH")
# 2.2.4 up to the buffer: StructureSize, SecurityMode, DialectRevision, ContextCount, ServerGuid,
# Capabilities, MaxTransactSize, MaxReadSize, MaxWriteSize, SystemTime, ServerStartTime,
# SecurityBufferOffset, SecurityBufferLength, NegotiateContextOffset
_RESPONSE = struct.Struct("<HHHH16sIIIIQQHHI")
_LONGEST_ANSWER = 64 * 1024


class ProbeError(Exception):
    """No NEGOTIATE was answered; the text says at which step it ended and why."""


class Negotiated(NamedTuple):
    """What a server said in its NEGOTIATE Response (2.2.4)."""

    server_guid: UUID
    dialect: int
    security_mode: int
    capabilities: int
    max_transact_size: int
    milliseconds: float

    @property
    def dialect_name(self) -> str:
        """The dialect as people write it: `3.1.1`, `2.1`."""
        return dialect_name(self.dialect)

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            **self._asdict(),
            "server_guid": str(self.server_guid),
            "dialect": self.dialect_name,
        }


def dialect_name(dialect: int) -> str:
    """Return 0x0311 as `3.1.1`, 0x0300 as `3.0`."""
    major, minor, revision = dialect >> 8, dialect >> 4 & 0xF, dialect & 0xF
    return f"{major}.{minor}.{revision}" if revision else f"{major}.{minor}"


def negotiate_request(client_guid: bytes, salt: bytes) -> bytes:
    """Return a NEGOTIATE Request (2.2.3) for all SMB 2 and 3 dialects, without transport header."""
    contexts = _context(
        _SMB2_PREAUTH_INTEGRITY_CAPABILITIES,
        struct.pack("<HHH", 1, len(salt), _SHA_512) + salt,
    )
    contexts += b"\0" * (-len(contexts) % 8)
    contexts += _context(
        _SMB2_ENCRYPTION_CAPABILITIES, struct.pack(f"<H{len(_CIPHERS)}H", len(_CIPHERS), *_CIPHERS)
    )
    dialects = struct.pack(f"<{len(DIALECTS)}H", *DIALECTS)
    before_contexts = _HEADER.size + _REQUEST.size + len(dialects)
    padding = b"\0" * (-before_contexts % 8)
    header = _HEADER.pack(_PROTOCOL_ID, 64, 0, 0, _SMB2_NEGOTIATE, 1, 0, 0, 0, 0, 0, 0, b"\0" * 16)
    body = _REQUEST.pack(
        36,
        len(DIALECTS),
        _SMB2_NEGOTIATE_SIGNING_ENABLED,
        0,
        0,
        client_guid,
        before_contexts + len(padding),
        2,
        0,
    )
    return header + body + dialects + padding + contexts


def _context(context_type: int, data: bytes) -> bytes:
    """Return a NEGOTIATE_CONTEXT (2.2.3.1)."""
    return struct.pack("<HHI", context_type, len(data), 0) + data


def parse_response(pdu: bytes, milliseconds: float = 0.0) -> Negotiated:
    """Check and take apart a NEGOTIATE Response (2.2.4); raise ProbeError for anything else."""
    from uuid import UUID

    if len(pdu) < _HEADER.size or not pdu.startswith(_PROTOCOL_ID):
        raise ProbeError(f"the answer is not SMB2: {pdu[:16].hex(' ') or 'empty'}")
    _, header_size, _, status, command, _, flags, _, message_id, *_ = _HEADER.unpack_from(pdu)
    if (
        header_size != 64
        or command != _SMB2_NEGOTIATE
        or message_id != 0
        or not flags & _SMB2_FLAGS_SERVER_TO_REDIR
    ):
        raise ProbeError(
            f"the answer is no response to NEGOTIATE: command {command}, flags 0x{flags:08x}, "
            f"MessageId {message_id}"
        )
    if status != 0:
        raise ProbeError(f"NEGOTIATE was refused with NTSTATUS 0x{status:08x}")
    if len(pdu) < _HEADER.size + _RESPONSE.size:
        raise ProbeError(f"the NEGOTIATE Response is cut short: {len(pdu)} bytes")
    size, security_mode, dialect, _, guid, capabilities, max_transact, *_ = _RESPONSE.unpack_from(
        pdu, _HEADER.size
    )
    if size != 65 or dialect not in DIALECTS:
        raise ProbeError(f"malformed NEGOTIATE Response: size {size}, dialect 0x{dialect:04x}")
    return Negotiated(
        UUID(bytes_le=guid), dialect, security_mode, capabilities, max_transact, milliseconds
    )


def negotiate(host: str, port: int, timeout: float = DEFAULT_TIMEOUT_S) -> Negotiated:
    """Connect, negotiate, disconnect within `timeout` seconds; raise ProbeError with the cause."""
    start = time.monotonic()
    deadline = start + timeout
    # A fresh ClientGuid each time: smbd hands connections of one ClientGuid to one process.
    request = negotiate_request(client_guid=os.urandom(16), salt=os.urandom(32))
    step = "connect"
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            step = "NEGOTIATE"
            # Direct TCP transport (2.1): a zero byte and the length, big-endian.
            connection.sendall(struct.pack(">I", len(request)) + request)
            (length,) = struct.unpack(">I", _receive(connection, 4, deadline))
            if length > _LONGEST_ANSWER:
                raise ProbeError(f"the answer is not SMB: transport header 0x{length:08x}")
            answer = _receive(connection, length, deadline)
    except TimeoutError:
        raise ProbeError(f"{host}:{port}: {step}: no answer within {timeout:g} s") from None
    except OSError as error:
        raise ProbeError(f"{host}:{port}: {step}: {error.strerror or error}") from None
    except ProbeError as error:
        raise ProbeError(f"{host}:{port}: {error}") from None
    try:
        return parse_response(answer, (time.monotonic() - start) * 1000)
    except ProbeError as error:
        raise ProbeError(f"{host}:{port}: {error}") from None


def _receive(connection: socket.socket, count: int, deadline: float) -> bytes:
    """Receive exactly `count` bytes before `deadline` (monotonic seconds)."""
    received = bytearray()
    while len(received) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        chunk = connection.recv(count - len(received))
        if not chunk:
            raise ProbeError("the connection was closed before NEGOTIATE was answered")
        received += chunk
    return bytes(received)


def main(argv: list[str]) -> int:
    """The command line of the health check; returns the exit code."""
    words = list(argv)
    as_json = "--json" in words
    if as_json:
        words.remove("--json")
    timeout = DEFAULT_TIMEOUT_S
    try:
        if "--timeout" in words:
            at = words.index("--timeout")
            timeout = float(words[at + 1])
            del words[at : at + 2]
        host, port = words[0], int(words[1])
        if len(words) > 2:
            raise ValueError
    except (ValueError, IndexError):
        print("usage: probe.py HOST PORT [--timeout SECONDS] [--json]", file=sys.stderr)
        return 2
    try:
        answer = negotiate(host, port, timeout)
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 1
    if as_json:
        import json

        print(json.dumps(answer.as_json()))
    else:
        print(f"{answer.server_guid} {answer.dialect_name} {answer.milliseconds:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
