"""The packet ladder: what went over the wire, one rung a PDU, with everything tied together.

Built from tshark's PDUs alone. A FileId gets the name that it was opened with, a response the
request that it answers, a CANCEL the request that it names; each CHANGE_NOTIFY and whatever else
went asynchronous has a label (n1, n2, …) that its request, interim response, CANCEL and final
response share. What every connection begins with (NEGOTIATE, SESSION_SETUP, TREE_CONNECT) is one
rung, unless it fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.evidence import pdu as p
from lab.evidence.pdu import Pdu, TcpEvent

VERSION = 1  # of the layout of ladder.json
DIRECTORY = "{dir}"  # stands for the scenario's directory, which has another name in each run
SETUP = frozenset({p.NEGOTIATE, p.SESSION_SETUP, p.TREE_CONNECT})
STATUS_SUCCESS, STATUS_MORE_PROCESSING_REQUIRED = 0, 0xC0000016
DIALECTS: Mapping[int, str] = {
    0x0202: "2.0.2",
    0x0210: "2.1",
    0x02FF: "2.???",
    0x0300: "3.0",
    0x0302: "3.0.2",
    0x0311: "3.1.1",
}
# MS-SMB2 2.2.13, CreateDisposition and the CreateOptions worth a word.
DISPOSITIONS = ("SUPERSEDE", "OPEN", "CREATE", "OPEN_IF", "OVERWRITE", "OVERWRITE_IF")
CREATE_OPTIONS: Mapping[int, str] = {
    0x1: "DIRECTORY_FILE",
    0x40: "NON_DIRECTORY_FILE",
    0x1000: "DELETE_ON_CLOSE",
}


@dataclass(frozen=True)
class Rung:
    """One line of a ladder.

    `time` in seconds since the ladder's first rung. `stage`: request, interim, final, cancel, setup
    or event (of TCP). `exchange` is the number of the request on its connection that this belongs
    to, -1 for none; `label` ties the rungs of one asynchronous exchange together ("" for others).
    `file` is the name that the FileId was opened with. `details` are the request's parameters.
    """

    frame: int
    time: float
    conn: str
    from_client: bool
    command: str
    stage: str
    status: str = ""
    message_id: int = 0
    async_id: int | None = None
    credits: int = 0
    signed: bool = False
    sealed: bool = False
    position: int = 0
    count: int = 1
    exchange: int = -1
    label: str = ""
    file: str = ""
    all_ff: bool = False
    details: tuple[str, ...] = ()
    records: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ladder:
    """All rungs of one scenario on one server, in the order of the wire.

    `began` is the first rung's time in seconds of the epoch; 0 where an older file does not say.
    """

    server: str
    scenario: str
    directory: str
    rungs: tuple[Rung, ...]
    began: float = 0.0

    @property
    def conns(self) -> list[str]:
        return list(dict.fromkeys(rung.conn for rung in self.rungs))

    def to_json(self) -> dict[str, Any]:
        """Rungs without what is at its default, to keep reports small."""
        return {
            "version": VERSION,
            "server": self.server,
            "scenario": self.scenario,
            "directory": self.directory,
            "began": round(self.began, 6),
            "rungs": [_compact(rung) for rung in self.rungs],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Ladder:
        """Raises ValueError for another version's file."""
        if plain.get("version") != VERSION:
            raise ValueError(f"a ladder of version {plain.get('version')}, not {VERSION}")
        rungs = tuple(_rung(rung) for rung in plain["rungs"])
        began = float(plain.get("began", 0.0))
        return cls(plain["server"], plain["scenario"], plain["directory"], rungs, began)


_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Rung)}


def _compact(rung: Rung) -> dict[str, Any]:
    values = {f.name: getattr(rung, f.name) for f in dataclasses.fields(rung)}
    values["time"] = round(rung.time, 6)
    return {name: value for name, value in values.items() if value != _DEFAULTS[name]}


def _rung(plain: Mapping[str, Any]) -> Rung:
    values = dict(plain)
    values["details"] = tuple(values.get("details", ()))
    values["records"] = tuple((action, name) for action, name in values.get("records", ()))
    return Rung(**values)


def status_word(name: str) -> str:
    """As in "PENDING": without its STATUS_ prefix."""
    return name.removeprefix("NT_").removeprefix("STATUS_")


def fold(name: str, directory: str) -> str:
    """The name with the scenario's directory folded; the share's root is "."."""
    if directory and (name == directory or name.startswith(directory + "\\")):
        return DIRECTORY + name[len(directory) :]
    return name or "."


def build(
    decoded: Iterable[Pdu | TcpEvent],
    *,
    server: str = "",
    scenario: str = "",
    directory: str = "",
    conns: Mapping[int, str] | None = None,
) -> Ladder:
    """The ladder of a capture. `conns` names connections by the client's TCP port."""
    events = list(decoded)
    builder = _Builder(directory, conns or {}, _streams_that_set_up_well(events))
    rungs = [rung for event in events for rung in builder.add(event)]
    # A connection's first rung is known only when its setup is over; it belongs where that began.
    rungs = _labelled(sorted(rungs, key=lambda rung: (rung.frame, rung.position)))
    began = rungs[0].time if rungs else 0.0
    rungs = [dataclasses.replace(rung, time=rung.time - began) for rung in rungs]
    return Ladder(server, scenario, directory, tuple(rungs), began)


def _streams_that_set_up_well(events: Sequence[Pdu | TcpEvent]) -> set[int]:
    """The streams whose first commands all succeeded, so that one rung tells them."""
    done: set[int] = set()
    failed: set[int] = set()
    for event in events:
        if isinstance(event, TcpEvent) or event.stream in done:
            continue
        if event.command not in SETUP:
            done.add(event.stream)
        elif event.status not in (None, STATUS_SUCCESS, STATUS_MORE_PROCESSING_REQUIRED):
            failed.add(event.stream)
    return {event.stream for event in events} - failed


@dataclass
class _Exchange:
    """A request that was sent, and what is known of it."""

    number: int
    request: Pdu
    file: str = ""
    details: tuple[str, ...] = ()
    went_async: bool = False


@dataclass
class _Stream:
    """One connection's state while its packets pass by."""

    conn: str
    setting_up: bool
    exchanges: dict[int, _Exchange] = field(default_factory=dict)  # by MessageId
    by_async_id: dict[int, _Exchange] = field(default_factory=dict)
    setup: list[Pdu] = field(default_factory=list)
    last_in_compound: _Exchange | None = None
    signs: bool = False
    logged_off: bool = False
    closed: bool = False
    count: int = 0


class _Builder:
    def __init__(self, directory: str, conns: Mapping[int, str], well: set[int]) -> None:
        self._directory = directory
        self._conns = conns
        self._well = well
        self._streams: dict[int, _Stream] = {}
        self._opens: dict[tuple[int, str], str] = {}  # (SessionId, FileId) → name

    def add(self, event: Pdu | TcpEvent) -> Iterator[Rung]:
        stream = self._streams.get(event.stream)
        if stream is None:
            letter = chr(ord("A") + len(self._streams) % 26)
            name = self._conns.get(event.client_port, letter)
            stream = _Stream(name, setting_up=event.stream in self._well)
            self._streams[event.stream] = stream
        if isinstance(event, TcpEvent):
            yield from self._tcp(stream, event)
            return
        if stream.setting_up and event.command in SETUP:
            stream.setup.append(event)
            return
        yield from self._end_of_setup(stream)
        yield self._request(stream, event) if event.from_client else self._response(stream, event)

    # -- before and after -------------------------------------------------------------------

    def _end_of_setup(self, stream: _Stream) -> Iterator[Rung]:
        stream.setting_up = False
        if stream.setup:
            first, commands = stream.setup[0], len(stream.setup)
            stream.signs = any(
                pdu.flags & p.SIGNED for pdu in stream.setup if pdu.command != p.NEGOTIATE
            )
            sealed = any(pdu.sealed for pdu in stream.setup)
            dialect = next((d for pdu in stream.setup if (d := pdu.dialect)), 0)
            tree = next((pdu.tree for pdu in stream.setup if pdu.tree), "")
            details = (
                f"SMB {DIALECTS.get(dialect, hex(dialect))}",
                "sealed" if sealed else "signed" if stream.signs else "unsigned",
                *((tree,) if tree else ()),
                f"{commands} PDUs",
            )
            yield Rung(
                first.frame, first.time, stream.conn, True, "connect", "setup", details=details
            )
            stream.setup = []

    def _tcp(self, stream: _Stream, event: TcpEvent) -> Iterator[Rung]:
        """A connection's end is worth a rung if it was not the polite one after LOGOFF."""
        if event.what == "SYN" or stream.closed:
            return
        yield from self._end_of_setup(stream)
        stream.closed = True
        if stream.logged_off and event.what == "FIN" and event.from_client:
            return
        what = {"FIN": "connection closed", "RST": "connection reset"}[event.what]
        yield Rung(event.frame, event.time, stream.conn, event.from_client, what, "event")

    # -- PDUs ---------------------------------------------------------------------------------

    def _request(self, stream: _Stream, pdu: Pdu) -> Rung:
        if pdu.command == p.CANCEL:
            return self._cancel(stream, pdu)
        exchange = _Exchange(stream.count, pdu)
        stream.count += 1
        if pdu.position == 0:
            stream.last_in_compound = None
        exchange.file = self._file(stream, pdu)
        exchange.details = self._details(pdu)
        stream.exchanges[pdu.message_id] = exchange
        stream.last_in_compound = exchange
        return self._rung(stream, pdu, "request", exchange, details=exchange.details)

    def _file(self, stream: _Stream, pdu: Pdu) -> str:
        """The name behind the request: CREATE's own, or what its FileId was opened with."""
        if pdu.command == p.CREATE:
            return fold(pdu.name or "", self._directory)
        if pdu.file_id is None:
            return ""
        if pdu.file_id == p.ALL_FF:
            before = stream.last_in_compound
            return before.file if before else ""
        return self._opens.get((pdu.session_id, pdu.file_id), "unknown FileId")

    def _details(self, pdu: Pdu) -> tuple[str, ...]:
        details: list[str] = []
        if pdu.notify:
            details.append(
                f"{p.filter_words(pdu.notify.completion_filter)}"
                f" ({pdu.notify.completion_filter:#x})"
            )
            details += ["WATCH_TREE"] if pdu.notify.watch_tree else []
            details.append(f"BUF {pdu.notify.output_buffer_length}")
        if pdu.command == p.CREATE:
            known = pdu.disposition is not None and pdu.disposition < len(DISPOSITIONS)
            details += [DISPOSITIONS[pdu.disposition or 0]] if known else []
            details += [word for bit, word in CREATE_OPTIONS.items() if pdu.options & bit]
        elif pdu.info:
            details.append(pdu.info.removeprefix("SMB2_"))
            details += [f"to {fold(pdu.name, self._directory)}"] if pdu.name else []
            details += ["delete pending"] if pdu.delete_pending else []
        if pdu.malformed:
            details.append("MALFORMED")
        return tuple(details)

    def _cancel(self, stream: _Stream, pdu: Pdu) -> Rung:
        """MS-SMB2 3.3.5.16: by AsyncId if the ASYNC flag is set, else by MessageId."""
        asynchronous = bool(pdu.flags & p.ASYNC_COMMAND)
        if asynchronous:
            exchange = stream.by_async_id.get(pdu.async_id or 0)
            by = f"by AsyncId {pdu.async_id}"
        else:
            exchange = stream.exchanges.get(pdu.message_id)
            by = f"by MessageId {pdu.message_id}"
        if exchange is None:
            by += ", which is unknown"
        return self._rung(stream, pdu, "cancel", exchange, details=(by,))

    def _response(self, stream: _Stream, pdu: Pdu) -> Rung:
        exchange = stream.exchanges.get(pdu.message_id)
        if pdu.status == STATUS_SUCCESS and exchange:
            self._learn(stream, exchange, pdu)
        if pdu.async_id is not None and exchange:
            stream.by_async_id[pdu.async_id] = exchange
            exchange.went_async = True
        stage = "interim" if pdu.status == p.STATUS_PENDING else "final"
        odd: list[str] = []
        if exchange is None and not (pdu.sealed and pdu.command == -1):
            odd.append("answers no request")
        # A client that does not sign its request is not owed a signature (3.3.4.1.1).
        asked = exchange is None or exchange.request.flags & p.SIGNED
        signed = pdu.sealed or pdu.flags & p.SIGNED
        if stage == "final" and stream.signs and asked and not signed:
            odd.append("unsigned")
        if pdu.malformed:
            odd.append("MALFORMED")
        if stage == "final" and pdu.output_length == 0:
            odd.append("0 bytes")
        records = tuple((p.action_name(record.action), record.name) for record in pdu.records)
        return self._rung(stream, pdu, stage, exchange, details=tuple(odd), records=records)

    def _learn(self, stream: _Stream, exchange: _Exchange, pdu: Pdu) -> None:
        """What a successful response says about names."""
        if pdu.command == p.CREATE and pdu.file_id:
            self._opens[(pdu.session_id, pdu.file_id)] = exchange.file
        elif pdu.command == p.CLOSE and exchange.request.file_id:
            key = exchange.request.session_id, exchange.request.file_id
            if key in self._opens:
                self._opens[key] = f"{exchange.file} (closed)"
        elif pdu.command == p.LOGOFF:
            stream.logged_off = True

    def _rung(
        self,
        stream: _Stream,
        pdu: Pdu,
        stage: str,
        exchange: _Exchange | None,
        *,
        details: tuple[str, ...] = (),
        records: tuple[tuple[str, str], ...] = (),
    ) -> Rung:
        sealed_shut = pdu.command == -1
        return Rung(
            pdu.frame,
            pdu.time,
            stream.conn,
            pdu.from_client,
            "sealed, no key" if sealed_shut else p.command_name(pdu.command),
            "event" if sealed_shut else stage,
            status=status_word(pdu.status_name),
            message_id=pdu.message_id,
            async_id=pdu.async_id if pdu.flags & p.ASYNC_COMMAND else None,
            credits=pdu.credits,
            signed=bool(pdu.flags & p.SIGNED),
            sealed=pdu.sealed,
            position=pdu.position,
            count=pdu.count,
            exchange=exchange.number if exchange else -1,
            file=exchange.file if exchange else "",
            all_ff=pdu.file_id == p.ALL_FF,
            details=details,
            records=records,
        )


def _labelled(rungs: Sequence[Rung]) -> list[Rung]:
    """Number the exchanges that are a CHANGE_NOTIFY, or that went asynchronous."""
    labels: dict[tuple[str, int], str] = {}
    wanted = {
        (rung.conn, rung.exchange)
        for rung in rungs
        if rung.exchange >= 0 and (rung.command == "CHANGE_NOTIFY" or rung.stage == "interim")
    }
    for rung in rungs:
        key = rung.conn, rung.exchange
        if key in wanted and key not in labels:
            labels[key] = f"n{len(labels) + 1}"
    return [
        dataclasses.replace(rung, label=labels.get((rung.conn, rung.exchange), ""))
        for rung in rungs
    ]
