"""Carrying out a scenario's steps: send what it says, wait as long as it says, observe all of it.

Every step ends with a `step` observation, so that the host knows what had come by then. Where going
on makes no sense (a request that had to succeed did not, an awaited response did not come), a
`stopped` observation says so and the rest is left undone.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.client import wire
from lab.client.conn import ConnectFailed, Connection, Exchange, Observe, Outgoing
from lab.client.pump import HostGone, Pump
from lab.scenarios import model
from lab.scenarios.model import Command, HeaderFlags, Request, Step

REQUEST_DEADLINE = 5.0
LOGOFF_DEADLINE = 0.5
# A response that nothing holds back comes within so many round trips of a server.
WAIT_ROUND_TRIPS = 200
LONGEST_WAIT_S = 10.0
# What a server still does after its interim response takes it as many round trips, at most.
SETTLE_ROUND_TRIPS = 20
LONGEST_SETTLE_S = 2.0
HEADER_FIELDS = {
    "credit_charge",
    "flags",
    "message_id",
    "tree_id",
    "session_id",
    "credits",
    "status",
    "next_command",
}

Ask = Callable[[int, tuple[str, ...]], "dict[str, Any]"]


class Stopped(Exception):
    """The scenario cannot go on; `why` is timeout, status, reset, connect or server."""

    def __init__(self, why: str, text: str, ref: str = "") -> None:
        super().__init__(text)
        self.why = why
        self.text = text
        self.ref = ref


@dataclass(frozen=True)
class Job:
    """Where to run: the server as this process reaches it, and the directory made for it."""

    host: str
    port: int
    share: str
    user: str
    password: str
    directory: str
    scale: float
    accounts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def account(self, name: str) -> tuple[str, str]:
        """User and password of the share's own user, "", or of another of the scenario's."""
        if not name:
            return self.user, self.password
        user, password = self.accounts[name]
        return user, password


class Interpreter:
    """The state of one run of one scenario: its connections, opens and requests, by name."""

    def __init__(
        self, job: Job, pump: Pump, observe: Observe, ask: Ask, latency: float = 0.0
    ) -> None:
        """`latency`: seconds that the server took for one request a moment ago."""
        self._job = job
        self._latency = latency
        self._pump = pump
        self._observe = observe
        self._ask = ask
        self._index = -1
        self._connections: dict[str, Connection] = {}
        self._users: dict[str, str] = {}
        self._opens: dict[str, bytes] = {}
        self._trees: dict[str, int] = {}
        self._exchanges: dict[str, Exchange] = {}
        self._actions: dict[type[Any], Callable[[Any], None]] = {
            model.Connect: self._connect,
            model.Send: self._send,
            model.Cancel: self._cancel,
            model.Wait: self._wait,
            model.OnServer: self._on_server,
            model.Drain: self._drain,
            model.Collect: self._collect,
            model.Drop: self._drop,
            model.Reauthenticate: self._reauthenticate,
            model.Cork: self._cork,
            model.Pause: self._pause,
        }

    def run(self, steps: tuple[Step, ...]) -> None:
        """All steps, or those up to the one that could not be done; never raises."""
        try:
            for self._index, step in enumerate(steps):
                self._actions[type(step)](step)
                self._observe("step", index=self._index)
        except Stopped as stop:
            self._observe("stopped", index=self._index, why=stop.why, ref=stop.ref, text=stop.text)
        except HostGone:
            raise
        except Exception:
            self._observe("crash", index=self._index, traceback=traceback.format_exc())
        finally:
            self._tidy()

    def _tidy(self) -> None:
        """Log off politely, so that no server is left with half a session."""
        logged_on = [c for c in self._connections.values() if not c.closed and c.session_id]
        for connection in logged_on:
            body = wire.build_body(Command.LOGOFF, {})
            self._observe("tidy", conn=connection.name)
            (exchange,) = connection.send([Outgoing("tidy", Command.LOGOFF, body)])
            self._await(connection, exchange, LOGOFF_DEADLINE)
        for connection in self._connections.values():
            connection.close()

    def _await(self, connection: Connection, exchange: Exchange, seconds: float) -> bool:
        return connection.wait(lambda: exchange.final is not None, seconds)

    # -- steps ----------------------------------------------------------------------------------

    def _connect(self, step: model.Connect) -> None:
        connection = Connection(step.conn, self._pump, self._observe, self._job.scale)
        self._connections[step.conn] = connection
        self._users[step.conn] = step.user
        previous = self._connections[step.previous].session_id if step.previous else 0
        try:
            log_on(
                connection,
                self._job,
                step.dialects,
                step.signing,
                step.ciphers,
                previous,
                step.user,
            )
        except ConnectFailed as error:
            raise Stopped("connect", str(error)) from error

    def _send(self, step: model.Send) -> None:
        connection = self._connections[step.conn]
        outgoing = [self._outgoing(connection, request) for request in step.requests]
        exchanges = connection.send(outgoing)
        for request, exchange in zip(step.requests, exchanges, strict=True):
            self._exchanges[request.ref] = exchange
            exchange.opens = request.opens or ""
        for request, exchange in zip(step.requests, exchanges, strict=True):
            if request.wait:
                self._finish(connection, request, exchange)

    def _finish(self, connection: Connection, request: Request, exchange: Exchange) -> None:
        if not self._await(connection, exchange, REQUEST_DEADLINE):
            raise self._no_response(connection, exchange, "final")
        self._check(exchange, request.must)

    def _check(self, exchange: Exchange, must: tuple[str, ...]) -> None:
        """Stop if the answer is none of those needed; else keep what it gave."""
        if must and exchange.status not in must:
            wanted = " or ".join(must)
            text = (
                f"{exchange.command.name} answered {exchange.status}, the scenario needs {wanted}"
            )
            raise Stopped("status", text, exchange.ref)
        if exchange.final is None or not exchange.opens:
            return
        if exchange.command is Command.TREE_CONNECT:
            self._trees[exchange.opens] = exchange.final["header"]["tree_id"]
        elif "file_id" in exchange.final["body"]:
            self._opens[exchange.opens] = bytes.fromhex(exchange.final["body"]["file_id"])

    def _no_response(
        self, connection: Connection, exchange: Exchange, stage: str, point: str = ""
    ) -> Stopped:
        where = f" [{point}]" if point else ""
        if connection.closed:
            text = f"{connection.name} was closed by the server{where}"
            return Stopped("reset", text, exchange.ref)
        text = f"no {stage} response to {exchange.command.name} {exchange.ref}{where}"
        return Stopped("timeout", text, exchange.ref)

    def _outgoing(self, connection: Connection, request: Request) -> Outgoing:
        command = Command[request.command]
        body: dict[str, Any] = dict(request.body)
        if command is Command.TREE_CONNECT:
            body["path"] = f"\\\\{self._job.host}\\{request.share or self._job.share}"
        elif "path" in body:
            body["path"] = "\\".join(part for part in (self._job.directory, body["path"]) if part)
        if "target" in body:
            body["target"] = f"{self._job.directory}\\{body['target']}"
        if request.file is not None:
            body["file_id"] = self._file_id(request.file)
        override = dict(request.override)
        header = {key: value for key, value in override.items() if key in HEADER_FIELDS}
        if request.tree:
            header.setdefault("tree_id", self._trees[request.tree])
        body.update((key, value) for key, value in override.items() if key not in HEADER_FIELDS)
        if isinstance(body.get("file_id"), str):
            body["file_id"] = bytes.fromhex(body["file_id"])
        if body.get("output_buffer_length") == "max + 1":
            body["output_buffer_length"] = connection.max_transact_size + 1
        flags = int(HeaderFlags.SMB2_FLAGS_RELATED_OPERATIONS) if request.related else 0
        length = body.get("output_buffer_length", 0)
        return Outgoing(
            request.ref,
            command,
            wire.build_body(command, body),
            charge=int(header.get("credit_charge") or connection.charge(length)),
            flags=flags,
            header=tuple(header.items()),
        )

    def _file_id(self, name: str) -> bytes:
        if name == "all-ff":
            return wire.FILE_ID_ALL_FF
        if name not in self._opens:
            raise Stopped("status", f"{name} was never opened")
        return self._opens[name]

    def _cancel(self, step: model.Cancel) -> None:
        if not step.target:
            self._connections[step.conn].cancel("", step.message_id, step.async_id)
            return
        exchange = self._exchanges[step.target]
        if exchange.final is not None and not exchange.async_id:
            self._observe("skipped", index=self._index, why=f"{step.target} was never parked")
            return
        if step.by_async_id and not exchange.async_id:
            self._observe("skipped", index=self._index, why=f"{step.target} has no AsyncId")
            return
        self._connections[step.conn].cancel(
            step.target,
            exchange.message_id if step.by_message_id else 0,
            exchange.async_id if step.by_async_id else 0,
        )

    def _wait(self, step: model.Wait) -> None:
        connection = self._connections[step.conn]
        exchange = self._exchanges[step.ref]

        def arrived() -> bool:
            interim = step.stage == "interim" and exchange.interim is not None
            return interim or exchange.final is not None

        patience = min(LONGEST_WAIT_S, WAIT_ROUND_TRIPS * self._latency)
        if not connection.wait(arrived, max(step.deadline, patience)):
            raise self._no_response(connection, exchange, step.stage, step.point)
        self._check(exchange, step.must)

    def _on_server(self, step: model.OnServer) -> None:
        done = self._ask(self._index, step.argv)
        self._observe("server", index=self._index, argv=list(step.argv), **done)
        if done["returncode"] != 0:
            command = " ".join(step.argv)
            raise Stopped("server", f"`{command}` on the server: {done['stderr'].strip()}")

    def _drain(self, step: model.Drain) -> None:
        exchange = self._exchanges.get(step.unless)
        seconds = step.seconds * self._job.scale
        if step.settle:
            seconds = max(seconds, min(LONGEST_SETTLE_S, SETTLE_ROUND_TRIPS * self._latency))
        self._pump.until(lambda: exchange is not None and exchange.final is not None, seconds)

    def _collect(self, step: model.Collect) -> None:
        connection = self._connections[step.conn]
        records: list[list[str]] = []
        refs: list[str] = []
        ended = ""
        number = 0
        exchange = self._exchanges.get(step.first) if step.first else None
        while not ended:
            if exchange is None:
                number += 1
                request = Request(
                    "CHANGE_NOTIFY", f"{step.ref}.{number}", body=step.body, file=step.file
                )
                (exchange,) = connection.send([self._outgoing(connection, request)])
            refs.append(exchange.ref)
            ended = self._collect_one(step, connection, exchange, records)
            parked, exchange = exchange, None
            self._exchanges[step.ref] = parked
        self._observe(
            "collected",
            index=self._index,
            ref=step.ref,
            last=parked.ref,
            refs=refs,
            until=step.until,
            ended=ended,
            records=records,
        )
        if ended == "deadline":
            where = f" [{step.point}]" if step.point else ""
            text = f"{step.until} was never reported ({parked.ref}){where}"
            raise Stopped("timeout", text, parked.ref)
        if ended == "reset":
            raise self._no_response(connection, parked, "final", step.point)

    def _collect_one(
        self,
        step: model.Collect,
        connection: Connection,
        exchange: Exchange,
        records: list[list[str]],
    ) -> str:
        """Wait for one answer and file its records; why to end, or "" to go on."""
        if not self._await(connection, exchange, step.deadline if step.until else step.quiet):
            if connection.closed:
                return "reset"
            return "deadline" if step.until else "quiet"
        assert exchange.final is not None
        found = exchange.final["body"].get("records", [])
        for record in found:
            records.append([record["action"], record["name"]])
            if record["name"] == step.until:
                return "until"  # what follows in this answer is no longer asked for
        return "" if exchange.status == "STATUS_SUCCESS" and found else exchange.status

    def _drop(self, step: model.Drop) -> None:
        self._connections[step.conn].close()

    def _reauthenticate(self, step: model.Reauthenticate) -> None:
        connection = self._connections[step.conn]
        user, password = self._job.account(self._users[step.conn])
        status = connection.reauthenticate(user, password if step.valid else f"not {password}")
        if connection.closed:
            raise Stopped("reset", f"{connection.name} was closed by the server")
        if not status:
            raise Stopped("timeout", "no response to the SESSION_SETUP of a reauthentication")
        if step.must and status not in step.must:
            wanted = " or ".join(step.must)
            raise Stopped("status", f"SESSION_SETUP answered {status}, not {wanted}")

    def _cork(self, step: model.Cork) -> None:
        connection = self._connections[step.conn]
        (connection.cork if step.on else connection.uncork)()

    def _pause(self, step: model.Pause) -> None:
        time.sleep(step.seconds)  # a selector's timeouts are whole milliseconds


def log_on(
    connection: Connection,
    job: Job,
    dialects: tuple[int, ...],
    signing: tuple[str, ...],
    ciphers: tuple[str, ...] = (),
    previous_session_id: int = 0,
    account: str = "",
) -> None:
    """TCP, NEGOTIATE, SESSION_SETUP, TREE_CONNECT; raises `ConnectFailed`."""
    connection.open(job.host, job.port, REQUEST_DEADLINE * job.scale)
    connection.negotiate(dialects, signing, ciphers)
    connection.log_on(*job.account(account), previous_session_id=previous_session_id)
    if ciphers:
        connection.seal()
    connection.tree_connect(job.host, job.share)


class Housekeeper:
    """Makes each scenario's directory, over a connection kept from one scenario to the next."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._connection: Connection | None = None
        self._server: tuple[str, int] = ("", 0)

    def make_directory(self, job: Job) -> float:
        """How long the server took. Raises `ConnectFailed`. A dead connection is replaced once."""
        kept = self._connection
        if kept is None or kept.closed or self._server != (job.host, job.port):
            self._reconnect(job)
        assert self._connection is not None
        began = time.monotonic()
        status = self._create(job)
        if status == "" and self._connection.closed:
            self._reconnect(job)
            began = time.monotonic()
            status = self._create(job)
        took = time.monotonic() - began
        if status != "STATUS_SUCCESS":
            raise ConnectFailed(f"making {job.directory}: {status or 'no response'}")
        return took / 2  # CREATE and CLOSE

    def _reconnect(self, job: Job) -> None:
        self.close()
        self._server = (job.host, job.port)
        self._connection = Connection("housekeeper", self._pump, lambda *_, **__: None, job.scale)
        log_on(self._connection, job, (0x0311, 0x0302, 0x0300, 0x0210), ("AES-CMAC",))

    def _create(self, job: Job) -> str:
        assert self._connection is not None
        fields = {
            "path": job.directory,
            "desired_access": 0x80000000,
            "share_access": 7,
            "create_disposition": 2,
            "create_options": 1,
        }
        body = wire.build_body(Command.CREATE, fields)
        (created,) = self._connection.send([Outgoing("create", Command.CREATE, body)])
        self._connection.wait(lambda: created.final is not None, REQUEST_DEADLINE)
        if created.final is not None and created.status == "STATUS_SUCCESS":
            file_id = bytes.fromhex(created.final["body"]["file_id"])
            body = wire.build_body(Command.CLOSE, {"file_id": file_id})
            (closed,) = self._connection.send([Outgoing("close", Command.CLOSE, body)])
            self._connection.wait(lambda: closed.final is not None, REQUEST_DEADLINE)
        return created.status

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
