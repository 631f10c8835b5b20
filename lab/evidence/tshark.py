"""Decoding a capture with tshark: one `Pdu` for each SMB2 PDU, whatever frame it came in.

PDML, because it alone keeps what belongs together: a compound is several `<proto name="smb2">` in
one packet, an encrypted message is one inside another, a reply's records are in order, and each
name comes with its bytes. Tested with the tsharks of Debian 12 (4.0) and 13 (4.4).

The display filter names every field that is read here and is true anyway: a tshark that does not
know one of them refuses to start and says which.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from lab.errors import LabFailed
from lab.evidence.pdu import CHANGE_NOTIFY, TREE_CONNECT, Notify, Pdu, Record, TcpEvent
from lab.nodes.model import Completed, DeadlineExceeded

OLDEST = (4, 0)
DEADLINE_S = 60.0
PACKAGE = "apt-get install tshark"

FIELDS = (
    "smb2.cmd",
    "smb2.flags",
    "smb2.nt_status",
    "smb2.msg_id",
    "smb2.aid",
    "smb2.sesid",
    "smb2.credits.requested",
    "smb2.credits.granted",
    "smb2.credit.charge",
    "smb2.dialect",
    "smb2.tree",
    "smb2.fid",
    "smb2.filename",
    "smb2.infolevel",
    "smb2.file_info.infolevel",
    "smb2.fs_info.infolevel",
    "smb2.sec_info.infolevel",
    "smb2.notify.flags",
    "smb2.notify.action",
    "smb2.create.disposition",
    "smb.create_options",
    "smb2.disposition.delete_on_close",
    "smb2.output_buffer_len",
    "smb2.olb.length",
    "smb.nt.notify.completion_filter",
    "smb2.header.transform.msg_size",
    "tcp.stream",
)
# Parents whose children PDML must keep; all else below "smb2" and "tcp" is left out of the output.
_KEPT = (
    "tcp",
    "smb2",
    "text",
    "smb2.fid",
    "smb2.tid",
    "smb2.tree",
    "smb2.file_rename_info",
    "smb2.file_disposition_info",
    "smb2.notify.out",
    "smb2.notify.info",
    "_ws.malformed",
)


class Runs(Protocol):
    """What decoding needs of a node."""

    def run(self, argv: Sequence[str], *, deadline: float) -> Completed: ...


class TsharkError(LabFailed):
    """tshark is missing, too old, or cannot read the capture."""


@dataclass(frozen=True)
class SessionKey:
    """What decrypts a session: its SessionId and Session.SessionKey (MS-SMB2 3.3.1.8)."""

    session_id: int
    session_key: bytes

    def preference(self) -> str:
        """As a row of tshark's table; it derives the ciphers' keys from the captured handshake."""
        session_id = self.session_id.to_bytes(8, "little").hex()
        return f'uat:smb2_seskey_list:{session_id},{self.session_key.hex()},"",""'


def argv(path: str, port: int, keys: Sequence[SessionKey] = ()) -> list[str]:
    """The command that prints the capture's SMB2 and TCP events as PDML."""
    known = " || ".join(FIELDS)
    wanted = "tcp.flags.syn == 1 || tcp.flags.fin == 1 || tcp.flags.reset == 1"
    command = ["tshark", "-n", "-2", "-r", path, "-Y", f"smb2 || {wanted} || ({known})"]
    if port != 445:
        command += ["-d", f"tcp.port=={port},nbss"]
    for key in keys:
        command += ["-o", key.preference()]
    return [*command, "-T", "pdml", "-j", " ".join(_KEPT)]


_UNKNOWN_FIELD = re.compile(r'"([\w.]+)" is (?:not a valid|neither)')
_VERSION = re.compile(rb'creator="wireshark/(\d+)\.(\d+)')


def check(done: Completed) -> bytes:
    """The PDML of a finished tshark. Raises `TsharkError` with cause and remedy."""
    said = done.stderr.decode(errors="backslashreplace")
    version = _VERSION.search(done.stdout[:1000])
    unknown = _UNKNOWN_FIELD.search(said)
    if unknown:
        raise TsharkError(
            f"this tshark does not know the field {unknown[1]}: it is of another version",
            f"use tshark {OLDEST[0]}.{OLDEST[1]} or newer, as in Debian 12 and 13",
        )
    if version and (int(version[1]), int(version[2])) < OLDEST:
        found = f"{int(version[1])}.{int(version[2])}"
        raise TsharkError(f"tshark {found} is too old, 4.0 is needed", PACKAGE)
    if done.returncode != 0 or not version:
        lines = [line for line in said.splitlines() if not line.startswith("Running as user")]
        raise TsharkError(f"tshark failed: {' '.join(lines).strip() or done.returncode}")
    return done.stdout


def decode(
    run: Callable[[Sequence[str]], Completed],
    path: str,
    port: int,
    keys: Sequence[SessionKey] = (),
) -> list[Pdu | TcpEvent]:
    """Decode the capture at `path`, on whatever machine `run` runs commands. Raises TsharkError."""
    return list(parse(check(run(argv(path, port, keys))), port))


def run_here(command: Sequence[str]) -> Completed:
    """Run tshark on this machine. Raises `TsharkError` if there is none."""
    if shutil.which(command[0]) is None:
        raise TsharkError("tshark is not installed", PACKAGE)
    try:
        done = subprocess.run(list(command), capture_output=True, timeout=DEADLINE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise TsharkError(f"tshark did not end within {DEADLINE_S:g} s") from error
    return Completed(done.returncode, done.stdout, done.stderr)


def on_node(node: Runs, deadline: float) -> Callable[[Sequence[str]], Completed]:
    """What runs tshark on a node, for `decode`; what nobody reads is left out there already.

    Its errors are without the command line, which has the session keys in it.
    """

    def run(command: Sequence[str]) -> Completed:
        try:
            return node.run(
                ["bash", "-c", _SLIM, "bash", _UNREAD_LINE, *command], deadline=deadline
            )
        except DeadlineExceeded:
            raise TsharkError(
                f"tshark did not end within {deadline:g} s",
                "the machine is busy: fewer servers at a time, or --no-capture",
            ) from None

    return run


# -- PDML → PDUs --------------------------------------------------------------------------------

_NOT_XML = bytes(b if b >= 0x20 or b in b"\t\n\r" else ord("?") for b in range(256))
_READ = [
    *FIELDS,
    "num",
    "timestamp",
    "smb2.protocol_id",
    "smb2.chain_offset",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
]
# Most of PDML is fields that nobody reads here: leaving them out before parsing halves the time.
_UNREAD_LINE = rf'^ *<field name="(?!(?:{"|".join(map(re.escape, _READ))})")[^"]*".*/>$'
_UNREAD = re.compile(_UNREAD_LINE.encode() + b"\n", re.MULTILINE)
# grep's status is 1 if it prints nothing, which a tshark that works never causes.
_SLIM = 'set -o pipefail; unread=$1; shift; "$@" | LC_ALL=C grep -avP "$unread"'


def parse(pdml: bytes, port: int) -> Iterator[Pdu | TcpEvent]:
    """Every PDU and TCP event, in the capture's order. Raises `TsharkError` on what is no PDML."""
    source = BytesIO(
        _UNREAD.sub(b"", pdml.translate(_NOT_XML))
    )  # names are read from their bytes, not from text
    try:
        # Names are in attributes, escaped by tshark; it writes no document type.
        for _, element in ElementTree.iterparse(source):  # noqa: S314
            if element.tag == "packet":
                yield from _packet(element, port)
                element.clear()
    except ElementTree.ParseError as error:
        raise TsharkError(f"tshark's output ends early or is damaged: {error}") from error


@dataclass(frozen=True)
class _Frame:
    number: int
    time: float
    stream: int
    client_port: int
    from_client: bool


def _packet(packet: Element, port: int) -> Iterator[Pdu | TcpEvent]:
    protos: dict[str, Element] = {}
    for proto in packet.findall("proto"):
        protos.setdefault(proto.get("name", ""), proto)
    general, tcp = protos["geninfo"], protos.get("tcp")
    if tcp is None:
        return
    ports = [int(_child(tcp, "tcp.srcport").get("show", "0"))]
    ports.append(int(_child(tcp, "tcp.dstport").get("show", "0")))
    frame = _Frame(
        int(_child(general, "num").get("show", "0")),
        float(_child(general, "timestamp").get("value", "0")),
        int(_child(tcp, "tcp.stream").get("show", "0")),
        ports[0] if ports[1] == port else ports[1],
        ports[1] == port,
    )
    flags = int(_child(tcp, "tcp.flags").get("show", "0"), 16)
    malformed = packet.find(".//proto[@name='_ws.malformed']") is not None
    for compound in _compounds(packet):
        for position, proto in enumerate(compound):
            last = position == len(compound) - 1
            yield _pdu(proto, frame, position, len(compound), malformed and last)
    for bit, what in TCP_EVENTS.items():
        if flags & bit and (what != "SYN" or frame.from_client):
            yield TcpEvent(
                frame.number, frame.time, frame.stream, frame.client_port, what, frame.from_client
            )
            break


TCP_EVENTS: Mapping[int, str] = {0x04: "RST", 0x02: "SYN", 0x01: "FIN"}


def _child(parent: Element, name: str) -> Element:
    found = parent.find(f"field[@name='{name}']")
    if found is None:
        raise TsharkError(f"tshark's output has no field {name}: it is of another version")
    return found


def _compounds(packet: Element) -> list[list[Element]]:
    """The frame's messages, each a list of its PDUs: NextCommand (2.2.1) tells where one goes on.

    Several messages may share a TCP segment. An encrypted message's PDUs stand inside it.
    """
    messages: list[list[Element]] = []
    goes_on = False
    for proto in _plain(packet):
        if goes_on:
            messages[-1].append(proto)
        else:
            messages.append([proto])
        goes_on = _number(_fields(proto), "smb2.chain_offset") > 0
    return messages


def _plain(element: Element) -> Iterator[Element]:
    """The SMB2 protos that carry a PDU, decrypted ones instead of what they were sealed in."""
    for proto in element.findall("proto[@name='smb2']"):
        inner = proto.findall("field/proto[@name='smb2']")
        for sealed in inner:
            sealed.set("sealed", "yes")
            yield sealed
        if not inner and proto.find("field/field[@name='smb2.protocol_id']") is not None:
            yield proto


def _fields(proto: Element) -> dict[str, list[Element]]:
    found: dict[str, list[Element]] = {}
    for element in proto.iter("field"):
        found.setdefault(element.get("name", ""), []).append(element)
    return found


_Fields = Mapping[str, Sequence[Element]]


def _number(fields: _Fields, name: str) -> int:
    """The field's first value; 0 without it. Hexadecimal, decimal, or True and False (4.4)."""
    for element in fields.get(name, ()):
        shown = element.get("show", "")
        return int(shown, 0) if shown[:1].isdigit() else int(shown == "True")
    return 0


def _maybe(fields: _Fields, name: str) -> int | None:
    return _number(fields, name) if name in fields else None


def _text(element: Element) -> str:
    """A name from its bytes as captured: what is no UTF-16 stays visible, escaped."""
    raw = bytes.fromhex(element.get("value", ""))
    if len(raw) % 2:
        return raw.decode("latin-1")
    text = raw.decode("utf-16-le", errors="surrogatepass")
    return text.encode("utf-8", errors="backslashreplace").decode()


def _status_name(fields: _Fields) -> str:
    """tshark's name of the NTSTATUS, or its eight hexadecimal digits."""
    for element in fields.get("smb2.nt_status", ()):
        words = element.get("showname", "").partition(": ")[2].split(" (")[0]
        known = words.startswith("STATUS_") or words.startswith("NT_STATUS_")
        return words if known else f"0x{int(element.get('show', '0'), 16):08X}"
    return ""


def _pdu(proto: Element, frame: _Frame, position: int, count: int, malformed: bool) -> Pdu:
    fields = _fields(proto)
    if "smb2.cmd" not in fields:
        return Pdu(
            frame.number,
            frame.time,
            frame.stream,
            frame.client_port,
            command=-1,
            flags=0 if frame.from_client else 1,
            sealed=True,
            malformed=malformed,
        )
    command = _number(fields, "smb2.cmd")
    response = _number(fields, "smb2.flags") & 1
    return Pdu(
        frame.number,
        frame.time,
        frame.stream,
        frame.client_port,
        command=command,
        flags=_number(fields, "smb2.flags"),
        position=position,
        count=count,
        status=_maybe(fields, "smb2.nt_status") if response else None,
        status_name=_status_name(fields) if response else "",
        message_id=_number(fields, "smb2.msg_id"),
        async_id=_maybe(fields, "smb2.aid"),
        session_id=_number(fields, "smb2.sesid"),
        credits=_number(fields, "smb2.credits.granted" if response else "smb2.credits.requested"),
        credit_charge=_number(fields, "smb2.credit.charge"),
        sealed=proto.get("sealed") == "yes",
        file_id=_file_id(fields),
        name=_name(fields),
        notify=_notify(fields),
        records=tuple(_records(proto)),
        output_length=_maybe(fields, "smb2.olb.length")
        if response and command == CHANGE_NOTIFY
        else None,
        info=_info(fields),
        disposition=_maybe(fields, "smb2.create.disposition"),
        options=_number(fields, "smb.create_options"),
        delete_pending=bool(_number(fields, "smb2.disposition.delete_on_close")),
        dialect=_maybe(fields, "smb2.dialect") if response else None,
        tree=_tree(fields) if command == TREE_CONNECT and not response else "",
        malformed=malformed,
    )


def _tree(fields: _Fields) -> str:
    elements = fields.get("smb2.tree")
    return elements[0].get("show", "") if elements else ""


def _file_id(fields: _Fields) -> str | None:
    """As on the wire: persistent part, then volatile part."""
    elements = fields.get("smb2.fid")
    return elements[0].get("value", "")[:32] if elements else None


def _name(fields: _Fields) -> str | None:
    """The first name outside of a record: CREATE's, or SET_INFO's new one."""
    elements = fields.get("smb2.filename")
    if not elements or "smb2.notify.action" in fields:
        return None
    return _text(elements[0]) if elements[0].get("value") else ""


def _notify(fields: _Fields) -> Notify | None:
    if "smb.nt.notify.completion_filter" not in fields:
        return None
    return Notify(
        _number(fields, "smb.nt.notify.completion_filter"),
        bool(_number(fields, "smb2.notify.flags") & 1),
        _number(fields, "smb2.output_buffer_len"),
    )


def _records(proto: Element) -> Iterator[Record]:
    for info in proto.iter("field"):
        if info.get("name") != "smb2.notify.info":
            continue
        fields = _fields(info)
        name = fields.get("smb2.filename")
        if "smb2.notify.action" in fields:
            yield Record(_number(fields, "smb2.notify.action"), _text(name[0]) if name else "")


_INFO_LEVELS = (
    "smb2.file_info.infolevel",
    "smb2.fs_info.infolevel",
    "smb2.sec_info.infolevel",
    "smb2.infolevel",
)


def _info(fields: _Fields) -> str:
    """As in "SMB2_FILE_RENAME_INFO": tshark's word for the information class."""
    for name in _INFO_LEVELS:
        for element in fields.get(name, ()):
            words = element.get("showname", "").partition(": ")[2]
            return words.partition(" (")[0]
    return ""
