"""The loop: connect, park a request, re-arm at once, tell; connect again when it ends.

The handle's buffer on the server keeps what happens between an answer and the next request
(MS-FSA 2.1.5.11), so nothing is missed as long as the connection holds. What happened while there
was none is unknown, and `Watching(again=True)` says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.client import wire
from lab.client.conn import ConnectFailed, Connection, Exchange, Outgoing
from lab.client.pump import Pump
from lab.errors import LabFailed
from lab.scenarios.model import Command
from lab.watch import filters
from lab.watch.address import Address
from lab.watch.backoff import Backoff, Pace
from lab.watch.events import Changed, Event, Lost, Oddity, Overflowed, Pdu, Watching
from lab.watch.interrupts import Stop
from lab.watch.refusals import TRANSIENT, refused, status_of

DIALECTS = (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
CIPHERS = ("AES-128-GCM", "AES-128-CCM", "AES-256-GCM", "AES-256-CCM")
SIGNING = ("AES-GMAC", "AES-CMAC", "HMAC-SHA256")
LIST_DIRECTORY = 0x00100081  # FILE_LIST_DIRECTORY, FILE_READ_ATTRIBUTES, SYNCHRONIZE
SHARE_ALL = 7
FILE_OPEN = 1
FILE_DIRECTORY_FILE = 1
SESSION_IS_GUEST = 0x1
SESSION_ENCRYPT_DATA = 0x4
SHARE_ENCRYPT_DATA = 0x8000

BUFFER = 65536  # as much as one credit pays for
SCALE = 2.0  # of lab.client's deadlines: hosts far away, guests without KVM
CONNECT_S = 10.0
REQUEST_S = 10.0
ARMED_S = 1.0  # until then a server has parked the request, whether it says so or not
IDLE_S = 30.0  # of silence until an ECHO asks whether anybody is there
ECHO_S = 10.0
END_S = 1.0

TOLD = ("STATUS_SUCCESS", "STATUS_NOTIFY_ENUM_DIR")  # the statuses that tell of changes


@dataclass(frozen=True)
class Wanted:
    """What to watch and as whom; `count` and `timeout` (seconds) end the watch, 0 never."""

    address: Address
    user: str
    password: str = field(repr=False)
    filter: int = filters.ALL
    recursive: bool = False
    count: int = 0
    timeout: float = 0.0


class Ended(Exception):
    """The connection or the handle is gone; another attempt is worth it."""


class Watcher:
    """One watch, over as many connections as it takes.

    `tell` is given each event as it happens; `server` names who answers, where that can be known.
    """

    def __init__(
        self,
        wanted: Wanted,
        pump: Pump,
        tell: Callable[[Event], None],
        stop: Stop,
        *,
        server: Callable[[], str] = lambda: "",
        ladder: bool = False,
    ) -> None:
        self.shown = 0
        self._wanted = wanted
        self._pump = pump
        self._tell = tell
        self._stop = stop
        self._server = server
        self._ladder = ladder
        self._backoff = Backoff()
        self._watched = False
        self._bodies: dict[str, dict[str, Any]] = {}
        self._signing = ""
        self._reset = ""
        self._deadline = time.monotonic() + wanted.timeout if wanted.timeout else None

    def run(self) -> None:
        """Watch until stopped, the count or the timeout; raises LabFailed where that is no use."""
        while not self._done():
            began = time.monotonic()
            try:
                self._watch_once()
            except (ConnectFailed, Ended) as error:
                self._backoff.held(time.monotonic() - began)
                self._after(str(error))

    def _done(self) -> bool:
        return self._counted() or self._stop.asked or self._left(1.0) == 0

    def _counted(self) -> bool:
        return bool(self._wanted.count) and self.shown >= self._wanted.count

    def _left(self, seconds: float) -> float:
        """So many seconds, or what is left until the timeout."""
        if self._deadline is None:
            return seconds
        return max(min(seconds, self._deadline - time.monotonic()), 0.0)

    def _after(self, why: str) -> None:
        """Wait for the next attempt, or give up: a refusal for good, or nobody there at all."""
        if self._done():
            return
        named = status_of(why)
        if named is not None and named[1] not in TRANSIENT:
            raise self._refused(*named)
        if not self._watched:
            raise LabFailed(
                f"cannot watch {self._wanted.address}: {why}",
                "does a server run there, and is this its port? //HOST:PORT/SHARE names another",
            )
        delay = self._backoff.failed()
        self._tell(Lost(why, delay))
        self._stop.polite = True
        self._pump.until(self._done, self._left(delay))

    def _refused(self, command: str, status: str) -> LabFailed:
        wanted = self._wanted
        return refused(command, status, wanted.address, wanted.user, self._server())

    # -- one connection -------------------------------------------------------------------------

    def _watch_once(self) -> None:
        self._stop.polite = False
        self._reset = ""
        self._bodies.clear()
        connection = Connection("watch", self._pump, self._observe, SCALE)
        try:
            file_id = self._open(connection)
            self._stop.polite = True
            try:
                self._follow(connection, file_id)
            except LabFailed:
                self._log_off(connection, file_id)
                raise
        finally:
            connection.close()

    def _observe(self, kind: str, **values: Any) -> None:
        """What `lab.client` observes: kept, told as the ladder, or passed over."""
        if kind == "pdu":
            if values["dir"] == "in":
                self._bodies[values["command"]] = values["body"]
                self._signing = values["signing"]
            if self._ladder:
                self._tell(Pdu(values))
        elif kind == "garbage":
            self._tell(Oddity(f"not SMB2, and passed over: {values['why']}"))
        elif kind == "reset":
            self._reset = str(values["why"])

    def _open(self, connection: Connection) -> bytes:
        """Connect, log on, and open the directory; its FileId."""
        address = self._wanted.address
        connection.open(address.host, address.port, CONNECT_S)
        connection.negotiate(DIALECTS, SIGNING, CIPHERS)
        try:
            self._log_on(connection)
        except ConnectFailed:
            if self._must_seal() and not connection.cipher:
                raise LabFailed(
                    f"{address} insists on encryption, and the server agreed on no cipher with us",
                    f"the client has {', '.join(CIPHERS)}",
                ) from None
            raise
        fields = {
            "path": address.smb_path,
            "desired_access": LIST_DIRECTORY,
            "share_access": SHARE_ALL,
            "create_disposition": FILE_OPEN,
            "create_options": FILE_DIRECTORY_FILE,
        }
        created = self._ask(connection, Command.CREATE, fields, REQUEST_S)
        if created.final is None:
            raise self._ended(connection, "no response to CREATE")
        if created.status != "STATUS_SUCCESS":
            raise ConnectFailed(f"CREATE: {created.status}")
        if "file_id" not in created.final["body"]:
            raise Ended("the response to CREATE breaks its layout")
        return bytes.fromhex(created.final["body"]["file_id"])

    def _log_on(self, connection: Connection) -> None:
        """SESSION_SETUP and TREE_CONNECT; from where the server asks for it on, sealed."""
        domain, _, user = self._wanted.user.rpartition("\\")
        connection.log_on(user, self._wanted.password, domain)
        if self._flags("SESSION_SETUP", "session_flags") & SESSION_IS_GUEST:
            raise LabFailed(
                f"{self._wanted.address.host} does not know {self._wanted.user!r} and let it in "
                "as a guest, whose sessions cannot be signed",
                "--user NAME, a user that the server knows",
            )
        connection.tree_connect(self._wanted.address.host, self._wanted.address.share)

    def _must_seal(self) -> bool:
        session = self._flags("SESSION_SETUP", "session_flags") & SESSION_ENCRYPT_DATA
        return bool(session or self._flags("TREE_CONNECT", "share_flags") & SHARE_ENCRYPT_DATA)

    def _flags(self, command: str, name: str) -> int:
        """Of the latest response to a command; 0 if it has none."""
        return int(self._bodies.get(command, {}).get(name, 0))

    def _follow(self, connection: Connection, file_id: bytes) -> None:
        """Park a request, and another as soon as it is answered, until the watch is done."""
        pace = Pace()
        announced = False
        exchange = self._arm(connection, file_id)
        self._wait(connection, lambda: exchange.interim is not None or _over(exchange), ARMED_S)
        while True:
            final = self._checked(connection, exchange) if _over(exchange) else None
            if not announced and not connection.closed:
                self._say_watching(connection)
                announced = True
            if final is not None:
                parked, records = exchange.interim is not None, final["body"].get("records", ())
                pause = pace.answered(parked=parked, records=len(records))
                self._pump.until(self._done, self._left(pause))
                del connection.exchanges[exchange.message_id]
                exchange = self._arm(connection, file_id)
                self._show(final)
            if self._done():
                self._withdraw(connection, exchange)
                self._log_off(connection, file_id)
                return
            self._await_answer(connection, exchange)

    def _arm(self, connection: Connection, file_id: bytes) -> Exchange:
        length = min(BUFFER, connection.max_transact_size or BUFFER)
        fields = {
            "file_id": file_id,
            "completion_filter": self._wanted.filter,
            "watch_tree": self._wanted.recursive,
            "output_buffer_length": length,
        }
        return self._send(connection, Command.CHANGE_NOTIFY, fields, length)

    def _await_answer(self, connection: Connection, exchange: Exchange) -> None:
        """Until it is there or the watch is done; asks now and then whether anybody is there."""
        self._wait(connection, lambda: _over(exchange), IDLE_S)
        if _over(exchange) or self._done():
            return
        if not connection.closed:
            echo = self._ask(connection, Command.ECHO, {}, ECHO_S)
            if _over(echo) or self._done():
                return
        raise self._ended(connection, "the server does not answer an ECHO")

    def _checked(self, connection: Connection, exchange: Exchange) -> dict[str, Any]:
        """A final response that has something to tell; raises what its status means otherwise."""
        final = exchange.final
        assert final is not None
        if exchange.status in TOLD:
            # MS-SMB2 3.2.5.1.1, .3: what is not sealed or signed as agreed is to be discarded.
            if not (final["sealed"] if connection.sealing else final["signature_ok"]):
                raise Ended("a response was neither sealed nor signed as agreed")
            return final
        if exchange.status in TRANSIENT:
            raise Ended(f"the server ended the request with {exchange.status}")
        raise self._refused("CHANGE_NOTIFY", exchange.status)

    def _show(self, final: dict[str, Any]) -> None:
        body = final["body"]
        if "malformed" in body:
            self._tell(Oddity(f"an answer that breaks its layout: {body['malformed']}; list again"))
            return
        if not body.get("records"):
            self._tell(Overflowed(final["status"]))
        for record in body.get("records", ()):
            if self._counted():
                return
            classes = filters.classes(record["action"], self._wanted.filter)
            self.shown += 1
            self._tell(Changed(record["action"], record["name"], tuple(classes)))

    def _say_watching(self, connection: Connection) -> None:
        self._tell(
            Watching(
                where=str(self._wanted.address),
                server=self._server(),
                dialect=connection.dialect,
                signing=self._signing,
                cipher=connection.cipher if connection.sealing else "",
                filter=self._wanted.filter,
                recursive=self._wanted.recursive,
                again=self._watched,
            )
        )
        self._watched = True

    def _withdraw(self, connection: Connection, exchange: Exchange) -> None:
        """CANCEL what is parked. What was buffered wins over a CANCEL, and is still shown."""
        if not _over(exchange) and not connection.closed:
            connection.cancel("cancel", exchange.message_id, exchange.async_id)
            self._pump.until(lambda: _over(exchange) or connection.closed, END_S)
        if exchange.status in TOLD:
            self._show(self._checked(connection, exchange))

    def _log_off(self, connection: Connection, file_id: bytes) -> None:
        """CLOSE and LOGOFF, so that the server keeps nothing of ours."""
        if connection.closed:
            return
        self._ask(connection, Command.CLOSE, {"file_id": file_id}, END_S, polite=True)
        self._ask(connection, Command.LOGOFF, {}, END_S, polite=True)

    # -- requests -------------------------------------------------------------------------------

    def _send(
        self, connection: Connection, command: Command, fields: dict[str, Any], payload: int = 0
    ) -> Exchange:
        body = wire.build_body(command, fields)
        charge = connection.charge(payload)
        (exchange,) = connection.send([Outgoing(command.name.lower(), command, body, charge)])
        return exchange

    def _ask(
        self,
        connection: Connection,
        command: Command,
        fields: dict[str, Any],
        seconds: float,
        *,
        polite: bool = False,
    ) -> Exchange:
        """Send and wait for the answer; `polite` goes on although the watch is done."""
        exchange = self._send(connection, command, fields)
        if polite:
            self._pump.until(lambda: _over(exchange) or connection.closed, seconds)
        else:
            self._wait(connection, lambda: _over(exchange), seconds)
        connection.exchanges.pop(exchange.message_id, None)
        return exchange

    def _wait(self, connection: Connection, arrived: Callable[[], bool], seconds: float) -> None:
        self._pump.until(
            lambda: arrived() or connection.closed or self._done(), self._left(seconds)
        )

    def _ended(self, connection: Connection, otherwise: str) -> Ended:
        if not connection.closed:
            return Ended(otherwise)
        return Ended(
            f"the connection ended ({self._reset})" if self._reset else "the connection ended"
        )


def _over(exchange: Exchange) -> bool:
    return exchange.final is not None
