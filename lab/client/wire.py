"""SMB2 on the wire: requests built field by field, responses taken apart without trust.

Pure functions over bytes (MS-SMB2 2.2). Builders take the body's fields by their names in the
specification, so that a scenario can override any of them. Parsers never raise on what a server
sends: a body that breaks its rules comes back with a `malformed` entry and what could be read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.scenarios.model import Action, Command, HeaderFlags, NtStatus

HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
HEADER_SIZE = 64
PROTOCOL_ID = b"\xfeSMB"
TRANSFORM_ID = b"\xfdSMB"
FILE_ID_ALL_FF = b"\xff" * 16
MAX_MESSAGE = 0xFFFFFF


class Malformed(Exception):
    """A response breaks the layout that MS-SMB2 gives it."""


@dataclass(frozen=True)
class Header:
    """MS-SMB2 2.2.1. `async_id` is meaningful with the ASYNC flag, `tree_id` without it."""

    structure_size: int
    credit_charge: int
    status: int
    command: int
    credits: int
    flags: int
    next_command: int
    message_id: int
    reserved: int
    tree_id: int
    session_id: int
    signature: bytes

    @property
    def is_async(self) -> bool:
        return bool(self.flags & HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND)

    @property
    def async_id(self) -> int:
        return self.tree_id << 32 | self.reserved

    def pack(self) -> bytes:
        return HEADER.pack(
            PROTOCOL_ID,
            self.structure_size,
            self.credit_charge,
            self.status,
            self.command,
            self.credits,
            self.flags,
            self.next_command,
            self.message_id,
            self.reserved,
            self.tree_id,
            self.session_id,
            self.signature,
        )


def parse_header(pdu: bytes) -> Header:
    if len(pdu) < HEADER_SIZE:
        raise Malformed(f"{len(pdu)} bytes are too few for a header")
    protocol, *values = HEADER.unpack_from(pdu)
    if protocol != PROTOCOL_ID:
        raise Malformed(f"ProtocolId is {protocol.hex()}")
    return Header(*values)


def split_compound(message: bytes) -> list[bytes]:
    """The PDUs of a transport message, each with the padding up to the next (MS-SMB2 3.2.5.1.9)."""
    pdus: list[bytes] = []
    offset = 0
    while True:
        header = parse_header(message[offset:])
        if header.next_command == 0:
            return [*pdus, message[offset:]]
        if header.next_command < HEADER_SIZE or offset + header.next_command > len(message):
            raise Malformed(f"NextCommand {header.next_command} leaves the message")
        pdus.append(message[offset : offset + header.next_command])
        offset += header.next_command


def pad8(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


# -- requests -----------------------------------------------------------------------------------

Body = Mapping[str, Any]


def _negotiate(body: Body) -> bytes:
    dialects: tuple[int, ...] = body["dialects"]
    contexts: list[tuple[int, bytes]] = body["contexts"]
    table = struct.pack(f"<{len(dialects)}H", *dialects)
    at = HEADER_SIZE + 36 + len(table)
    offset = at + (-at % 8) if contexts else 0
    fixed = struct.pack(
        "<HHHHI16sIHH",
        body["structure_size"],
        len(dialects),
        body["security_mode"],
        0,
        body["capabilities"],
        body["client_guid"],
        offset,
        len(contexts),
        0,
    )
    data = fixed + table
    if contexts:
        data += bytes(offset - at)
        for kind, value in contexts[:-1]:
            data += pad8(struct.pack("<HHI", kind, len(value), 0) + value)
        kind, value = contexts[-1]
        data += struct.pack("<HHI", kind, len(value), 0) + value
    return data


def _session_setup(body: Body) -> bytes:
    token: bytes = body["token"]
    return (
        struct.pack(
            "<HBBIIHHQ",
            body["structure_size"],
            0,
            body["security_mode"],
            body["capabilities"],
            0,
            HEADER_SIZE + 24,
            len(token),
            body["previous_session_id"],
        )
        + token
    )


def _tree_connect(body: Body) -> bytes:
    path = str(body["path"]).encode("utf-16-le")
    return struct.pack("<HHHH", body["structure_size"], 0, HEADER_SIZE + 8, len(path)) + path


def create_context(name: bytes, data: bytes = b"") -> bytes:
    """One SMB2_CREATE_CONTEXT, the last of its list (MS-SMB2 2.2.13.2)."""
    data_offset = 24 if data else 0
    head = struct.pack("<IHHHHI", 0, 16, len(name), 0, data_offset, len(data))
    return pad8(head + name) + data if data else pad8(head + name)


def _create(body: Body) -> bytes:
    name = str(body["path"]).encode("utf-16-le")
    contexts = create_context(b"MxAc") if body["maximal_access"] else b""
    name_offset = HEADER_SIZE + 56
    # The buffer is at least one byte long (StructureSize 57), so an empty name still has room.
    buffer = name or (b"" if contexts else b"\0")
    contexts_offset = 0
    if contexts:
        buffer = pad8(buffer or bytes(8))
        contexts_offset = name_offset + len(buffer)
        buffer += contexts
    return (
        struct.pack(
            "<HBBIQQIIIIIHHII",
            body["structure_size"],
            0,
            body["requested_oplock_level"],
            body["impersonation_level"],
            0,
            0,
            body["desired_access"],
            body["file_attributes"],
            body["share_access"],
            body["create_disposition"],
            body["create_options"],
            name_offset,
            len(name),
            contexts_offset,
            len(contexts),
        )
        + buffer
    )


def _close(body: Body) -> bytes:
    file_id: bytes = body["file_id"]
    return struct.pack("<HHI16s", body["structure_size"], body["flags"], 0, file_id)


def _write(body: Body) -> bytes:
    data = b"x" * int(body["length"])
    return (
        struct.pack(
            "<HHIQ16sIIHHI",
            body["structure_size"],
            HEADER_SIZE + 48,
            len(data),
            body["offset"],
            body["file_id"],
            0,
            0,
            0,
            0,
            0,
        )
        + data
    )


def _change_notify(body: Body) -> bytes:
    flags = body.get("flags", 1 if body["watch_tree"] else 0)
    return struct.pack(
        "<HHI16sII",
        body["structure_size"],
        flags,
        body["output_buffer_length"],
        body["file_id"],
        body["completion_filter"],
        0,
    )


def _rename_or_link(body: Body) -> bytes:
    """FILE_RENAME_INFORMATION / FILE_LINK_INFORMATION for SMB2 (MS-FSCC 2.4.42.2, 2.4.27.2)."""
    target = str(body["target"]).encode("utf-16-le")
    data = struct.pack("<B7xQI", body["replace_if_exists"], 0, len(target)) + target
    return data + bytes(max(0, 24 - len(data)))


def _basic(body: Body) -> bytes:
    times = [body.get(name, 0) for name in BASIC_TIMES]
    return struct.pack("<QQQQII", *times, body.get("file_attributes", 0), 0)


BASIC_TIMES = ("creation_time", "last_access_time", "last_write_time", "change_time")


def _full_ea(body: Body) -> bytes:
    """One FILE_FULL_EA_INFORMATION (MS-FSCC 2.4.16)."""
    name, value = str(body["ea_name"]).encode("ascii"), str(body["ea_value"]).encode("ascii")
    return struct.pack("<IBBH", 0, 0, len(name), len(value)) + name + b"\0" + value


SD_DACL_SELF_RELATIVE = 0x8004  # SE_SELF_RELATIVE | SE_DACL_PRESENT
EVERYONE = bytes.fromhex("010100000000000100000000")  # S-1-1-0


def _security_descriptor(body: Body) -> bytes:
    """A DACL that grants `access_mask` to everyone (MS-DTYP 2.4.6, 2.4.5, 2.4.4.2)."""
    ace = struct.pack("<BBHI", 0, 0, 8 + len(EVERYONE), body["access_mask"]) + EVERYONE
    acl = struct.pack("<BBHHH", 2, 0, 8 + len(ace), 1, 0) + ace
    return struct.pack("<BBHIIII", 1, 0, SD_DACL_SELF_RELATIVE, 0, 0, 0, 20) + acl


INFO_FILE, INFO_SECURITY = 1, 3  # InfoType (MS-SMB2 2.2.39)

INFORMATION: dict[int, Callable[[Body], bytes]] = {
    4: _basic,
    10: _rename_or_link,
    11: _rename_or_link,
    15: _full_ea,
    13: lambda body: struct.pack("<B", body["delete_pending"]),
    20: lambda body: struct.pack("<Q", body["end_of_file"]),
}


def _set_info(body: Body) -> bytes:
    security = body["info_type"] == INFO_SECURITY
    data = (_security_descriptor if security else INFORMATION[body["file_info_class"]])(body)
    return (
        struct.pack(
            "<HBBIHHI16s",
            body["structure_size"],
            body["info_type"],
            body["file_info_class"],
            len(data),
            HEADER_SIZE + 32,
            0,
            body["additional_information"],
            body["file_id"],
        )
        + data
    )


def _four(body: Body) -> bytes:
    return struct.pack("<HH", body["structure_size"], 0)


BUILDERS: dict[Command, tuple[Callable[[Body], bytes], dict[str, Any]]] = {
    Command.NEGOTIATE: (_negotiate, {"structure_size": 36}),
    Command.SESSION_SETUP: (
        _session_setup,
        {"structure_size": 25, "capabilities": 0, "previous_session_id": 0},
    ),
    Command.LOGOFF: (_four, {"structure_size": 4}),
    Command.TREE_CONNECT: (_tree_connect, {"structure_size": 9}),
    Command.TREE_DISCONNECT: (_four, {"structure_size": 4}),
    Command.CREATE: (
        _create,
        {
            "structure_size": 57,
            "requested_oplock_level": 0,
            "impersonation_level": 2,
            "file_attributes": 0,
            "maximal_access": False,
        },
    ),
    Command.CLOSE: (_close, {"structure_size": 24, "flags": 0}),
    Command.WRITE: (_write, {"structure_size": 49, "offset": 0}),
    Command.CANCEL: (_four, {"structure_size": 4}),
    Command.ECHO: (_four, {"structure_size": 4}),
    Command.CHANGE_NOTIFY: (_change_notify, {"structure_size": 32, "watch_tree": False}),
    Command.SET_INFO: (
        _set_info,
        {
            "structure_size": 33,
            "info_type": INFO_FILE,
            "additional_information": 0,
            "replace_if_exists": False,
        },
    ),
}


def build_body(command: Command, fields: Body) -> bytes:
    """The body of a request; a field not given has the value that clients send."""
    builder, defaults = BUILDERS[command]
    return builder({**defaults, **fields})


# -- responses ----------------------------------------------------------------------------------


def decode_records(buffer: bytes) -> list[dict[str, Any]]:
    """FILE_NOTIFY_INFORMATION entries (MS-FSCC 2.7.1), with their raw layout."""
    records: list[dict[str, Any]] = []
    offset = 0
    while True:
        if offset + 12 > len(buffer):
            raise Malformed(f"record at {offset} of {len(buffer)} bytes has no room for its header")
        following, action, length = struct.unpack_from("<III", buffer, offset)
        name = buffer[offset + 12 : offset + 12 + length]
        if len(name) < length:
            raise Malformed(f"record at {offset}: FileNameLength {length} leaves the buffer")
        records.append(
            {
                "offset": offset,
                "next_entry_offset": following,
                "action": Action(action).name if action in list(Action) else str(action),
                "file_name_length": length,
                "name": name.decode("utf-16-le", errors="replace"),
                "name_raw": name.hex(),
            }
        )
        if following == 0:
            return records
        if following < 12 + length:
            raise Malformed(f"record at {offset}: NextEntryOffset {following} lies inside it")
        offset += following


def _slice(pdu: bytes, offset: int, length: int) -> bytes:
    """A variable part; offsets count from the header. An empty one may have any offset."""
    if length == 0:
        return b""
    if offset < HEADER_SIZE or offset + length > len(pdu):
        raise Malformed(f"offset {offset} + length {length} leave the {len(pdu)} bytes of the PDU")
    return pdu[offset : offset + length]


def _parse_negotiate(pdu: bytes, body: bytes) -> dict[str, Any]:
    _, mode, dialect, count, guid, capabilities, transact, read, write = struct.unpack_from(
        "<HHHH16sIIII", body
    )
    offset, length, contexts_offset = struct.unpack_from("<HHI", body, 56)
    contexts: dict[int, str] = {}
    at = contexts_offset - HEADER_SIZE
    for _ in range(count if dialect == 0x0311 else 0):
        kind, size = struct.unpack_from("<HH", body, at)
        contexts[kind] = body[at + 8 : at + 8 + size].hex()
        at += 8 + size + (-size % 8)
    return {
        "security_mode": mode,
        "dialect_revision": dialect,
        "server_guid": guid.hex(),
        "capabilities": capabilities,
        "max_transact_size": transact,
        "max_read_size": read,
        "max_write_size": write,
        "security_buffer": _slice(pdu, offset, length).hex(),
        "contexts": contexts,
    }


def _parse_session_setup(pdu: bytes, body: bytes) -> dict[str, Any]:
    flags, offset, length = struct.unpack_from("<HHH", body, 2)
    return {"session_flags": flags, "security_buffer": _slice(pdu, offset, length).hex()}


def _parse_tree_connect(pdu: bytes, body: bytes) -> dict[str, Any]:
    kind, share_flags, capabilities, access = struct.unpack_from("<BxIII", body, 2)
    return {
        "share_type": kind,
        "share_flags": share_flags,
        "capabilities": capabilities,
        "maximal_access": access,
    }


def _parse_create(pdu: bytes, body: bytes) -> dict[str, Any]:
    oplock, action = struct.unpack_from("<BxI", body, 2)
    attributes = struct.unpack_from("<I", body, 56)[0]
    file_id = body[64:80].hex()
    offset, length = struct.unpack_from("<II", body, 80)
    contexts: dict[str, str] = {}
    area = _slice(pdu, offset, length)
    at = 0
    while area:
        following, name_at, name_size, data_at, data_size = struct.unpack_from("<IHHxxHI", area, at)
        name = area[at + name_at : at + name_at + name_size].decode("ascii", errors="replace")
        contexts[name] = area[at + data_at : at + data_at + data_size].hex() if data_size else ""
        if following == 0:
            break
        at += following
    return {
        "oplock_level": oplock,
        "create_action": action,
        "file_attributes": attributes,
        "file_id": file_id,
        "contexts": contexts,
    }


def _parse_change_notify(pdu: bytes, body: bytes) -> dict[str, Any]:
    offset, length = struct.unpack_from("<HI", body, 2)
    parsed: dict[str, Any] = {"output_buffer_offset": offset, "output_buffer_length": length}
    buffer = _slice(pdu, offset, length)
    parsed["records"] = decode_records(buffer) if buffer else []
    return parsed


def _parse_error(pdu: bytes, body: bytes) -> dict[str, Any]:
    contexts, _, count = struct.unpack_from("<BBI", body, 2)
    return {"error": True, "error_context_count": contexts, "byte_count": count}


PARSERS: dict[int, Callable[[bytes, bytes], dict[str, Any]]] = {
    Command.NEGOTIATE: _parse_negotiate,
    Command.SESSION_SETUP: _parse_session_setup,
    Command.TREE_CONNECT: _parse_tree_connect,
    Command.CREATE: _parse_create,
    Command.CHANGE_NOTIFY: _parse_change_notify,
}

# Failures that carry their command's own body, not an ERROR one (MS-SMB2 3.3.4.4).
NO_ERROR_BODY = {
    (Command.SESSION_SETUP, NtStatus.STATUS_MORE_PROCESSING_REQUIRED),
    (Command.CHANGE_NOTIFY, NtStatus.STATUS_NOTIFY_ENUM_DIR),
}


def parse_body(header: Header, pdu: bytes) -> dict[str, Any]:
    """The fields of a response's body by name; `malformed` says what broke, if anything did."""
    body = pdu[HEADER_SIZE:]
    if len(body) < 2:
        return {"malformed": f"a body of {len(body)} bytes"}
    parsed: dict[str, Any] = {"structure_size": struct.unpack_from("<H", body)[0]}
    is_error = (
        header.status != NtStatus.STATUS_SUCCESS
        and (header.command, header.status) not in NO_ERROR_BODY
    )
    parser = _parse_error if is_error else PARSERS.get(header.command)
    try:
        if parser is not None:
            parsed.update(parser(pdu, body))
    except Malformed as error:
        parsed["malformed"] = str(error)
    except struct.error as error:
        parsed["malformed"] = f"truncated: {error}"
    return parsed
