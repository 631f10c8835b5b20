"""One SMB2 connection: sequence numbers, credits, signatures, and a record of every PDU.

Nothing that a server sends raises here. A PDU that cannot be parsed, matches no request, or
carries a wrong signature is observed as such; a connection that ends is observed as `reset` and
stays closed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.client import wire
from lab.client.pump import Pump
from lab.client.smb import (
    CIPHERS,
    SIGNING_ALGORITHMS,
    BadSeal,
    Logon,
    Sealer,
    Signer,
    preauth_hash,
    sealer,
    signing_key,
)
from lab.scenarios.model import Command, HeaderFlags, NtStatus, status_name

Observe = Callable[..., None]

CREDITS_WANTED = 256  # enough to pay for a buffer of more than 8 MiB
CREDITS_DEADLINE = 2.0
SIGNING_REQUIRED = 0x2
CAP_LARGE_MTU = 0x4
CAP_ENCRYPTION = 0x40
SESSION_FLAG_ENCRYPT_DATA = 0x4
SHAREFLAG_ENCRYPT_DATA = 0x8000
PREAUTH_INTEGRITY_CAPABILITIES = 1
ENCRYPTION_CAPABILITIES = 2
SIGNING_CAPABILITIES = 8
PER_CREDIT = 65536


class ConnectFailed(Exception):
    """TCP, NEGOTIATE, SESSION_SETUP or TREE_CONNECT did not succeed; the message says which."""


@dataclass
class Exchange:
    """A request and the responses that name its MessageId."""

    ref: str
    command: Command
    message_id: int
    opens: str = ""
    async_id: int = 0
    interim: dict[str, Any] | None = None
    final: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        return str(self.final["status"]) if self.final else ""


@dataclass(frozen=True)
class Outgoing:
    """A request ready for the wire, but for what the connection itself numbers and signs."""

    ref: str
    command: Command
    body: bytes
    charge: int = 1
    flags: int = 0
    header: tuple[tuple[str, Any], ...] = ()


class Connection:
    """The transport, the session and the tree of one scenario connection."""

    def __init__(self, name: str, pump: Pump, observe: Observe, scale: float) -> None:
        self.name = name
        self.closed = False
        self.exchanges: dict[int, Exchange] = {}
        self.credits = 1
        self.dialect = 0
        self.session_id = 0
        self.tree_id = 0
        self.max_transact_size = 0
        self.large_mtu = False
        self.cipher = ""
        self.sealing = False
        self._pump = pump
        self._observe = observe
        self._scale = scale
        self._next_message_id = 0
        self._received = b""
        self._preauth = bytes(64)
        self._algorithm = ""
        self._signer: Signer | None = None
        self._signing = False
        self._sealer: Sealer | None = None
        self._sealed = 0  # messages sealed so far: the nonce
        self._corked: bytes | None = None
        self._socket = socket.socket()

    # -- setting up -----------------------------------------------------------------------------

    def open(self, host: str, port: int, deadline: float) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout=deadline)
        except OSError as error:
            self.closed = True
            raise ConnectFailed(f"TCP to {host}:{port}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._pump.add(self)
        # By this port the capture's packets are told from other connections'.
        self._observe("connected", conn=self.name, local_port=self._socket.getsockname()[1])

    def negotiate(
        self, dialects: Sequence[int], signing: Sequence[str], ciphers: Sequence[str] = ()
    ) -> None:
        """NEGOTIATE with signing required (MS-SMB2 3.2.4.2.2), and with these ciphers on offer.

        The connection seals once `sealing` is set, or the server asks for it.
        """
        contexts = []
        if 0x0311 in dialects:
            hashes = (1).to_bytes(2, "little") + (32).to_bytes(2, "little") + b"\x01\x00"
            contexts.append((PREAUTH_INTEGRITY_CAPABILITIES, hashes + os.urandom(32)))
            ids = [SIGNING_ALGORITHMS[name] for name in signing]
            offer = b"".join(value.to_bytes(2, "little") for value in (len(ids), *ids))
            contexts.append((SIGNING_CAPABILITIES, offer))
            if ciphers:
                ids = [CIPHERS[name][0] for name in ciphers]
                offer = b"".join(value.to_bytes(2, "little") for value in (len(ids), *ids))
                contexts.append((ENCRYPTION_CAPABILITIES, offer))
        exchange = self._handshake(
            Command.NEGOTIATE,
            {
                "dialects": tuple(dialects),
                "security_mode": SIGNING_REQUIRED,
                "capabilities": CAP_LARGE_MTU | (CAP_ENCRYPTION if ciphers else 0),
                "client_guid": os.urandom(16),
                "contexts": contexts,
            },
            NtStatus.STATUS_SUCCESS,
        )
        assert exchange.final is not None
        body = exchange.final["body"]
        self.dialect = body["dialect_revision"]
        self.max_transact_size = body["max_transact_size"]
        self.large_mtu = bool(body["capabilities"] & CAP_LARGE_MTU) and self.dialect > 0x0202
        self._algorithm = self._chosen_algorithm(body["contexts"])
        self.cipher = self._chosen_cipher(body) if ciphers else ""

    def _chosen_cipher(self, body: dict[str, Any]) -> str:
        """What the server picked; before 3.1.1, AES-128-CCM or nothing (MS-SMB2 3.2.5.2)."""
        if self.dialect == 0x0311:
            chosen = bytes.fromhex(body["contexts"].get(ENCRYPTION_CAPABILITIES, ""))[2:4]
            number = int.from_bytes(chosen, "little")
            return next((name for name, row in CIPHERS.items() if row[0] == number), "")
        offered = self.dialect >= 0x0300 and body["capabilities"] & CAP_ENCRYPTION
        return "AES-128-CCM" if offered else ""

    def _chosen_algorithm(self, contexts: dict[int, str]) -> str:
        """What the server picked; without its context, the dialect's own (MS-SMB2 3.2.5.2)."""
        if SIGNING_CAPABILITIES in contexts:
            chosen = int.from_bytes(bytes.fromhex(contexts[SIGNING_CAPABILITIES])[2:4], "little")
            return {number: name for name, number in SIGNING_ALGORITHMS.items()}[chosen]
        return "AES-CMAC" if self.dialect >= 0x0300 else "HMAC-SHA256"

    def log_on(
        self, user: str, password: str, domain: str = "", previous_session_id: int = 0
    ) -> None:
        """An NTLMv2 session, signed from its last response on (MS-SMB2 3.2.4.2.3)."""
        logon = Logon(user, password, domain)
        fields = {
            "security_mode": SIGNING_REQUIRED,
            "token": logon.first_token(),
            "previous_session_id": previous_session_id,
        }
        wanted = NtStatus.STATUS_MORE_PROCESSING_REQUIRED
        first = self._handshake(Command.SESSION_SETUP, fields, wanted)
        assert first.final is not None
        self.session_id = first.final["header"]["session_id"]
        challenge = bytes.fromhex(first.final["body"]["security_buffer"])
        fields["token"] = logon.second_token(challenge)
        last = self._handshake(Command.SESSION_SETUP, fields, NtStatus.STATUS_SUCCESS, logon)
        self._signing = True
        if self.cipher:
            key = logon.session_key
            self._sealer = sealer(self.cipher, self.dialect, self.session_id, key, self._preauth)
        assert last.final is not None
        if last.final["body"]["session_flags"] & SESSION_FLAG_ENCRYPT_DATA:
            self.seal()
        self._observe(
            "session_key",
            conn=self.name,
            session_id=f"{self.session_id:016x}",
            session_key=logon.session_key.hex(),
        )

    def seal(self) -> None:
        """Send sealed from now on; then each response has to be sealed (MS-SMB2 3.3.4.1.4)."""
        if self._sealer is None:
            raise ConnectFailed("the server chose no cipher")
        self.sealing = True

    def reauthenticate(self, user: str, password: str) -> str:
        """A logon within the session (MS-SMB2 3.2.4.2.3); the status it ended with.

        Keys stay those of the session's first logon (MS-SMB2 3.2.5.3.3). Without an answer, "".
        """
        logon = Logon(user, password)
        fields = {"security_mode": SIGNING_REQUIRED, "token": logon.first_token()}
        status = ""
        for number in (1, 2):
            body = wire.build_body(Command.SESSION_SETUP, fields)
            ref = f"{self.name}.reauthentication{number}"
            (exchange,) = self.send([Outgoing(ref, Command.SESSION_SETUP, body)])
            self.wait(lambda sent=exchange: sent.final is not None, 5.0)  # type: ignore[misc]
            status = exchange.status
            if status != NtStatus.STATUS_MORE_PROCESSING_REQUIRED.name:
                break
            assert exchange.final is not None
            challenge = bytes.fromhex(exchange.final["body"]["security_buffer"])
            fields = {**fields, "token": logon.second_token(challenge)}
        return status

    def tree_connect(self, host: str, share: str) -> None:
        fields = {"path": f"\\\\{host}\\{share}"}
        exchange = self._handshake(Command.TREE_CONNECT, fields, NtStatus.STATUS_SUCCESS)
        assert exchange.final is not None
        self.tree_id = exchange.final["header"]["tree_id"]
        if exchange.final["body"]["share_flags"] & SHAREFLAG_ENCRYPT_DATA:
            self.seal()

    def _handshake(
        self, command: Command, fields: dict[str, Any], wanted: NtStatus, logon: Logon | None = None
    ) -> Exchange:
        body = wire.build_body(command, fields)
        (exchange,) = self.send([Outgoing(f"{self.name}.{command.name.lower()}", command, body)])
        if logon is not None:
            key = signing_key(self.dialect, logon.session_key, self._preauth)
            self._signer = Signer(self._algorithm, key)
        self.wait(lambda: exchange.final is not None, 5.0)
        if exchange.final is None:
            raise ConnectFailed(
                f"{command.name}: " + ("connection closed" if self.closed else "no response")
            )
        if exchange.status != wanted.name:
            raise ConnectFailed(f"{command.name}: {exchange.status}")
        if "malformed" in exchange.final["body"]:
            raise ConnectFailed(f"{command.name}: {exchange.final['body']['malformed']}")
        return exchange

    # -- sending --------------------------------------------------------------------------------

    def charge(self, payload: int) -> int:
        """CreditCharge for a payload of so many bytes either way (MS-SMB2 3.1.5.2)."""
        if self.dialect in (0, 0x0202):
            return 0
        return 1 + (max(payload, 1) - 1) // PER_CREDIT if self.large_mtu else 1

    def send(self, requests: Sequence[Outgoing]) -> list[Exchange]:
        """Number, chain, sign and send; waits a while for credits if they have run out."""
        cost = sum(max(1, request.charge) for request in requests)
        if not self.wait(lambda: self.credits >= cost, CREDITS_DEADLINE) and not self.closed:
            self._observe("starved", conn=self.name, credits=self.credits, cost=cost)
        exchanges = []
        message = b""
        for position, request in enumerate(requests):
            last = position == len(requests) - 1
            pdu = self._pdu(request, last)
            exchange = Exchange(request.ref, request.command, int.from_bytes(pdu[24:32], "little"))
            self.exchanges[exchange.message_id] = exchange
            exchanges.append(exchange)
            self._observe_out(exchange, pdu)
            message += pdu
        self._transmit(message)
        return exchanges

    def _pdu(self, request: Outgoing, last: bool) -> bytes:
        header = wire.Header(
            structure_size=64,
            credit_charge=request.charge if self.dialect != 0x0202 else 0,
            status=0,
            command=request.command,
            credits=max(1, CREDITS_WANTED - self.credits),
            flags=request.flags,
            next_command=0 if last else len(wire.pad8(bytes(wire.HEADER_SIZE) + request.body)),
            message_id=self._next_message_id,
            reserved=0,
            tree_id=self.tree_id,
            session_id=self.session_id,
            signature=bytes(16),
        )
        fields = {**header.__dict__, **dict(request.header)}
        self._next_message_id += max(1, request.charge)
        self.credits -= max(1, request.charge)
        pdu = wire.Header(**fields).pack() + request.body
        return self._signed(pdu if last else wire.pad8(pdu))

    def cancel(self, ref: str, message_id: int, async_id: int) -> None:
        """CANCEL takes no MessageId of its own, no credit, and has no response."""
        flags = HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND if async_id else 0
        low, high = (async_id & 0xFFFFFFFF, async_id >> 32) if async_id else (0, self.tree_id)
        header = wire.Header(
            64, 0, 0, Command.CANCEL, 0, flags, 0, message_id, low, high, self.session_id, bytes(16)
        )
        pdu = self._signed(header.pack() + wire.build_body(Command.CANCEL, {}))
        self._observe_out(Exchange(ref, Command.CANCEL, message_id), pdu)
        self._transmit(pdu)

    def _signed(self, pdu: bytes) -> bytes:
        """A sealed message is not signed as well (MS-SMB2 3.2.4.1.1)."""
        signing = self._signing and not self.sealing
        return self._signer.sign(pdu) if signing and self._signer else pdu

    def cork(self) -> None:
        """Keep what is sent, so that it leaves in one piece when uncorked."""
        self._corked = b""

    def uncork(self) -> None:
        kept, self._corked = self._corked, None
        self._write(kept or b"")

    def _transmit(self, message: bytes) -> None:
        if self.dialect in (0, 0x0311) and not self._signing:
            self._preauth = preauth_hash(self._preauth, message)
        if self.sealing and self._sealer is not None:
            self._sealed += 1
            length = CIPHERS[self.cipher][2]
            message = self._sealer.seal(message, self._sealed.to_bytes(length, "little"))
        self._write(len(message).to_bytes(4, "big") + message)

    def _write(self, framed: bytes) -> None:
        if self._corked is not None:
            self._corked += framed
            return
        if self.closed:
            return
        try:
            self._socket.setblocking(True)
            self._socket.settimeout(5.0 * self._scale)
            self._socket.sendall(framed)
            self._socket.setblocking(False)
        except OSError as error:
            self._ended(str(error))

    # -- receiving ------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._socket.fileno()

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Pump until `done`, the end of the connection, or the scaled deadline."""
        self._pump.until(lambda: done() or self.closed, seconds * self._scale)
        return done()

    def on_readable(self) -> None:
        try:
            chunk = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self._ended(str(error))
            return
        if not chunk:
            self._ended("end of stream")
            return
        self._received += chunk
        while len(self._received) >= 4:
            size = int.from_bytes(self._received[:4], "big")
            if size > wire.MAX_MESSAGE:
                self._observe(
                    "garbage", conn=self.name, why=f"frame of {size} bytes", raw=chunk[:64].hex()
                )
                self._ended("frame out of bounds")
                return
            if len(self._received) < 4 + size:
                return
            message, self._received = self._received[4 : 4 + size], self._received[4 + size :]
            self._on_message(message)

    def _on_message(self, message: bytes) -> None:
        sealed = message.startswith(wire.TRANSFORM_ID) and self._sealer is not None
        try:
            inside = self._sealer.unseal(message) if sealed and self._sealer else message
            pdus = wire.split_compound(inside)
        except (BadSeal, wire.Malformed) as error:
            self._observe("garbage", conn=self.name, why=str(error), raw=message.hex())
            return
        for position, pdu in enumerate(pdus):
            self._on_pdu(pdu, position, len(pdus), sealed)
        # The response that ends the logon is not part of its own key (MS-SMB2 3.2.5.3.1).
        if self._signer is None and self.dialect in (0, 0x0311):
            self._preauth = preauth_hash(self._preauth, message)

    def _on_pdu(self, pdu: bytes, position: int, count: int, sealed: bool) -> None:
        header = wire.parse_header(pdu)
        signed = bool(header.flags & HeaderFlags.SMB2_FLAGS_SIGNED)
        exchange = self.exchanges.get(header.message_id)
        pending = header.status == NtStatus.STATUS_PENDING
        stage = "interim" if pending else "final"
        if exchange and exchange.final is not None:
            stage = "extra"
        self.credits += header.credits
        observed = {
            "dir": "in",
            "conn": self.name,
            "ref": exchange.ref if exchange else "",
            "stage": stage,
            "command": _command_name(header.command),
            "status": status_name(header.status),
            "header": _header_json(header),
            "body": wire.parse_body(header, pdu),
            "compound": [position, count],
            "signing": self._signer.algorithm if self._signer else "",
            "signature_ok": self._signer.verify(pdu) if self._signer and signed else None,
            "sealed": sealed,
            "sealing": self.cipher if self.sealing else "",
            "raw": pdu.hex(),
        }
        self._observe("pdu", **observed)
        if exchange is None:
            return
        if header.is_async:
            exchange.async_id = exchange.async_id or header.async_id
        if stage == "interim":
            exchange.interim = observed
        elif stage == "final":
            exchange.final = observed

    def _observe_out(self, exchange: Exchange, pdu: bytes) -> None:
        header = wire.parse_header(pdu)
        self._observe(
            "pdu",
            dir="out",
            conn=self.name,
            ref=exchange.ref,
            stage="request",
            command=exchange.command.name,
            header=_header_json(header),
            raw=pdu.hex(),
        )

    def _ended(self, why: str) -> None:
        if not self.closed:
            self._observe("reset", conn=self.name, why=why)
        self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._pump.remove(self)
            self._socket.close()


def _command_name(command: int) -> str:
    return Command(command).name if command in list(Command) else str(command)


def _header_json(header: wire.Header) -> dict[str, Any]:
    plain = {**header.__dict__, "signature": header.signature.hex()}
    if header.is_async:
        del plain["tree_id"], plain["reserved"]
        plain["async_id"] = header.async_id
    return plain
