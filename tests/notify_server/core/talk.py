"""A client for tests of the core: bytes in, bytes out, no socket.

It shares no codec, key derivation or signing with the server: requests are put together with
`struct`, the logon is pyspnego's, the cryptography is `cryptography`'s.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import spnego
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from notify_server.auth.ntlm import nt_hash
from notify_server.core.config import Config, Share, share_table
from notify_server.core.connection import Connection
from notify_server.core.outcome import Job, JobResult, run
from notify_server.core.server import InlineRunner, Server
from tests.notify_server.core.memory_store import MemoryFeed, MemoryStore

NEGOTIATE, SESSION_SETUP, LOGOFF, TREE_CONNECT, TREE_DISCONNECT, CREATE, CLOSE, FLUSH = range(8)
READ, WRITE, LOCK, IOCTL, CANCEL, ECHO, QUERY_DIRECTORY, CHANGE_NOTIFY, QUERY_INFO = range(8, 17)
SET_INFO, OPLOCK_BREAK = 17, 18
ASYNC, RELATED, SIGNED = 2, 4, 8
ALL_ONES = b"\xff" * 16
EMPTY = b"\x04\0\0\0"
GUID = bytes(range(16))


class LaterRunner:
    """Keeps heavy jobs (or all of them) until the test lets them go."""

    def __init__(self, *, light: bool = False) -> None:
        self.light = light
        self.waiting: list[tuple[Job, Callable[[JobResult, float], None]]] = []

    def submit(self, job: Job, done: Callable[[JobResult, float], None]) -> JobResult | None:
        if job.light and not self.light:
            return run(job)
        self.waiting.append((job, done))
        return None

    def release(self, count: int = 1, now: float = 1000.0) -> None:
        """Do that many jobs, oldest first."""
        for _ in range(count):
            job, done = self.waiting.pop(0)
            done(run(job), now)


@dataclass
class World:
    """A server with one share in memory, and maybe others."""

    feed: MemoryFeed = field(default_factory=MemoryFeed)
    runner: Any = field(default_factory=InlineRunner)
    config: dict[str, Any] = field(default_factory=dict)
    share: dict[str, Any] = field(default_factory=dict)
    others: tuple[Share, ...] = ()

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.feed)
        config = Config(
            shares=share_table(Share("TEST", self.store, **self.share), *self.others),
            users={"tester": nt_hash("secret"), "other": nt_hash("other")},
            server_guid=b"G" * 16,
            **self.config,
        )
        self.server = Server(config, self.feed, self.runner, self.random)
        self._random = 0

    def random(self, size: int) -> bytes:
        self._random += 1
        return hashlib.shake_128(self._random.to_bytes(4, "big")).digest(size)

    def talk(self, dialect: int = 0x0311, **options: Any) -> Talk:
        """A client, not yet negotiated."""
        return Talk(self, dialect, **options)

    def ready(self, dialect: int = 0x0311, **options: Any) -> Talk:
        """A client with a session and a tree."""
        talk = Talk(self, dialect, **options)
        talk.negotiate()
        talk.log_on()
        talk.connect_tree()
        return talk


@dataclass
class Answer:
    """A response, taken apart."""

    command: int
    status: int
    flags: int
    credits: int
    message_id: int
    async_id: int
    tree_id: int
    session_id: int
    next_command: int
    body: bytes
    raw: bytes
    sealed: bool = False


def parse(message: bytes, *, sealed: bool = False) -> Answer:
    magic, size, _charge, status, command, credits, flags, following, mid, ids, session = (
        struct.unpack_from("<4sHHIHHIIQQQ", message)
    )
    assert (magic, size) == (b"\xfeSMB", 64)
    assert flags & 1, "not a response"
    async_id, tree_id = (ids, 0) if flags & ASYNC else (0, ids >> 32)
    return Answer(
        command, status, flags, credits, mid, async_id, tree_id, session, following,
        message[64:], message, sealed,
    )  # fmt: skip


class Talk:
    """One connection's client side."""

    def __init__(
        self,
        world: World,
        dialect: int = 0x0311,
        *,
        sign: bool = True,
        ciphers: Iterable[int] = (),
        signing: Iterable[int] = (1,),
        security_mode: int = 1,
    ) -> None:
        self.world = world
        self.connection: Connection = world.server.connect("test")
        self.dialect = dialect
        self.sign = sign
        self.seal = False
        self.ciphers = tuple(ciphers)
        self.signing = tuple(signing)
        self.security_mode = security_mode
        self.algorithm = 0 if dialect < 0x0300 else 1
        self.cipher = 0
        self.mid = 0
        self.credits = 1
        self.session_id = 0
        self.tree_id = 0
        self.key = b""
        self.seal_keys = (b"", b"")
        self.preauth = b"\0" * 64
        self.now = 1000.0
        self._nonce = 0

    # Bytes

    def request(
        self,
        command: int,
        body: bytes,
        *,
        flags: int = 0,
        mid: int | None = None,
        charge: int = 1,
        credits: int = 64,
        session_id: int | None = None,
        tree_id: int | None = None,
        async_id: int = 0,
        following: int = 0,
        sign: bool | None = None,
    ) -> bytes:
        """One message; its MessageId is the next one unless given."""
        if mid is None:
            mid = self.mid
            self.mid += max(charge, 1)
        signed = (self.sign if sign is None else sign) and self.key and not self.seal
        if signed:
            flags |= SIGNED
        ids = async_id if flags & ASYNC else (self.tree_id if tree_id is None else tree_id) << 32
        message = struct.pack(
            "<4sHHIHHIIQQQ16x", b"\xfeSMB", 64, charge if self.dialect > 0x0202 else 0, 0,
            command, credits, flags, following, mid, ids,
            self.session_id if session_id is None else session_id,
        ) + body  # fmt: skip
        return self.signature_in(message, from_server=False) if signed else message

    def signature_in(self, message: bytes, *, from_server: bool) -> bytes:
        zeroed = message[:48] + b"\0" * 16 + message[64:]
        if self.algorithm == 0:
            signature = hmac.digest(self.key, zeroed, "sha256")[:16]
        elif self.algorithm == 1:
            mac = CMAC(algorithms.AES(self.key))
            mac.update(zeroed)
            signature = mac.finalize()
        else:
            role = (1 if from_server else 0) | (2 if zeroed[12] == CANCEL else 0)
            nonce = zeroed[24:32] + role.to_bytes(4, "little")
            signature = AESGCM(self.key).encrypt(nonce, b"", zeroed)
        return zeroed[:48] + signature + zeroed[64:]

    def feed(self, payload: bytes) -> None:
        """Send one frame, sealed if that is on."""
        if self.seal:
            payload = self._seal(payload)
        self.connection.receive(len(payload).to_bytes(4, "big") + payload, self.now)

    def send(self, command: int, body: bytes, **options: Any) -> int:
        """Send a request; its MessageId."""
        message = self.request(command, body, **options)
        self.feed(message)
        return int.from_bytes(message[24:32], "little")

    def take(self) -> list[Answer]:
        """All responses so far, signatures checked."""
        answers: list[Answer] = []
        for chunk in self.connection.take_output():
            while chunk:
                size = int.from_bytes(chunk[:4], "big")
                frame, chunk = chunk[4 : 4 + size], chunk[4 + size :]
                sealed = frame[:4] == b"\xfdSMB"
                if sealed:
                    frame = self._unseal(frame)
                while True:
                    answer = parse(frame, sealed=sealed)
                    message = frame[: answer.next_command or len(frame)]
                    answer.raw, answer.body = message, message[64:]
                    if answer.flags & SIGNED and self.key:
                        assert self.signature_in(message, from_server=True) == message
                    answers.append(answer)
                    self.credits += answer.credits
                    if not answer.next_command:
                        break
                    frame = frame[answer.next_command :]
        return answers

    def call(self, command: int, body: bytes, **options: Any) -> Answer:
        """Send a request; its only response."""
        self.send(command, body, **options)
        (answer,) = self.take()
        return answer

    def compound(self, *requests: tuple[int, bytes, dict[str, Any]]) -> list[Answer]:
        """Send a compound; all responses that come at once."""
        parts = []
        for index, (command, body, options) in enumerate(requests):
            if index < len(requests) - 1:
                body = body.ljust(len(body) + -len(body) % 8, b"\0")
                options = {**options, "following": 64 + len(body)}
            parts.append(self.request(command, body, **options))
        self.feed(b"".join(parts))
        return self.take()

    @property
    def closed(self) -> bool:
        """Did the server decide to disconnect?"""
        return self.connection.closing

    # Sealing

    def _seal(self, payload: bytes) -> bytes:
        self._nonce += 1
        nonce = self._nonce.to_bytes(11 if self.cipher in (1, 3) else 12, "little")
        kind = AESCCM if self.cipher in (1, 3) else AESGCM
        aad = nonce.ljust(16, b"\0") + struct.pack("<IHHQ", len(payload), 0, 1, self.session_id)
        sealed = kind(self.seal_keys[0]).encrypt(nonce, payload, aad)
        return b"\xfdSMB" + sealed[-16:] + aad + sealed[:-16]

    def _unseal(self, frame: bytes) -> bytes:
        kind = AESCCM if self.cipher in (1, 3) else AESGCM
        nonce = frame[20 : 20 + (11 if self.cipher in (1, 3) else 12)]
        return kind(self.seal_keys[1]).decrypt(nonce, frame[52:] + frame[4:20], frame[20:52])

    # Getting there

    def negotiate_body(self) -> bytes:
        capabilities = 0x40 if self.dialect >= 0x0300 else 0
        if self.dialect != 0x0311:
            return struct.pack(
                "<HHHHI16sQH", 36, 1, self.security_mode, 0, capabilities, GUID, 0, self.dialect
            )
        contexts = [(1, struct.pack("<HHH", 1, 32, 1) + b"s" * 32)]
        if self.ciphers:
            contexts.append(
                (2, struct.pack(f"<{1 + len(self.ciphers)}H", len(self.ciphers), *self.ciphers))
            )
        if self.signing:
            contexts.append(
                (8, struct.pack(f"<{1 + len(self.signing)}H", len(self.signing), *self.signing))
            )
        packed = b""
        for kind, data in contexts:
            packed += b"\0" * (-len(packed) % 8) + struct.pack("<HHI", kind, len(data), 0) + data
        return (
            struct.pack(
                "<HHHHI16sIHHH2x", 36, 1, self.security_mode, 0, capabilities, GUID,
                104, len(contexts), 0, self.dialect,
            )
            + packed
        )  # fmt: skip

    def negotiate(self) -> Answer:
        message = self.request(NEGOTIATE, self.negotiate_body(), credits=1)
        self.feed(message)
        (answer,) = self.take()
        if answer.status == 0:
            self._extend(message)
            self._extend(answer.raw)
            self._read_contexts(answer)
        return answer

    def _read_contexts(self, answer: Answer) -> None:
        if self.dialect in (0x0300, 0x0302) and answer.body[24] & 0x40:
            self.cipher = 1
        if self.dialect != 0x0311:
            return
        for kind, data in contexts_of(answer):
            if kind == 2:
                self.cipher = struct.unpack("<HH", data)[1]
            elif kind == 8:
                self.algorithm = struct.unpack("<HH", data)[1]

    def _extend(self, message: bytes) -> None:
        self.preauth = hashlib.sha512(self.preauth + message).digest()

    def setup_body(self, token: bytes, previous: int = 0, flags: int = 0) -> bytes:
        return (
            struct.pack("<HBBIIHHQ", 25, flags, self.security_mode, 0, 0, 88, len(token), previous)
            + token
        )

    def log_on(
        self,
        user: str = "tester",
        password: str = "secret",
        *,
        previous: int = 0,
        again: bool = False,
    ) -> Answer:
        """SESSION_SETUP until it is over; with `again` on the present session."""
        client = spnego.client(
            user, password, hostname="x", options=spnego.NegotiateOptions.use_ntlm
        )
        token = client.step()
        preauth = self.preauth
        session_id = self.session_id if again else 0
        while True:
            assert token is not None
            message = self.request(
                SESSION_SETUP, self.setup_body(token, previous), session_id=session_id,
                tree_id=0, sign=again,
            )  # fmt: skip
            preauth = hashlib.sha512(preauth + message).digest()
            self.feed(message)
            (answer,) = self.take_unchecked() if not again else self.take()
            if answer.status != 0xC0000016:
                break
            preauth = hashlib.sha512(preauth + answer.raw).digest()
            session_id = answer.session_id
            at, size = struct.unpack_from("<HH", answer.body, 4)
            token = client.step(answer.raw[at : at + size])
        if answer.status == 0 and not again:
            self.session_id = session_id
            self._derive(client.session_key, preauth)
            if answer.flags & SIGNED:
                assert self.signature_in(answer.raw, from_server=True) == answer.raw
        return answer

    def take_unchecked(self) -> list[Answer]:
        key, self.key = self.key, b""
        answers = self.take()
        self.key = key
        return answers

    def _derive(self, key: bytes, preauth: bytes) -> None:
        def kdf(label: bytes, context: bytes, length: int = 16) -> bytes:
            return KBKDFHMAC(
                algorithm=hashes.SHA256(), mode=Mode.CounterMode, length=length, rlen=4, llen=4,
                location=CounterLocation.BeforeFixed, label=label, context=context, fixed=None,
            ).derive(key)  # fmt: skip

        size = 32 if self.cipher in (3, 4) else 16
        if self.dialect < 0x0300:
            self.key = key
        elif self.dialect < 0x0311:
            self.key = kdf(b"SMB2AESCMAC\0", b"SmbSign\0")
            self.seal_keys = (
                kdf(b"SMB2AESCCM\0", b"ServerIn \0"),
                kdf(b"SMB2AESCCM\0", b"ServerOut\0"),
            )
        else:
            self.key = kdf(b"SMBSigningKey\0", preauth)
            self.seal_keys = (
                kdf(b"SMBC2SCipherKey\0", preauth, size),
                kdf(b"SMBS2CCipherKey\0", preauth, size),
            )

    def connect_tree(self, name: str = "TEST") -> Answer:
        path = f"\\\\srv\\{name}".encode("utf-16-le")
        answer = self.call(
            TREE_CONNECT, struct.pack("<HHHH", 9, 0, 72, len(path)) + path, tree_id=0
        )
        if answer.status == 0:
            self.tree_id = answer.tree_id
        return answer

    # Files

    def open(self, name: str = "", **options: Any) -> bytes:
        """CREATE that must succeed; the FileId."""
        answer = self.call(CREATE, create_body(name, **options))
        assert answer.status == 0, hex(answer.status)
        return answer.body[64:80]

    def park(self, file_id: bytes, **options: Any) -> Answer:
        """CHANGE_NOTIFY that must be parked; the interim response."""
        answer = self.call(CHANGE_NOTIFY, notify_body(file_id, **options))
        assert answer.status == 0x103, hex(answer.status)
        return answer

    def cancel(self, **options: Any) -> None:
        """CANCEL; no response of its own."""
        options.setdefault("mid", 0)
        self.send(CANCEL, EMPTY, credits=0, **options)


def contexts_of(answer: Answer) -> list[tuple[int, bytes]]:
    """Negotiate contexts of a response."""
    (count,) = struct.unpack_from("<H", answer.body, 6)
    (position,) = struct.unpack_from("<I", answer.body, 60)
    found = []
    for _ in range(count):
        position += -position % 8
        kind, size = struct.unpack_from("<HH", answer.raw, position)
        found.append((kind, answer.raw[position + 8 : position + 8 + size]))
        position += 8 + size
    return found


def create_body(
    name: str,
    *,
    access: int = 0x001F01FF,
    disposition: int = 1,
    options: int = 0,
    oplock: int = 0,
    contexts: bytes = b"",
    attributes: int = 0,
    impersonation: int = 2,
    share: int = 7,
) -> bytes:
    encoded = name.encode("utf-16-le")
    name_field = encoded + b"\0" * (-len(encoded) % 8)
    return (
        struct.pack(
            "<HBBIQQIIIIIHHII", 57, 0, oplock, impersonation, 0, 0, access, attributes, share,
            disposition, options, 120, len(encoded),
            120 + len(name_field) if contexts else 0, len(contexts),
        )
        + (name_field if contexts else encoded or b"\0")
        + contexts
    )  # fmt: skip


def notify_body(
    file_id: bytes, *, mask: int = 3, tree: bool = False, size: int = 4096, structure: int = 32
) -> bytes:
    return struct.pack("<HHI16sII", structure, int(tree), size, file_id, mask, 0)


def close_body(file_id: bytes, flags: int = 0) -> bytes:
    return struct.pack("<HHI16s", 24, flags, 0, file_id)


def read_body(file_id: bytes, offset: int, length: int, minimum: int = 0) -> bytes:
    return (
        struct.pack("<HBBIQ16sIIIHH", 49, 0, 0, length, offset, file_id, minimum, 0, 0, 0, 0)
        + b"\0"
    )


def write_body(file_id: bytes, offset: int, data: bytes) -> bytes:
    return struct.pack("<HHIQ16sIIHHI", 49, 112, len(data), offset, file_id, 0, 0, 0, 0, 0) + data


def lock_body(file_id: bytes, *elements: tuple[int, int, int]) -> bytes:
    packed = b"".join(struct.pack("<QQI4x", *element) for element in elements)
    return struct.pack("<HHI16s", 48, len(elements), 0, file_id) + packed


def records(answer: Answer) -> list[tuple[int, str]]:
    """FILE_NOTIFY_INFORMATION of a CHANGE_NOTIFY response."""
    assert answer.command == CHANGE_NOTIFY
    size, offset, length = struct.unpack_from("<HHI", answer.body)
    assert size == 9
    data = answer.raw[offset : offset + length]
    found = []
    while data:
        step, action, length = struct.unpack_from("<III", data)
        found.append((action, data[12 : 12 + length].decode("utf-16-le")))
        data = data[step:] if step else b""
    return found
